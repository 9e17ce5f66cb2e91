//! `models/<id>.toml`: what a model is, which files it needs and where they are published.

use crate::CatalogError;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path},
};
use stentor_types::{Language, VoiceKind};

/// The voice names of OpenAI's speech endpoint.
pub const OPENAI_VOICES: [&str; 13] = [
    "alloy", "ash", "ballad", "coral", "echo", "fable", "onyx", "nova", "sage", "shimmer", "verse", "marin",
    "cedar",
];

/// One manifest. The model's id is the file's stem; an unknown key is an error.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Name in the worker's registry of engines.
    pub engine: String,
    pub title: String,
    #[serde(default)]
    pub description: String,
    /// SPDX expression.
    pub licence: String,
    /// Works the model was made from and their terms.
    #[serde(default)]
    pub notices: Vec<String>,
    pub languages: Vec<Language>,
    /// The installed model with the highest rank is the default.
    #[serde(default)]
    pub rank: i32,
    /// Kinds of voices that the engine takes with this model.
    pub voice_kinds: Vec<VoiceKind>,
    /// A recording must last longer than this to be a voice of the model, in seconds; the engine refuses shorter ones.
    pub recording_over_secs: Option<f64>,
    /// Planning figure for placing the model; the worker reports what it measured.
    pub memory_mib: Option<u64>,
    pub source: Option<HubSource>,
    #[serde(default)]
    pub files: Vec<FileSpec>,
    #[serde(default)]
    pub voices: PublishedVoices,
    /// OpenAI's voice names to this model's; names left out mean the default voice.
    #[serde(default)]
    pub openai: BTreeMap<String, String>,
}

/// A model repository on the hub.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubSource {
    /// `owner/name`.
    pub hub: String,
    /// Branch, tag or commit; what it stood for at the first pull is kept in `models.lock`.
    #[serde(default = "main_branch")]
    pub revision: String,
}

fn main_branch() -> String {
    "main".to_owned()
}

/// A file that the model cannot load without.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    /// What the engine uses it for: `config`, `weights`, ...
    pub role: String,
    /// In the repository, with `/`.
    pub path: String,
    /// Bytes.
    pub size: Option<u64>,
    /// 64 lower-case hex digits.
    pub sha256: Option<String>,
}

/// What the published voices are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PublishedKind {
    /// Inside the model's own files.
    #[default]
    Preset,
    /// One file per voice in the repository.
    Embedding,
}

/// Voices that are published with the model.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedVoices {
    #[serde(default)]
    pub kind: PublishedKind,
    /// For embeddings: path in the repository, with `{name}` in it.
    pub path: Option<String>,
    pub default: Option<String>,
    /// Voice names by language.
    #[serde(default)]
    pub names: BTreeMap<Language, Vec<String>>,
}

impl PublishedVoices {
    pub fn iter(&self) -> impl Iterator<Item = (&Language, &str)> {
        self.names
            .iter()
            .flat_map(|(language, names)| names.iter().map(move |name| (language, name.as_str())))
    }

    /// Path in the repository of the file that holds `name`, for embeddings.
    pub fn file(&self, name: &str) -> Option<String> {
        self.path.as_ref().map(|path| path.replace("{name}", name))
    }
}

impl Manifest {
    /// Reads and checks `text`; `file` is named in errors.
    pub fn parse(file: &str, text: &str) -> Result<Self, CatalogError> {
        let wrong = |message: String| CatalogError::Manifest { file: file.to_owned(), message };
        let manifest: Self = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        manifest.check().map_err(wrong)?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), String> {
        let empty = |key: &str, is: bool| if is { Err(format!("`{key}` is empty")) } else { Ok(()) };
        empty("engine", self.engine.is_empty())?;
        empty("title", self.title.is_empty())?;
        empty("licence", self.licence.is_empty())?;
        empty("languages", self.languages.is_empty())?;
        empty("voice_kinds", self.voice_kinds.is_empty())?;
        self.check_files()?;
        self.check_voices()
    }

    fn check_files(&self) -> Result<(), String> {
        if let Some(source) = &self.source {
            let parts: Vec<&str> = source.hub.split('/').collect();
            if parts.len() != 2 || !parts.iter().all(|part| is_plain_name(part)) {
                return Err(format!("source.hub `{}` is not `owner/name`", source.hub));
            }
            if !source.revision.split('/').all(is_plain_name) {
                return Err(format!("source.revision `{}` is not a branch, tag or commit", source.revision));
            }
        }
        let mut roles = BTreeSet::new();
        for file in &self.files {
            if file.role.is_empty() || !roles.insert(&file.role) {
                return Err(format!("files: role `{}` is empty or given twice", file.role));
            }
            if !is_repository_path(&file.path) {
                return Err(format!("files: path `{}` is not a plain relative path", file.path));
            }
            if file.sha256.as_deref().is_some_and(|hash| !is_sha256(hash)) {
                return Err(format!("files: sha256 of `{}` is not 64 lower-case hex digits", file.path));
            }
        }
        Ok(())
    }

