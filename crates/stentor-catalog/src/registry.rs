//! Reads voice directories into memory. What is found here is all that a request can ever reach: its voice
//! string is compared with these names and never joined to a path.

use crate::{
    CatalogError, VoiceEntry,
    names::{nfc, split_extension},
    settings::{self, DirectorySettings, VoiceSettings},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};
use stentor_types::{VoiceId, VoiceSource};

const EMBEDDED: &str = include_str!("../../../voices/voices.toml");

/// In a folder: it was a voice, and is kept for those who still speak with it.
pub(crate) const DELETED: &str = ".deleted";

/// A voice and the stem by which it may also be asked for.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) stem: String,
    pub(crate) entry: VoiceEntry,
}

/// The voices and aliases of all voice directories.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registry {
    pub(crate) voices: Vec<Found>,
    pub(crate) aliases: BTreeMap<String, Vec<String>>,
    pub(crate) warnings: Vec<String>,
}

impl Registry {
    /// Reads `directories`; the same name in a later one hides that in an earlier one.
    pub(crate) fn read(directories: &[PathBuf]) -> Result<Self, CatalogError> {
        let mut registry = Self::default();
        let embedded: DirectorySettings = settings::parse("voices/voices.toml", EMBEDDED)?;
        registry.add_aliases(embedded);
        // Keyed by file or folder name, so that listings and collisions go by the alphabet.
        let mut voices: BTreeMap<String, Found> = BTreeMap::new();
        for directory in directories {
            registry.read_directory(directory, &mut voices)?;
        }
        registry.voices = voices.into_values().collect();
        registry.name_by_stem();
        Ok(registry)
    }

    fn add_aliases(&mut self, settings: DirectorySettings) {
        self.aliases.extend(settings.aliases.into_iter().map(|(name, to)| (name, to.into_vec())));
    }

    fn read_directory(
        &mut self,
        directory: &Path,
        voices: &mut BTreeMap<String, Found>,
    ) -> Result<(), CatalogError> {
        let root = fs::canonicalize(directory).map_err(CatalogError::io(directory))?;
        let settings: DirectorySettings = settings::read(&root.join("voices.toml"))?.unwrap_or_default();
        let mut unused: BTreeSet<&str> = settings.voices.keys().map(String::as_str).collect();
        for item in fs::read_dir(&root).map_err(CatalogError::io(&root))? {
            let item = item.map_err(CatalogError::io(&root))?;
            let Some(path) = self.inside(&root, &item.path()) else { continue };
            let Ok(name) = item.file_name().into_string() else {
                self.warnings.push(format!("{}: its name is not UTF-8; ignored", item.path().display()));
                continue;
            };
            let Some(mut found) = self.voice_at(&root, &name, path)? else { continue };
            for key in [found.stem.as_str(), name.as_str()] {
                if let Some(known) = settings.voices.get(key) {
                    describe(&mut found.entry, known);
                    unused.remove(key);
                }
            }
            if let Some(hidden) = voices.insert(name.clone(), found) {
                self.warnings.push(format!(
                    "voice `{name}` in {} hides {}",
                    root.display(),
                    path_of(&hidden.entry.source)
                ));
            }
        }
        for name in unused {
            self.warnings.push(format!("{}/voices.toml: there is no voice `{name}` here", root.display()));
        }
        self.add_aliases(settings);
        Ok(())
    }

