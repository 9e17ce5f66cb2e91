//! Voices that clients uploaded: a folder of their own in the data directory, which only this program writes.
//!
//! A voice is complete or not there: it is made in a hidden folder and renamed into its place. Deleting takes its
//! description away, with which it is a voice no longer; its recording goes when the last request that speaks with it is
//! over. No name of a client's becomes part of a path: folders are called by generated ids, and found through the catalog.
//! Somebody's voice is nobody else's business: folders and files are their owner's alone, wherever the data directory is.

use crate::{
    CatalogError, VoiceEntry,
    names::nfc,
    registry::{DELETED, Found},
    settings::VoiceSettings,
};
use std::{
    collections::HashMap,
    fmt,
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};
use stentor_types::{Language, VoiceSource};

/// The recording of an uploaded voice, in its folder.
pub const RECORDING: &str = "recording.wav";
const DESCRIPTION: &str = "voice.toml";
/// Of folders that are being filled or emptied; hidden, so that no catalog reads them.
const UNFINISHED: &str = ".new-";
/// Permissions: nobody but the owner.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// Characters of a voice's name at most.
pub const VOICE_NAME_LIMIT: usize = 100;

/// Where uploaded voices are, and which of them are in use. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Uploads {
    directory: PathBuf,
    held: Arc<Mutex<HashMap<PathBuf, Weak<Held>>>>,
}

/// What a client says of its voice.
#[derive(Debug, Clone, Default)]
pub struct NewVoice {
    pub name: String,
    pub languages: Vec<Language>,
    /// What is said in the recording.
    pub transcript: Option<String>,
    /// The client's reference to the speaker's consent, kept as it came.
    pub consent: Option<String>,
}

/// Whoever has one may go on using the voice's files, also when it is deleted meanwhile.
#[derive(Clone)]
pub struct Hold(Arc<Held>);

struct Held {
    folder: PathBuf,
    deleted: AtomicBool,
}

impl Held {
    fn name(&self) -> String {
        self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if *self.deleted.get_mut() {
            // Out of sight first, so that nobody reads a folder that is half gone. What can't be removed now is removed at
            // the next start.
            let hidden = self.folder.with_file_name(format!("{UNFINISHED}{}", self.name()));
            let folder = fs::rename(&self.folder, &hidden).map_or(&self.folder, |()| &hidden);
            let _ = fs::remove_dir_all(folder);
        }
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hold").field(&self.0.folder).finish()
    }
}

impl PartialEq for Hold {
    fn eq(&self, other: &Self) -> bool {
        self.0.folder == other.0.folder
    }
}

impl Uploads {
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self { directory: directory(data_dir), held: Arc::default() }
    }

    /// Begins a voice under a generated id. What is not committed leaves nothing behind.
    pub fn draft(&self, id: &str) -> Result<Draft, CatalogError> {
        let folder = self.directory.join(format!("{UNFINISHED}{id}"));
        let made = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&folder);
        made.map_err(CatalogError::io(&folder))?;
        Ok(Draft { place: self.directory.join(id), folder, committed: false })
    }

    /// Removes a voice that was just put there and that no catalog has read.
    pub fn withdraw(&self, id: &str) {
        let _ = fs::remove_dir_all(self.directory.join(id));
    }

    /// Removes what a stopped program left: unfinished voices and deleted ones, and closes what is there to everybody but
    /// its owner; gives what it could not close. For a server that starts.
    pub fn sweep(&self) -> Vec<CatalogError> {
        let Ok(entries) = fs::read_dir(&self.directory) else { return Vec::new() };
        let mut open: Vec<CatalogError> = close(&self.directory).err().into_iter().collect();
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            if name.starts_with(UNFINISHED.as_bytes()) || path.join(DELETED).exists() {
                let _ = fs::remove_dir_all(&path);
                continue;
            }
            let within = fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path());
            open.extend(within.chain([path.clone()]).filter_map(|path| close(&path).err()));
        }
        open
    }

    /// Gives every voice in this directory its hold.
    pub(crate) fn mark(&self, voices: &mut [Found]) {
        let Ok(root) = fs::canonicalize(&self.directory) else { return };
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, hold| hold.strong_count() > 0);
        for Found { entry, .. } in voices {
            let VoiceSource::Reference { path, .. } = &entry.source else { continue };
            let Some(folder) = path.parent().filter(|folder| folder.parent() == Some(&root)) else {
                continue;
            };
            let known = held.get(folder).and_then(Weak::upgrade);
            let hold = known.unwrap_or_else(|| {
                let (folder, deleted) = (folder.to_owned(), AtomicBool::new(false));
                Arc::new(Held { folder, deleted })
            });
            held.insert(folder.to_owned(), Arc::downgrade(&hold));
            entry.hold = Some(Hold(hold));
        }
    }
}

