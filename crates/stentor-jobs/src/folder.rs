//! The folder of chunk files: one file for each key, complete or not there. Everything here blocks.
//!
//! Several processes may share a folder: a file appears under its name by a rename, and one that vanished was never
//! there. A file in the making is locked by its writer, so that whoever opens the folder can tell it from a left-over.

use crate::chunk_file;
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};
use stentor_types::{ChunkKey, SpokenChunk};

const FILE: &str = "chunk";
const UNFINISHED: &str = "part";
/// Names tried for an unfinished file.
const ATTEMPTS: u32 = 8;

pub(crate) struct Folder(PathBuf);

/// A file as [`Folder::scan`] finds it.
pub(crate) struct FoundFile {
    pub(crate) key: ChunkKey,
    pub(crate) bytes: u64,
    /// Seconds and nanoseconds; only compared.
    modified: (i64, i64),
}

/// What reading a key's file can come to.
pub(crate) enum FileRead {
    Sound(SpokenChunk, u64),
    /// No file, or one that can't be opened.
    Missing,
    /// It was removed.
    Unsound,
}

impl Folder {
    /// Makes the folder when it is missing, and makes sure that it can be read and written.
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        make(&path)?;
        fs::read_dir(&path)?;
        let probe = path.join(format!(".{}.{UNFINISHED}", std::process::id()));
        drop(File::create(&probe)?);
        // Another opener may have taken it for a left-over.
        drop(fs::remove_file(&probe));
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The files that are there, latest first. Removes what writers that are gone left behind; leaves what is not
    /// the store's alone.
    pub(crate) fn scan(&self) -> io::Result<Vec<FoundFile>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.0)?.flatten() {
            let name = entry.file_name();
            let Some((stem, extension)) = name.to_str().and_then(|name| name.rsplit_once('.')) else {
                continue;
            };
            if extension == UNFINISHED {
                remove_left_over(&entry.path());
            } else if extension == FILE
                && let Some(key) = parse_key(stem)
                && let Ok(metadata) = entry.metadata()
                && metadata.is_file()
            {
                let modified = (metadata.mtime(), metadata.mtime_nsec());
                found.push(FoundFile { key, bytes: metadata.len(), modified });
            }
        }
        found.sort_by_key(|file| std::cmp::Reverse(file.modified));
        Ok(found)
    }

    /// Reads a key's file; one longer than `limit` bytes is not sound.
    pub(crate) fn read(&self, key: &ChunkKey, limit: u64) -> FileRead {
        let Ok(file) = File::open(self.file(key)) else { return FileRead::Missing };
        let mut bytes = Vec::new();
        if file.take(limit.saturating_add(1)).read_to_end(&mut bytes).is_err() {
            return FileRead::Missing;
        }
        if let Some(chunk) = chunk_file::decode(key, &bytes) {
            return FileRead::Sound(chunk, bytes.len() as u64);
        }
        self.remove(key);
        FileRead::Unsound
    }

    /// Writes a key's file beside its place, brings it to the disk and renames it.
    pub(crate) fn write(&self, key: &ChunkKey, chunk: &SpokenChunk) -> io::Result<()> {
        let bytes = chunk_file::encode(key, chunk);
        let (unfinished, mut file) = match self.create_unfinished(key) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Somebody cleared the cache folder away under the running program.
                make(&self.0)?;
                self.create_unfinished(key)?
            }
            result => result?,
        };
        // Where locks are not to be had, an opener may take the file away: then the rename fails, and that is all.
        drop(file.try_lock());
        let written = file.write_all(&bytes).and_then(|()| file.sync_all());
        let renamed = written.and_then(|()| fs::rename(&unfinished, self.file(key)));
        renamed.inspect_err(|_| drop(fs::remove_file(&unfinished)))
    }

    /// A file of its own also where two processes have one id, each as the first of its container.
    fn create_unfinished(&self, key: &ChunkKey) -> io::Result<(PathBuf, File)> {
        let mut attempt = 0;
        loop {
            let path = self.0.join(format!("{key}.{}-{attempt}.{UNFINISHED}", std::process::id()));
            // What was spoken is nobody else's to hear.
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < ATTEMPTS => {
                    attempt += 1;
                }
                result => return result.map(|file| (path, file)),
            }
        }
    }

    pub(crate) fn remove(&self, key: &ChunkKey) {
        // A file that another process removed before is gone just as well.
        drop(fs::remove_file(self.file(key)));
    }

    pub(crate) fn has(&self, key: &ChunkKey) -> bool {
        self.file(key).exists()
    }

    fn file(&self, key: &ChunkKey) -> PathBuf {
        self.0.join(format!("{key}.{FILE}"))
    }
}

fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Removes an unfinished file unless its writer lives.
fn remove_left_over(path: &Path) {
    if File::open(path).is_ok_and(|file| file.try_lock().is_ok()) {
        drop(fs::remove_file(path));
    }
}

fn parse_key(hex: &str) -> Option<ChunkKey> {
    let digits = hex.as_bytes().as_chunks::<2>();
    if hex.len() != 64 || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut key = [0; 32];
    for (byte, pair) in key.iter_mut().zip(digits.0) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(ChunkKey(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_being_written_outlives_another_opener() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path().to_owned()).unwrap();
        let key = ChunkKey([3; 32]);
        let (unfinished, writer) = folder.create_unfinished(&key).unwrap();
        writer.try_lock().unwrap();
        let (other, another) = folder.create_unfinished(&key).unwrap();
        assert_ne!(unfinished, other, "one writer never gets another's file");
        drop(another);
        assert!(folder.scan().unwrap().is_empty() && unfinished.exists() && !other.exists());
        drop(writer);
        assert!(folder.scan().unwrap().is_empty() && !unfinished.exists());
    }

    #[test]
    fn names_are_keys_or_left_alone() {
        let key = ChunkKey(std::array::from_fn(|i| i as u8 * 8));
        assert_eq!(parse_key(&key.to_string()), Some(key));
        for bad in ["", "00", &"g".repeat(64), &"A".repeat(64), &"+1".repeat(32), &"é".repeat(32)] {
            assert_eq!(parse_key(bad), None, "{bad}");
        }
    }
}
