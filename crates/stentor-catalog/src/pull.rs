//! `stentor pull`: brings a model's files into the hub cache, checked, and records them in `models.lock`.

use crate::{
    CatalogConfig, CatalogError, Model,
    attempt::{Failure, PART, contained},
    fetch::{Fetch, Wanted},
    model::hub_cache,
    names::{nearest, shown},
};
use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Attempts in a row that bring no new part of a file before the pull gives up.
const ATTEMPTS: u32 = 4;
/// Attempts in a row in which the hub fell silent before the pull gives up.
const SILENT_ATTEMPTS: u32 = 2;
const FIRST_DELAY: Duration = Duration::from_millis(250);
/// How often a pull looks whether another one has finished.
const LOCK_POLL: Duration = Duration::from_millis(100);

/// What a pull is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullEvent {
    /// Another pull of the same repository is running; this one waits for it.
    Waiting,
    /// File number `index` (from zero) of `files` is `size` bytes long.
    Start { file: String, size: u64, index: usize, files: usize },
    /// So many more bytes are there, also those that an earlier attempt had left.
    Advance { bytes: u64 },
    /// The file is being hashed.
    Verify { file: String },
    /// The file is there and right; `fetched` is false when it was before.
    Done { file: String, size: u64, fetched: bool },
    /// The connection failed; the next attempt goes on from where this one got to.
    Retry { error: String },
}

/// Receives the events of a pull, in order, on the task that awaits it.
pub trait PullProgress: Send + Sync {
    fn event(&self, event: &PullEvent);
}

impl PullProgress for () {
    fn event(&self, _event: &PullEvent) {}
}

/// What a pull left on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The commit.
    pub revision: String,
    pub directory: PathBuf,
    /// Paths in the repository.
    pub fetched: Vec<String>,
    /// Files that were there and right before.
    pub present: Vec<String>,
    /// Size of all files together.
    pub bytes: u64,
}

impl Pulled {
    /// How many files the model has now by this pull, fetched or present.
    pub fn files(&self) -> usize {
        self.fetched.len() + self.present.len()
    }
}

/// Fetches what is missing of `model`: its files and all its published voices.
///
/// A file counts as present when its size and hash are those in `models.lock`; if all are, the network is not
/// touched. Reload the catalog afterwards.
pub async fn pull(
    config: &CatalogConfig,
    model: &Model,
    progress: &dyn PullProgress,
) -> Result<Pulled, CatalogError> {
    pull_files(config, model, None, progress).await
}

/// As [`pull()`], but of the published voices only `voices`.
pub async fn pull_voices(
    config: &CatalogConfig,
    model: &Model,
    voices: &[String],
    progress: &dyn PullProgress,
) -> Result<Pulled, CatalogError> {
    pull_files(config, model, Some(voices), progress).await
}

async fn pull_files(
    config: &CatalogConfig,
    model: &Model,
    voices: Option<&[String]>,
    progress: &dyn PullProgress,
) -> Result<Pulled, CatalogError> {
    let wanted = wanted_files(model, voices)?;
    let source = model.manifest().source.clone();
    let source = source.ok_or_else(|| CatalogError::NothingToPull { model: model.id.clone() })?;
    let lock = Arc::new(repository_lock(config, &source.hub, progress).await?);
    let mut pulled = Pulled {
        revision: String::new(),
        directory: PathBuf::new(),
        fetched: Vec::new(),
        present: Vec::new(),
        bytes: 0,
    };
    let mut patience = Patience::default();
    loop {
        let fetch = Fetch::new(config.clone(), model.id.clone(), source.clone(), &wanted, &pulled)?;
        let mut new_parts = false;
        // The attempt holds the lock too: when this future is dropped, it may take a moment to notice.
        let held = lock.clone();
        let result = contained((fetch, held), &source.hub, |event, bytes_of_file| {
            new_parts |= bytes_of_file >= PART as u64;
            if let PullEvent::Done { file, size, fetched } = &event {
                let list = if *fetched { &mut pulled.fetched } else { &mut pulled.present };
                list.push(file.clone());
                pulled.bytes += size;
                new_parts = true;
            }
            progress.event(&event);
        });
        match result.await {
            Ok((revision, directory)) => return Ok(Pulled { revision, directory, ..pulled }),
            Err(failure) => {
                let (error, delay) = patience.after(failure, new_parts)?;
                progress.event(&PullEvent::Retry { error: error.to_string() });
                tokio::time::sleep(delay).await;
            }
        }
    }
}

