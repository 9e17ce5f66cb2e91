//! What the catalog's directories look like from outside, to see whether reading them again is worth the while.

use crate::{CatalogConfig, LOCK_FILE, digest::Look, uploads};
use std::{
    ffi::OsString,
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::Path,
};

/// Names, sizes and times of everything that [`crate::Catalog::open`] reads.
pub(crate) fn fingerprint(config: &CatalogConfig) -> u64 {
    let mut hasher = DefaultHasher::new();
    let data_dir = &config.data_dir;
    let own = [data_dir.join("models"), data_dir.join("voices"), uploads::directory(data_dir)];
    for directory in own.iter().chain(&config.model_dirs).chain(&config.voice_dirs) {
        directory.hash(&mut hasher);
        // A folder in it is a voice, or the files of a model that somebody put there.
        hash_directory(directory, 1, &mut hasher);
    }
    hash_file(&config.data_dir.join(LOCK_FILE), &mut hasher);
    hasher.finish()
}

fn hash_directory(directory: &Path, depth: u32, hasher: &mut DefaultHasher) {
    let Ok(entries) = fs::read_dir(directory) else {
        // Not there, or not readable: that too is a look, and another one once it is.
        return hasher.write_u8(0);
    };
    let mut names: Vec<OsString> = entries.flatten().map(|entry| entry.file_name()).collect();
    names.sort_unstable();
    names.len().hash(hasher);
    for name in names {
        let path = directory.join(&name);
        name.hash(hasher);
        if depth > 0 && path.is_dir() {
            hash_directory(&path, depth - 1, hasher);
        } else {
            hash_file(&path, hasher);
        }
    }
}

/// Links are followed: what they lead to is what is read.
fn hash_file(path: &Path, hasher: &mut DefaultHasher) {
    fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|data| Look::of(&data)).hash(hasher);
}