/// Takes an uploaded voice's description away; the catalog must be read again. Its files stay while somebody holds it.
pub(crate) fn delete(entry: &VoiceEntry) -> Result<(), CatalogError> {
    let Some(Hold(held)) = &entry.hold else {
        return Err(CatalogError::NotUploaded { voice: entry.id.as_str().to_owned() });
    };
    let description = held.folder.join(DESCRIPTION);
    match fs::rename(&description, held.folder.join(DELETED)) {
        // Two clients delete it at once: it is gone for both.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => result.map_err(CatalogError::io(description))?,
    }
    held.deleted.store(true, Ordering::Relaxed);
    Ok(())
}

/// Leaves a folder or a file to its owner alone. What a link leads to is not ours to change.
fn close(path: &Path) -> Result<(), CatalogError> {
    let kind = fs::symlink_metadata(path).map_err(CatalogError::io(path))?;
    let mode = match kind.file_type() {
        kind if kind.is_dir() => FOLDER_MODE,
        kind if kind.is_file() => FILE_MODE,
        _ => return Ok(()),
    };
    if kind.permissions().mode() & 0o777 == mode {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(CatalogError::io(path))
}

pub(crate) fn directory(data_dir: &Path) -> PathBuf {
    data_dir.join("uploads")
}

/// A voice that is being made. Dropped without [`Draft::commit`] it leaves nothing.
#[derive(Debug)]
pub struct Draft {
    folder: PathBuf,
    place: PathBuf,
    committed: bool,
}

impl Draft {
    /// Where the file of this name is.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a file; before the commit there must be [`RECORDING`] and nothing else.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), CatalogError> {
        let path = self.file(name);
        private(&path).and_then(|mut file| file.write_all(bytes)).map_err(CatalogError::io(&path))
    }

    /// Describes the voice and puts it into its place, in one step.
    pub fn commit(mut self, voice: &NewVoice) -> Result<(), CatalogError> {
        let recording = self.file(RECORDING);
        let file = File::open(&recording).map_err(CatalogError::io(&recording))?;
        file.sync_all().map_err(CatalogError::io(&recording))?;
        // The file system's clock is the one at hand.
        let created_at = file.metadata().map_err(CatalogError::io(&recording))?.mtime();
        let described = VoiceSettings {
            name: Some(voice.name.clone()),
            languages: voice.languages.clone(),
            licence: None,
            transcript: voice.transcript.clone(),
            consent: voice.consent.clone(),
            created_at: Some(created_at),
        };
        let description = self.file(DESCRIPTION);
        write(&description, &described).map_err(CatalogError::io(&description))?;
        fs::rename(&self.folder, &self.place).map_err(CatalogError::io(&self.place))?;
        self.committed = true;
        // A voice that a power cut takes away again has at least been whole.
        let parent = self.place.parent().and_then(|parent| File::open(parent).ok());
        parent.map(|parent| parent.sync_all()).transpose().map_err(CatalogError::io(&self.place))?;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.committed {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

fn write(path: &Path, described: &VoiceSettings) -> io::Result<()> {
    let text = toml::to_string(described).map_err(io::Error::other)?;
    let mut file = private(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// A new file of the owner's alone.
fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)
}

/// A client's name for its voice as it is kept, or what is wrong with it. It is shown and compared, never a path; what
/// would pass for one is refused all the same, for those who name files after voices.
pub fn voice_name(name: &str) -> Result<String, &'static str> {
    let name = nfc(name.trim());
    if name.is_empty() {
        return Err("is blank");
    }
    if name.chars().count() > VOICE_NAME_LIMIT {
        return Err("has more than 100 characters");
    }
    if name.starts_with('.') || name.contains(['/', '\\']) {
        return Err("must not look like a path");
    }
    // Those that turn the direction of a line make one name look like another.
    let turning = |c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if name.chars().any(|c| c.is_control() || turning(c)) {
        return Err("holds control characters");
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Catalog, CatalogConfig};
    use stentor_types::ModelId;

    fn catalog(dir: &Path) -> Catalog {
        let config = CatalogConfig { data_dir: dir.to_owned(), ..CatalogConfig::default() };
        Catalog::open(config).unwrap()
    }

    fn upload(catalog: &mut Catalog, id: &str, name: &str) {
        let draft = catalog.uploads().draft(id).unwrap();
        draft.write(RECORDING, b"sound").unwrap();
        draft.commit(&NewVoice { name: name.to_owned(), ..NewVoice::default() }).unwrap();
        catalog.reload().unwrap();
    }

    #[test]
    fn a_draft_that_is_dropped_or_can_t_be_put_into_its_place_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let uploads = catalog(dir.path()).uploads().clone();
        let draft = uploads.draft("voice_1").unwrap();
        draft.write(RECORDING, b"sound").unwrap();
        drop(draft);
        let draft = uploads.draft("voice_1").unwrap();
        assert!(draft.commit(&NewVoice::default()).is_err(), "it has no recording");
        let entries = || fs::read_dir(dir.path().join("uploads")).unwrap().count();
        assert_eq!(entries(), 0);

        fs::create_dir_all(dir.path().join("uploads/voice_1/in the way")).unwrap();
        let draft = uploads.draft("voice_1").unwrap();
        draft.write(RECORDING, b"sound").unwrap();
        assert!(draft.commit(&NewVoice::default()).is_err());
        assert_eq!(entries(), 1, "only what was there before");
    }

    #[test]
    fn what_is_deleted_is_no_voice_any_more_and_its_files_go_with_the_last_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut catalog = catalog(dir.path());
        upload(&mut catalog, "voice_1", "Emily");
        let recording = dir.path().join("uploads/voice_1/recording.wav");
        let hold = catalog.voice("voice_1").unwrap().hold.clone();
        // Holds of the catalog as it is, and as it was before it was read again, are the same.
        catalog.reload().unwrap();
        catalog.delete_upload("voice_1").unwrap();
        catalog.reload().unwrap();
        assert!(catalog.voice("voice_1").is_none() && recording.exists());
        assert_eq!(catalog.warnings(), [""; 0]);
        drop(hold);
        assert!(!recording.exists() && !dir.path().join("uploads/voice_1").exists());
    }

    #[test]
    fn a_start_removes_what_an_earlier_one_left() {
        let dir = tempfile::tempdir().unwrap();
        let mut catalog = catalog(dir.path());
        upload(&mut catalog, "voice_1", "Emily");
        upload(&mut catalog, "voice_2", "Bruno");
        let uploads = dir.path().join("uploads");
        fs::create_dir(uploads.join(".new-voice_3")).unwrap();
        fs::rename(uploads.join("voice_1/voice.toml"), uploads.join("voice_1/.deleted")).unwrap();
        catalog.uploads().sweep();
        let left: Vec<_> = fs::read_dir(&uploads).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["voice_2"]);
    }

    #[test]
    fn one_broken_voice_costs_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let mut catalog = catalog(dir.path());
        upload(&mut catalog, "voice_1", "Emily");
        upload(&mut catalog, "voice_2", "Bruno");
        fs::write(dir.path().join("uploads/voice_1/voice.toml"), "name = ").unwrap();
        catalog.reload().unwrap();
        assert!(catalog.voice("voice_1").is_none() && catalog.voice("voice_2").is_some());
        let [warning] = catalog.warnings() else { panic!("{:?}", catalog.warnings()) };
        assert!(warning.contains("voice_1") && warning.ends_with("; ignored"), "{warning}");
    }

    #[test]
    fn only_uploaded_voices_can_be_deleted() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("voices")).unwrap();
        fs::write(dir.path().join("voices/Emily.wav"), "sound").unwrap();
        let catalog = catalog(dir.path());
        assert!(matches!(catalog.delete_upload("Emily"), Err(CatalogError::NotUploaded { .. })));
        assert!(matches!(catalog.delete_upload("../voices"), Err(CatalogError::VoiceNotFound { .. })));
        assert!(dir.path().join("voices/Emily.wav").exists());
    }

    #[test]
    fn an_uploaded_voice_is_shown_by_name_unless_the_name_means_another() {
        let dir = tempfile::tempdir().unwrap();
        let mut catalog = catalog(dir.path());
        upload(&mut catalog, "voice_1", "Emily");
        let shown = |catalog: &Catalog| {
            let model = catalog.model(&ModelId::new("chatterbox")).unwrap();
            catalog.shown_name(model, catalog.voice("voice_1").unwrap()).to_owned()
        };
        assert_eq!(shown(&catalog), "Emily");
        fs::create_dir(dir.path().join("voices")).unwrap();
        fs::write(dir.path().join("voices/emily.wav"), "sound").unwrap();
        catalog.reload().unwrap();
        assert_eq!(shown(&catalog), "voice_1", "the operator's voice has the name now");
    }

    #[test]
    fn names_are_told_from_paths_and_tricks() {
        assert_eq!(voice_name("  Zoe\u{308} & Söhne (2) "), Ok("Zoë & Söhne (2)".to_owned()));
        for bad in ["", " ", "../../etc/passwd", "/etc/passwd", "a\\b", "a\0b", "a\nb", ".x", "a\u{202e}b"] {
            assert!(voice_name(bad).is_err(), "{bad:?}");
        }
        assert!(voice_name(&"é".repeat(100)).is_ok() && voice_name(&"é".repeat(101)).is_err());
    }
}
