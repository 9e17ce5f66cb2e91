//! The voices of one model, ready for look-up: by id, file name, stem, and stem in folded form.

use crate::{
    Hold,
    names::{fold, strip_extension},
    registry::Found,
};
use std::collections::HashMap;
use stentor_types::{Language, VoiceId, VoiceSource};

/// A voice as listings show it.
#[derive(Debug, Clone, PartialEq)]
pub struct VoiceEntry {
    /// The stem; the file name where two files share a stem.
    pub id: VoiceId,
    /// For people; the id unless `voices.toml` says otherwise.
    pub name: String,
    /// As on disk; `None` for presets and voice folders.
    pub file_name: Option<String>,
    /// The language the voice was made for first. Empty when unknown.
    pub languages: Vec<Language>,
    pub source: VoiceSource,
    pub licence: Option<String>,
    /// When a client uploaded it, in seconds since 1970.
    pub created_at: Option<i64>,
    /// Of an uploaded voice: keeps its files.
    pub hold: Option<Hold>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct VoiceIndex {
    entries: Vec<VoiceEntry>,
    ids: HashMap<String, usize>,
    files: HashMap<String, usize>,
    stems: HashMap<String, usize>,
    folded: HashMap<String, usize>,
    /// By the name for people, folded.
    names: HashMap<String, usize>,
}

impl VoiceIndex {
    /// Keeps the order of `voices` for listings.
    pub(crate) fn new(voices: impl Iterator<Item = Found>) -> Self {
        let mut index = Self::default();
        let mut by_name = Vec::new();
        for found in voices {
            let position = index.entries.len();
            index.ids.insert(found.entry.id.as_str().to_owned(), position);
            if let Some(file) = &found.entry.file_name {
                index.files.insert(file.clone(), position);
            }
            let name = found.entry.file_name.clone().unwrap_or_else(|| found.stem.clone());
            by_name.push((name, found.stem, position));
            index.names.entry(fold(&found.entry.name)).or_insert(position);
            index.entries.push(found.entry);
        }
        // Alphabetically: whoever comes first takes a shared stem.
        by_name.sort_unstable();
        for (_, stem, position) in by_name {
            index.folded.entry(fold(&stem)).or_insert(position);
            index.stems.entry(stem).or_insert(position);
        }
        index
    }

    pub(crate) fn entries(&self) -> &[VoiceEntry] {
        &self.entries
    }

    fn at(&self, position: Option<&usize>) -> Option<&VoiceEntry> {
        position.and_then(|&position| self.entries.get(position))
    }

    /// By exact id, then by exact file name.
    pub(crate) fn exact(&self, name: &str) -> Option<&VoiceEntry> {
        self.at(self.ids.get(name)).or_else(|| self.at(self.files.get(name)))
    }

    /// By stem after one known extension is removed, exactly, then ignoring case and Unicode composition.
    pub(crate) fn stem(&self, name: &str) -> Option<&VoiceEntry> {
        let stem = strip_extension(name);
        self.at(self.stems.get(stem)).or_else(|| self.at(self.folded.get(&fold(stem))))
    }

    /// By the name that listings show, with or without a known extension, ignoring case and Unicode composition.
    pub(crate) fn named(&self, name: &str) -> Option<&VoiceEntry> {
        let by = |name| self.at(self.names.get(&fold(name)));
        by(name).or_else(|| by(strip_extension(name)))
    }
}
