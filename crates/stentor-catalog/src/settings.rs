//! `voices.toml` and `voice.toml`: what people write beside voice files.

use crate::CatalogError;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fs, io, path::Path};
use stentor_types::Language;

/// `voices.toml` of one directory.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DirectorySettings {
    #[serde(default)]
    pub(crate) aliases: BTreeMap<String, Targets>,
    /// By stem or by file name.
    #[serde(default)]
    pub(crate) voices: BTreeMap<String, VoiceSettings>,
}

/// `voice.toml` of a voice folder, or one entry of `voices.toml`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VoiceSettings {
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) languages: Vec<Language>,
    pub(crate) licence: Option<String>,
    /// What is said in the recording.
    pub(crate) transcript: Option<String>,
    /// What an uploading client referred to as the speaker's consent.
    pub(crate) consent: Option<String>,
    /// When it was uploaded, in seconds since 1970.
    pub(crate) created_at: Option<i64>,
}

/// What an alias stands for: one voice, or several of which the first usable one is taken.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Targets {
    One(String),
    Several(Vec<String>),
}

impl Targets {
    pub(crate) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(name) => vec![name],
            Self::Several(names) => names,
        }
    }
}

/// Parses TOML; errors name `file` and the key.
pub(crate) fn parse<T: for<'a> Deserialize<'a>>(file: &str, text: &str) -> Result<T, CatalogError> {
    toml::from_str(text)
        .map_err(|error| CatalogError::Manifest { file: file.to_owned(), message: error.to_string() })
}

/// Reads and parses `path`; `None` when there is no such file.
pub(crate) fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Option<T>, CatalogError> {
    match fs::read_to_string(path) {
        Ok(text) => parse(&path.display().to_string(), &text).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CatalogError::io(path)(error)),
    }
}
