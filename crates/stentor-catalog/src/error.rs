//! What can go wrong between a name and a file, in words that tell the reader what to do next.

use std::{io, path::PathBuf};
use stentor_types::ModelId;

/// Names from clients are shortened and freed of control characters before they come in here.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("there is no model `{name}`{}", suggestions(.nearest))]
    ModelNotFound { name: String, nearest: Vec<String> },

    /// `voice`: the published voice that was asked for; `None` when the model itself cannot be loaded. `published`: there
    /// is somewhere to pull the files from.
    #[error("{} ({} missing): {}", not_installed(.model, .voice.as_deref()), .missing.join(", "), remedy(.model, *.published))]
    NotInstalled { model: ModelId, voice: Option<String>, missing: Vec<String>, published: bool },

    #[error("model `{model}` comes with the program or was placed by hand: there is nothing to pull")]
    NothingToPull { model: ModelId },

    #[error("there is no voice `{name}`{}", suggestions(.nearest))]
    VoiceNotFound { name: String, nearest: Vec<String> },

    #[error("voice `{voice}` cannot be used with model `{model}`: {hint}")]
    VoiceNotSupported { voice: String, model: ModelId, hint: String },

    #[error("voice `{voice}` was not uploaded: it belongs to the server and can't be deleted")]
    NotUploaded { voice: String },

    /// `part` is the piece of the blend that is wrong.
    #[error("`{part}` in the voice blend `{blend}` {reason}")]
    Blend { blend: String, part: String, reason: &'static str },

    #[error("there is no voice for model `{model}` yet: put a recording into a voices directory")]
    NoVoices { model: ModelId },

    /// It was there when the catalog was read.
    #[error("voice file {} is no longer there", .path.display())]
    VoiceGone { path: PathBuf },

    /// A manifest, `voices.toml`, `voice.toml` or `models.lock`; the message names the key.
    #[error("{file}: {message}")]
    Manifest { file: String, message: String },

    #[error("{}: {source}", .path.display())]
    Io { path: PathBuf, source: io::Error },

    #[error("cannot fetch {file} from {repository}: {message}")]
    Hub { repository: String, file: String, message: String },

    /// The bytes were removed and nothing was recorded.
    #[error("{file} is not what it should be: {what} is {actual}, expected {expected}; it was removed")]
    Hash { file: String, what: &'static str, expected: String, actual: String },

    #[error("{file} of model `{model}` is not on disk and the hub must not be asked (HF_HUB_OFFLINE is set)")]
    Offline { model: ModelId, file: String },
}

impl CatalogError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

fn not_installed(model: &ModelId, voice: Option<&str>) -> String {
    match voice {
        Some(voice) => format!("voice `{voice}` of model `{model}` is not installed"),
        None => format!("model `{model}` is not completely installed"),
    }
}

fn remedy(model: &ModelId, published: bool) -> String {
    if published {
        return format!("run `stentor pull {model}`");
    }
    "the files are not published anywhere and must be put into the model's folder by hand".to_owned()
}

fn suggestions(nearest: &[String]) -> String {
    if nearest.is_empty() { String::new() } else { format!("; nearest: {}", nearest.join(", ")) }
}
