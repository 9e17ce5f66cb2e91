//! From what a client's voice stands for to what the networks are conditioned on.
//!
//! A recording is decoded and checked each time it is loaded, which takes milliseconds; the networks listen to it once. What
//! they heard is kept under a key of the sound itself, of the files of weights that listened, and of this code.

use super::{
    Conditionals,
    cache::{DISK_BYTES, Disk, Key, MEMORY_BYTES, Memory},
    hex,
};
use crate::model::t3::Family;
use sha2::{Digest as _, Sha256};
use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use stentor_audio::{Clip, ClipNeeds, Least};
use stentor_engine::{EngineError, Waiter};
use stentor_nn::{NnError, Unwatched, Watch};
use stentor_types::VoiceSource;

/// The voice in `conds.pt`.
pub const DEFAULT_VOICE: &str = "default";
/// Seconds of a recording that are used: the flow hears 10, T3 6 or 15, the voice encoder all of them.
pub const MAX_SECONDS: f64 = 30.0;
/// Changes when the same recording and the same weights give another voice than before.
const CODE_VERSION: u32 = 1;
/// Shorter recordings give a poorer voice, in seconds.
const GOOD_SECONDS: f64 = 5.0;

/// The networks that listen to a recording.
pub trait Listen {
    /// What `family` is conditioned on to speak like `samples`, mono at `rate`.
    fn listen(
        &self,
        samples: &[f32],
        rate: u32,
        family: Family,
        watch: &dyn Watch,
    ) -> Result<Conditionals, NnError>;
}

/// Reads the listening networks; they go when the voice is made, for they take half a gigabyte.
pub type OpenListener =
    Box<dyn Fn(&VoiceFiles, &dyn Watch) -> Result<Box<dyn Listen>, NnError> + Send + Sync>;

/// Takes one line for the operator.
pub type Report = Box<dyn Fn(&str) + Send + Sync>;

/// The files of a model that voices are made with.
#[derive(Debug, Clone)]
pub struct VoiceFiles {
    /// `ve.safetensors` or `ve.pt`.
    pub voice_encoder: PathBuf,
    /// The file of S3Gen.
    pub s3gen: PathBuf,
    /// `conds.pt`, the default voice.
    pub conds: Option<PathBuf>,
}

/// Makes voices and keeps them. One thread may look up what there is while another makes what there is not.
pub struct Voices {
    family: Family,
    files: VoiceFiles,
    memory: Mutex<Memory>,
    disk: Option<Disk>,
    open: OpenListener,
    report: Report,
}

/// Whoever waits for a voice sees its making move, and ends it by leaving; another who waits for the same one has it made anew.
struct Watched<'a>(&'a Waiter);

impl Watch for Watched<'_> {
    fn tick(&self) -> bool {
        self.0.checkpoint().is_ok()
    }
}

impl Voices {
    /// Voices for models of `family`, kept in `cache_dir` if there is one.
    pub fn new(family: Family, files: VoiceFiles, cache_dir: Option<&Path>, open: OpenListener) -> Self {
        let disk = cache_dir.map(|folder| Disk::new(folder.join("voices"), DISK_BYTES));
        let report: Report = Box::new(stentor_engine::report);
        Self { family, files, memory: Mutex::new(Memory::new(MEMORY_BYTES)), disk, open, report }
    }

    /// Where lines for the operator go; by default to stderr, which a worker's server turns into its log.
    #[must_use]
    pub fn with_report(self, report: Report) -> Self {
        Self { report, ..self }
    }

    /// Names of [`VoiceSource::Preset`] that there are.
    pub fn presets(&self) -> Vec<String> {
        self.files.conds.iter().map(|_| DEFAULT_VOICE.to_owned()).collect()
    }

    /// Reads everything that a voice may need once, so that a damaged file fails the model and not the first request.
    pub fn verify(&self) -> Result<(), NnError> {
        if let Some(conds) = &self.files.conds {
            Conditionals::open(conds)?;
        }
        (self.open)(&self.files, &Unwatched).map(drop)
    }

