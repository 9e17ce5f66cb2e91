//! Digests of voices by their content, so that what was spoken with a voice is known from what would be spoken now.

use crate::CatalogError;
use sha2::{Digest as _, Sha256};
use std::{
    collections::HashMap,
    fs::{File, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use stentor_types::VoiceSource;

/// Files whose hash is remembered; about a megabyte. Past it all are forgotten and hashed anew as they come.
const REMEMBERED: usize = 4096;

/// All clones share what they remember.
#[derive(Debug, Clone, Default)]
pub(crate) struct Digests(Arc<Mutex<HashMap<PathBuf, (Look, String)>>>);

/// What a file looks like from outside. A copy that keeps size and time of what it replaces is another file still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Look {
    bytes: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Look {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            bytes: metadata.len(),
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Digests {
    pub(crate) fn of(&self, source: &VoiceSource) -> Result<String, CatalogError> {
        match source {
            VoiceSource::Preset { name } => Ok(format!("preset:{name}")),
            VoiceSource::Embedding { path } | VoiceSource::Reference { path, transcript: None } => {
                self.of_file(path)
            }
            VoiceSource::Reference { path, transcript: Some(transcript) } => {
                let mut hash = Sha256::new();
                add(&mut hash, self.of_file(path)?.as_bytes());
                add(&mut hash, transcript.as_bytes());
                Ok(hex(hash))
            }
            VoiceSource::Blend { parts } => {
                let mut hash = Sha256::new();
                for (part, weight) in parts {
                    add(&mut hash, self.of(part)?.as_bytes());
                    add(&mut hash, &weight.to_le_bytes());
                }
                Ok(format!("blend:{}", hex(hash)))
            }
        }
    }

    fn of_file(&self, path: &Path) -> Result<String, CatalogError> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => CatalogError::VoiceGone { path: path.to_owned() },
            _ => CatalogError::io(path)(error),
        };
        let file = File::open(path).map_err(failed)?;
        let before = Look::of(&file.metadata().map_err(failed)?);
        if let Some((_, known)) = self.remembered().get(path).filter(|(look, _)| *look == before) {
            return Ok(known.clone());
        }
        let digest = hash_of(&file).map_err(failed)?;
        // What changed while it was read will be read again.
        if Look::of(&file.metadata().map_err(failed)?) == before {
            let mut remembered = self.remembered();
            if remembered.len() >= REMEMBERED {
                remembered.clear();
            }
            remembered.insert(path.to_owned(), (before, digest.clone()));
        }
        Ok(digest)
    }

    fn remembered(&self) -> MutexGuard<'_, HashMap<PathBuf, (Look, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// SHA-256 of all that can be read, as lower-case hex.
pub(crate) fn hash_of(mut from: impl io::Read) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 17];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(hex(hash)),
            Ok(read) => hash.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// With its length, so that no two lists of parts give the same hash.
pub(crate) fn add(hash: &mut Sha256, part: &[u8]) {
    hash.update((part.len() as u64).to_le_bytes());
    hash.update(part);
}

pub(crate) fn hex(hash: Sha256) -> String {
    hash.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        for digit in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(digit.into(), 16));
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Catalog, CatalogConfig};
    use std::fs;

    #[test]
    fn what_was_hashed_once_is_remembered_by_clones_and_over_reloads_until_the_file_changes() {
        let dir = tempfile::tempdir().unwrap();
        let config = CatalogConfig { data_dir: dir.path().to_owned(), ..CatalogConfig::default() };
        let mut catalog = Catalog::open(config).unwrap();
        let path = dir.path().join("a.pt");
        fs::write(&path, "a").unwrap();
        let of =
            |catalog: &Catalog| catalog.voice_digest(&VoiceSource::Embedding { path: path.clone() }).unwrap();
        let hash = of(&catalog);
        // A mark in the place of the hash shows where an answer comes from.
        catalog.digests.remembered().get_mut(&path).unwrap().1 = "remembered".to_owned();
        assert_eq!(of(&catalog.clone()), "remembered");
        catalog.reload().unwrap();
        assert_eq!(of(&catalog), "remembered");
        fs::write(&path, "ab").unwrap();
        assert_ne!(of(&catalog), "remembered");
        fs::write(&path, "a").unwrap();
        assert_eq!(of(&catalog), hash);
    }

    #[test]
    fn no_more_files_are_remembered_than_the_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.pt");
        fs::write(&path, "a").unwrap();
        let digests = Digests::default();
        let look = Look::of(&fs::metadata(&path).unwrap());
        for n in 0..REMEMBERED {
            digests.remembered().insert(PathBuf::from(n.to_string()), (look, String::new()));
        }
        digests.of_file(&path).unwrap();
        assert_eq!(digests.remembered().len(), 1);
    }

    #[test]
    fn hashes_are_those_that_other_tools_print() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash_of(&b"abc"[..]).unwrap(), abc);
    }
}
