//! `<data-dir>/models.lock`: which commit of a repository was pulled, and size and hash of every file of it.
//!
//! TOML, rewritten whole: to a new file, synced, then renamed over the old one, under a lock between processes.

use crate::{CatalogError, settings};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    path::Path,
};

/// File name in the data directory.
pub const LOCK_FILE: &str = "models.lock";

const HEADING: &str = "# Written by `stentor pull`. Remove a model's tables to have it resolved anew.\n";

/// All pulled models by id.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelsLock {
    #[serde(default)]
    pub models: BTreeMap<String, LockedModel>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedModel {
    /// `owner/name` on the hub.
    pub repository: String,
    /// The commit.
    pub revision: String,
    /// By path in the repository.
    #[serde(default)]
    pub files: BTreeMap<String, LockedFile>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedFile {
    /// Bytes.
    pub size: u64,
    /// Lower-case hex.
    pub sha256: String,
}

impl ModelsLock {
    /// Reads the lock of a data directory; empty when there is none.
    pub fn read(data_dir: &Path) -> Result<Self, CatalogError> {
        settings::read(&data_dir.join(LOCK_FILE)).map(Option::unwrap_or_default)
    }

    /// Applies `change` to what is on disk now and writes it back; waits for other writers.
    pub(crate) fn update(data_dir: &Path, change: impl FnOnce(&mut Self)) -> Result<(), CatalogError> {
        fs::create_dir_all(data_dir).map_err(CatalogError::io(data_dir))?;
        let guard_path = data_dir.join(".models.lock.guard");
        let guard = File::create(&guard_path).map_err(CatalogError::io(&guard_path))?;
        guard.lock().map_err(CatalogError::io(&guard_path))?;
        let mut lock = Self::read(data_dir)?;
        change(&mut lock);
        lock.write(data_dir)
    }

    fn write(&self, data_dir: &Path) -> Result<(), CatalogError> {
        let path = data_dir.join(LOCK_FILE);
        let text = toml::to_string(self).map_err(|error| CatalogError::Manifest {
            file: path.display().to_string(),
            message: error.to_string(),
        })?;
        let new = data_dir.join(".models.lock.new");
        let written = File::create(&new).and_then(|mut file| {
            file.write_all(HEADING.as_bytes())?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
        written.map_err(CatalogError::io(&new))?;
        fs::rename(&new, &path).map_err(CatalogError::io(&path))?;
        // The rename itself lasts once the directory is on disk; directories cannot be opened everywhere.
        if let Ok(directory) = File::open(data_dir) {
            directory.sync_all().map_err(CatalogError::io(data_dir))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concurrent_updates_are_all_kept() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let dir = dir.path();
                scope.spawn(move || {
                    for step in 0..5 {
                        let id = format!("m{thread}-{step}");
                        ModelsLock::update(dir, |lock| {
                            lock.models.insert(id, LockedModel::default());
                        })
                        .unwrap();
                    }
                });
            }
        });
        assert_eq!(ModelsLock::read(dir.path()).unwrap().models.len(), 20);
        assert!(!dir.path().join(".models.lock.new").exists());
    }

    #[test]
    fn a_lock_is_read_back_and_a_broken_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(ModelsLock::read(dir.path()).unwrap(), ModelsLock::default());
        let file = LockedFile { size: 3, sha256: "ab".to_owned() };
        let model = LockedModel {
            repository: "a/b".to_owned(),
            revision: "c".to_owned(),
            files: [("voices/x.pt".to_owned(), file)].into(),
        };
        ModelsLock::update(dir.path(), |lock| {
            lock.models.insert("kokoro".to_owned(), model.clone());
        })
        .unwrap();
        assert_eq!(ModelsLock::read(dir.path()).unwrap().models["kokoro"], model);
        fs::write(dir.path().join(LOCK_FILE), "models = 3").unwrap();
        assert!(ModelsLock::read(dir.path()).unwrap_err().to_string().contains("models.lock"));
    }
}
