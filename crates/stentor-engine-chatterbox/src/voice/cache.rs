//! Voices that were made of recordings once: in memory, and on disk for the next start.

use super::Conditionals;
use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What a voice is made of and by what, as lower-case hex: see [`super::store`].
pub type Key = String;

/// Bytes of files kept on disk: about four hundred voices.
pub const DISK_BYTES: u64 = 64 << 20;
/// Bytes of voices kept in memory: about two hundred.
pub const MEMORY_BYTES: usize = 32 << 20;
/// No voice's file is larger.
const MAX_FILE: u64 = 4 << 20;

/// Voices by key, the least recently used first; bounded by their bytes, though the latest is kept whatever its size.
pub struct Memory {
    bound: usize,
    voices: Vec<(Key, Arc<Conditionals>)>,
}

impl Memory {
    pub fn new(bound: usize) -> Self {
        Self { bound, voices: Vec::new() }
    }

    pub fn get(&mut self, key: &str) -> Option<Arc<Conditionals>> {
        let at = self.voices.iter().position(|(known, _)| known == key)?;
        let found = self.voices.remove(at);
        let voice = found.1.clone();
        self.voices.push(found);
        Some(voice)
    }

    pub fn put(&mut self, key: Key, voice: Arc<Conditionals>) {
        self.voices.retain(|(known, _)| *known != key);
        self.voices.push((key, voice));
        while self.voices.len() > 1 && self.bytes() > self.bound {
            self.voices.remove(0);
        }
    }

    fn bytes(&self) -> usize {
        self.voices.iter().map(|(_, voice)| voice.bytes()).sum()
    }
}

/// A folder of files named by key, of which those not used for longest go first. It may be emptied at any time.
pub struct Disk {
    folder: PathBuf,
    bound: u64,
}

impl Disk {
    /// The folder is made when the first voice is put.
    pub fn new(folder: PathBuf, bound: u64) -> Self {
        Self { folder, bound }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}.safetensors"))
    }

    /// `None` also for a file that is damaged; it will be written anew.
    pub fn get(&self, key: &str) -> Option<Conditionals> {
        let path = self.path(key);
        let size = fs::metadata(&path).ok()?.len();
        let voice =
            Some(&path).filter(|_| size <= MAX_FILE).and_then(|path| Conditionals::open_sealed(path).ok())?;
        // Written again it is the latest by its time. Where that fails it only goes earlier.
        drop(self.put(key, &voice));
        Some(voice)
    }

    /// Writes a voice beside its place and renames it, then makes room.
    pub fn put(&self, key: &str, voice: &Conditionals) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let bytes = voice.to_safetensors().map_err(io::Error::other)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(&bytes)?;
        let path = self.path(key);
        file.persist(&path).map_err(|error| error.error)?;
        self.make_room(&path)
    }

    fn make_room(&self, latest: &Path) -> io::Result<()> {
        let mut files = Vec::new();
        for item in fs::read_dir(&self.folder)? {
            let item = item?;
            // What another worker has just removed is gone.
            let Ok(data) = item.metadata() else { continue };
            if data.is_file() {
                files.push(((data.mtime(), data.mtime_nsec()), data.len(), item.path()));
            }
        }
        let mut bytes: u64 = files.iter().map(|(_, size, _)| size).sum();
        files.sort_unstable();
        for (_, size, path) in files {
            if bytes <= self.bound {
                break;
            }
            if path != latest {
                fs::remove_file(&path)?;
                bytes -= size;
            }
        }
        Ok(())
    }
}