    /// The real path of `path` if it stays under `root`. Hidden files are passed over in silence.
    fn inside(&mut self, root: &Path, path: &Path) -> Option<PathBuf> {
        if path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b".")) {
            return None;
        }
        match fs::canonicalize(path) {
            Ok(real) if real.starts_with(root) => Some(real),
            Ok(_) => {
                self.ignored(path, "leads out of its voices directory");
                None
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.ignored(path, "the link leads nowhere");
                None
            }
            Err(error) => {
                self.ignored(path, &error.to_string());
                None
            }
        }
    }

    /// The voice that the file or folder `name` (really at `path`) is, if it is one.
    fn voice_at(&mut self, root: &Path, name: &str, path: PathBuf) -> Result<Option<Found>, CatalogError> {
        if path.is_dir() {
            return self.folder_voice(root, name, &path);
        }
        let Some((stem, extension)) = split_extension(name).filter(|_| path.is_file()) else {
            return Ok(None);
        };
        if self.is_empty(&path) {
            return Ok(None);
        }
        let entry = VoiceEntry {
            id: VoiceId::new(nfc(stem)),
            name: nfc(stem),
            file_name: Some(name.to_owned()),
            languages: Vec::new(),
            source: source_of(extension, path),
            licence: None,
            created_at: None,
            hold: None,
        };
        Ok(Some(Found { stem: nfc(stem), entry }))
    }

    fn ignored(&mut self, path: &Path, why: &str) {
        self.warnings.push(format!("{}: {why}; ignored", path.display()));
    }

    /// Whether a voice file has no bytes, which is worth a warning.
    fn is_empty(&mut self, file: &Path) -> bool {
        let empty = fs::metadata(file).is_ok_and(|data| data.len() == 0);
        if empty {
            self.ignored(file, "the file is empty");
        }
        empty
    }

    /// A folder with a `voice.toml` and one voice file is the voice of the folder's name.
    fn folder_voice(&mut self, root: &Path, name: &str, path: &Path) -> Result<Option<Found>, CatalogError> {
        let described = path.join("voice.toml");
        if path.join(DELETED).exists() {
            return Ok(None);
        }
        if !fs::symlink_metadata(&described).is_ok_and(|data| data.is_file() || data.is_symlink()) {
            self.ignored(path, "a folder is a voice when it holds a voice.toml");
            return Ok(None);
        }
        let Some(described) = self.inside(root, &described).filter(|file| file.is_file()) else {
            return Ok(None);
        };
        let known = match settings::read::<VoiceSettings>(&described) {
            Ok(Some(known)) => known,
            Ok(None) => return Ok(None),
            // One broken voice costs that voice and nothing else.
            Err(error) => {
                let message = error.to_string();
                self.ignored(path, &message.split_whitespace().collect::<Vec<_>>().join(" "));
                return Ok(None);
            }
        };
        let mut files = Vec::new();
        for item in fs::read_dir(path).map_err(CatalogError::io(path))? {
            let item = item.map_err(CatalogError::io(path))?;
            let Some(real) = self.inside(root, &item.path()).filter(|real| real.is_file()) else { continue };
            let file = item.file_name().to_string_lossy().into_owned();
            if let Some((_, extension)) = split_extension(&file) {
                files.push((source_of(extension, real.clone()), real));
            }
        }
        let Ok([(source, file)]) = <[(VoiceSource, PathBuf); 1]>::try_from(files) else {
            self.ignored(path, "a voice folder holds exactly one voice file");
            return Ok(None);
        };
        if self.is_empty(&file) {
            return Ok(None);
        }
        let stem = nfc(name);
        let mut entry = VoiceEntry {
            id: VoiceId::new(&stem),
            name: stem.clone(),
            file_name: None,
            languages: Vec::new(),
            source,
            licence: None,
            created_at: None,
            hold: None,
        };
        describe(&mut entry, &known);
        Ok(Some(Found { stem, entry }))
    }

    /// Gives files that share a stem their file name as id.
    fn name_by_stem(&mut self) {
        let mut by_stem: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, found) in self.voices.iter().enumerate() {
            by_stem.entry(found.stem.clone()).or_default().push(index);
        }
        for (stem, indices) in by_stem.into_iter().filter(|(_, indices)| indices.len() > 1) {
            for &index in &indices {
                let entry = &mut self.voices[index].entry;
                if let Some(file) = &entry.file_name {
                    entry.id = VoiceId::new(file);
                }
            }
            let ids: Vec<&str> = indices.iter().map(|&i| self.voices[i].entry.id.as_str()).collect();
            let warning = format!("voices {} share a name: `{stem}` means {}", ids.join(", "), ids[0]);
            self.warnings.push(warning);
        }
    }
}

fn describe(entry: &mut VoiceEntry, known: &VoiceSettings) {
    if let Some(name) = &known.name {
        entry.name.clone_from(name);
    }
    if !known.languages.is_empty() {
        entry.languages.clone_from(&known.languages);
    }
    entry.created_at = known.created_at.or(entry.created_at);
    if known.licence.is_some() {
        entry.licence.clone_from(&known.licence);
    }
    if let VoiceSource::Reference { transcript, .. } = &mut entry.source
        && known.transcript.is_some()
    {
        transcript.clone_from(&known.transcript);
    }
}

fn source_of(extension: &str, path: PathBuf) -> VoiceSource {
    match extension.to_ascii_lowercase().as_str() {
        "pt" | "bin" | "safetensors" => VoiceSource::Embedding { path },
        _ => VoiceSource::Reference { path, transcript: None },
    }
}

fn path_of(source: &VoiceSource) -> String {
    match source {
        VoiceSource::Embedding { path } | VoiceSource::Reference { path, .. } => path.display().to_string(),
        VoiceSource::Preset { name } => name.clone(),
        VoiceSource::Blend { .. } => "a blend".to_owned(),
    }
}