    /// The voice that `source` stands for. Makes it on the calling thread and the pool that this is in, if need be.
    pub fn load(&self, source: &VoiceSource, waiter: &Waiter) -> Result<Arc<Conditionals>, EngineError> {
        match source {
            VoiceSource::Preset { name } => match &self.files.conds {
                Some(conds) if name == DEFAULT_VOICE => {
                    let voice = Conditionals::open(conds);
                    voice.map(Arc::new).map_err(|error| EngineError::Failed(error.to_string()))
                }
                _ => Err(EngineError::Rejected(format!("the model has no voice `{name}`"))),
            },
            VoiceSource::Embedding { path } => Conditionals::open(path).map(Arc::new).map_err(|error| {
                EngineError::Rejected(format!("voice {}: {}", shown(path), without_folder(&error, path)))
            }),
            VoiceSource::Reference { path, .. } => self.of_recording(path, waiter),
            VoiceSource::Blend { .. } => {
                Err(EngineError::Rejected("this model cannot blend voices; ask for one of them".to_owned()))
            }
        }
    }

    fn of_recording(&self, path: &Path, waiter: &Waiter) -> Result<Arc<Conditionals>, EngineError> {
        let reject = |error| EngineError::Rejected(format!("voice {}: {error}", shown(path)));
        waiter.checkpoint()?;
        let clip = Clip::open(path, MAX_SECONDS).map_err(reject)?;
        waiter.checkpoint()?;
        let checked = clip.check(needs(self.family)).map_err(reject)?;
        let key = self.key(&clip);
        if let Some(voice) = self.memory().get(&key) {
            return Ok(voice);
        }
        for note in clip.notes.iter().chain(&checked) {
            (self.report)(&format!("voice {}: {note}", shown(path)));
        }
        let voice = match self.disk.as_ref().and_then(|disk| disk.get(&key)) {
            Some(voice) => voice,
            None => self.listen(&clip, &key, &Watched(waiter))?,
        };
        let voice = Arc::new(voice);
        self.memory().put(key, voice.clone());
        Ok(voice)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(&self, clip: &Clip, key: &str, watch: &dyn Watch) -> Result<Conditionals, EngineError> {
        let listener = (self.open)(&self.files, watch);
        let voice = listener
            .and_then(|listener| listener.listen(&clip.samples, clip.rate, self.family, watch))
            .map_err(|error| match error {
                NnError::Stopped => EngineError::Cancelled,
                other => EngineError::Failed(other.to_string()),
            })?;
        if let Some(disk) = &self.disk
            && let Err(error) = disk.put(key, &voice)
        {
            // It will be made again at the next start.
            (self.report)(&format!("a voice could not be kept on disk: {error}"));
        }
        Ok(voice)
    }

    /// Of the sound, of the listening networks' files as they look now, and of the code.
    fn key(&self, clip: &Clip) -> Key {
        let mut hash = Sha256::new();
        hash.update(CODE_VERSION.to_le_bytes());
        hash.update([self.family as u8]);
        for path in [&self.files.voice_encoder, &self.files.s3gen] {
            // In the hub's cache the name that links lead to is the content's own hash.
            let real = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
            let name = real.as_os_str().as_encoded_bytes();
            hash.update((name.len() as u64).to_le_bytes());
            hash.update(name);
            if let Ok(data) = fs::metadata(&real) {
                hash.update(data.len().to_le_bytes());
                hash.update(data.mtime().to_le_bytes());
                hash.update(data.mtime_nsec().to_le_bytes());
            }
        }
        hash.update(clip.rate.to_le_bytes());
        for sample in &clip.samples {
            hash.update(sample.to_le_bytes());
        }
        hex(&hash.finalize())
    }
}

/// What each family was trained to hear.
fn needs(family: Family) -> ClipNeeds {
    let least = match family {
        Family::English | Family::Multilingual => Least::AtLeast(1.0),
        Family::Turbo => Least::MoreThan(5.0),
    };
    ClipNeeds { least, good: GOOD_SECONDS }
}

/// `Emily` (Emily.wav): clients know the name, and folders are not their business.
fn shown(path: &Path) -> String {
    let part = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    format!("`{}` ({})", part(path.file_stem()), part(path.file_name()))
}

/// The error's text without the folder of `path`.
fn without_folder(error: &NnError, path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    error.to_string().replace(&path.display().to_string(), &name)
}
