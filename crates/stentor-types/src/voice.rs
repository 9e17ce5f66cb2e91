//! Voices as an engine sees them.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What a voice is made of; an engine lists the kinds that it can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VoiceKind {
    Preset,
    Embedding,
    Reference,
    Blend,
}

/// Where an engine finds a voice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum VoiceSource {
    /// A voice that comes with the model, by name.
    Preset { name: String },
    /// A style file: `.pt`, `.bin` or `.safetensors`.
    Embedding { path: PathBuf },
    /// A recording to clone, with its transcript where known.
    Reference { path: PathBuf, transcript: Option<String> },
    /// A weighted mean of voices. Weights are positive and need not sum to one.
    Blend { parts: Vec<(VoiceSource, f32)> },
}

impl VoiceSource {
    pub fn kind(&self) -> VoiceKind {
        match self {
            Self::Preset { .. } => VoiceKind::Preset,
            Self::Embedding { .. } => VoiceKind::Embedding,
            Self::Reference { .. } => VoiceKind::Reference,
            Self::Blend { .. } => VoiceKind::Blend,
        }
    }
}