    fn check_voices(&self) -> Result<(), String> {
        let mut names = BTreeSet::new();
        for (language, name) in self.voices.iter() {
            if !is_plain_name(name) || !names.insert(name) {
                return Err(format!("voices.names: `{name}` is not a plain name or is given twice"));
            }
            if !self.languages.contains(language) {
                return Err(format!("voices.names: `{language}` is not among `languages`"));
            }
        }
        let pattern_ok =
            self.voices.path.as_ref().is_some_and(|path| path.contains("{name}") && is_repository_path(path));
        if self.voices.kind == PublishedKind::Embedding && !pattern_ok {
            return Err("voices.path must be a relative path with `{name}` in it".to_owned());
        }
        if let Some(default) = self.voices.default.as_deref().filter(|name| !names.contains(name)) {
            return Err(format!("voices.default `{default}` is not among `voices.names`"));
        }
        for (from, to) in &self.openai {
            if !OPENAI_VOICES.contains(&from.as_str()) {
                return Err(format!("openai: `{from}` is not an OpenAI voice"));
            }
            if !names.contains(to.as_str()) {
                return Err(format!("openai.{from}: `{to}` is not among `voices.names`"));
            }
        }
        Ok(())
    }
}

/// Letters, digits, `-`, `_`, `.`, not starting with a dot: safe as one component of a path or URL.
pub(crate) fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 128
        && !name.starts_with('.')
        && name.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c))
}

/// 64 lower-case hex digits.
pub(crate) fn is_sha256(hash: &str) -> bool {
    hash.len() == 64 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_repository_path(path: &str) -> bool {
    !path.is_empty()
        && !path.contains(['\\', '?', '#', '%'])
        && !path.chars().any(char::is_control)
        && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
engine = "kokoro"
title = "T"
licence = "MIT"
languages = ["en-us"]
voice_kinds = ["embedding"]
[source]
hub = "owner/name"
[[files]]
role = "config"
path = "config.json"
[voices]
kind = "embedding"
path = "voices/{name}.pt"
default = "a"
[voices.names]
en-us = ["a", "b"]
[openai]
alloy = "b"
"#;

    #[test]
    fn a_manifest_is_read() {
        let manifest = Manifest::parse("x.toml", GOOD).unwrap();
        assert_eq!(manifest.source.unwrap().revision, "main");
        assert_eq!(manifest.voices.file("b").unwrap(), "voices/b.pt");
    }

    #[test]
    fn mistakes_name_the_file_and_the_key() {
        let long = "0".repeat(64);
        for (from, to, named) in [
            ("engine =", "motor = 1\nengine =", "motor"),
            ("title = \"T\"", "", "title"),
            ("role = \"config\"", "role = \"config\"\nhash = \"1\"", "hash"),
            ("\"config.json\"", "\"../config.json\"", "../config.json"),
            ("\"config.json\"", "\"/etc/passwd\"", "/etc/passwd"),
            ("owner/name", "owner/../name", "source.hub"),
            ("\"a\", \"b\"", "\"a\", \"a\"", "voices.names"),
            ("\"a\", \"b\"", "\"../a\"", "../a"),
            ("default = \"a\"", "default = \"c\"", "voices.default"),
            ("alloy", "Alloy", "Alloy"),
            ("alloy = \"b\"", "alloy = \"z\"", "openai.alloy"),
            ("voices/{name}.pt", "voices/x.pt", "voices.path"),
            ("en-us = [", "fr-fr = [", "fr-fr"),
            ("\"config.json\"", &format!("\"config.json\"\nsha256 = \"{}\"", &long[1..]), "sha256"),
            ("[\"embedding\"]", "[\"hologram\"]", "voice_kinds"),
        ] {
            let broken = GOOD.replacen(from, to, 1);
            assert_ne!(broken, GOOD, "{from}");
            let error = Manifest::parse("models/x.toml", &broken).unwrap_err().to_string();
            assert!(error.starts_with("models/x.toml: ") && error.contains(named), "{named}: {error}");
        }
    }
}