/// Counts attempts in a row that brought nothing.
#[derive(Default)]
struct Patience {
    failures: u32,
    silences: u32,
}

impl Patience {
    /// The failure and how long to wait before the next attempt; as an error when there is to be none.
    fn after(&mut self, failure: Failure, new_parts: bool) -> Result<(CatalogError, Duration), CatalogError> {
        if new_parts {
            *self = Self::default();
        }
        self.failures += 1;
        let error = match failure {
            Failure::Final(error) => return Err(error),
            Failure::Passing(error) => {
                self.silences = 0;
                error
            }
            Failure::Silent(error) => {
                self.silences += 1;
                error
            }
        };
        if self.failures >= ATTEMPTS || self.silences >= SILENT_ATTEMPTS {
            return Err(error);
        }
        Ok((error, FIRST_DELAY * 2_u32.pow(self.failures - 1)))
    }
}

fn wanted_files(model: &Model, voices: Option<&[String]>) -> Result<Vec<Wanted>, CatalogError> {
    let manifest = model.manifest();
    let mut wanted: Vec<Wanted> = manifest.files.iter().map(Wanted::from).collect();
    let published: Vec<&str> = manifest.voices.iter().map(|(_, name)| name).collect();
    for name in voices.unwrap_or_default() {
        if !published.contains(&name.as_str()) {
            let nearest = nearest(name, published.iter().copied());
            return Err(CatalogError::VoiceNotFound { name: shown(name), nearest });
        }
    }
    let chosen =
        published.into_iter().filter(|name| voices.is_none_or(|only| only.iter().any(|o| o == name)));
    wanted.extend(chosen.filter_map(|name| manifest.voices.file(name)).map(Wanted::unknown));
    Ok(wanted)
}

/// Waits until no other pull, of this or another process, works on the repository.
async fn repository_lock(
    config: &CatalogConfig,
    hub: &str,
    progress: &dyn PullProgress,
) -> Result<File, CatalogError> {
    let path = lock_path(hub_cache(config).path(), hub);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(CatalogError::io(parent))?;
    }
    let file = File::create(&path).map_err(CatalogError::io(&path))?;
    let mut said = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {
                if !said {
                    progress.event(&PullEvent::Waiting);
                    said = true;
                }
                tokio::time::sleep(LOCK_POLL).await;
            }
            Err(TryLockError::Error(error)) => return Err(CatalogError::io(&path)(error)),
        }
    }
}

fn lock_path(cache: &Path, hub: &str) -> PathBuf {
    cache.join(".locks").join(format!("models--{}", hub.replace('/', "--"))).join("stentor-pull.lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error() -> CatalogError {
        CatalogError::Hub { repository: "a/b".into(), file: "c".into(), message: "d".into() }
    }

    #[test]
    fn a_silent_hub_gets_two_attempts_and_a_failing_one_four() {
        let attempts = |failure: fn(CatalogError) -> Failure| {
            let mut patience = Patience::default();
            1 + (0..9).take_while(|_| patience.after(failure(error()), false).is_ok()).count()
        };
        assert_eq!(attempts(Failure::Silent), 2);
        assert_eq!(attempts(Failure::Passing), 4);
        assert_eq!(attempts(Failure::Final), 1);
    }

    #[test]
    fn new_parts_renew_the_patience() {
        let mut patience = Patience::default();
        for _ in 0..10 {
            let (_, delay) = patience.after(Failure::Silent(error()), true).unwrap();
            assert_eq!(delay, FIRST_DELAY);
        }
        assert!(patience.after(Failure::Silent(error()), false).is_err());
    }
}
