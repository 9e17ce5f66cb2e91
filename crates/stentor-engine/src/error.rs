//! What can go wrong, sorted by who has to act on it.

use serde::{Deserialize, Serialize};

/// A chunk or voice failed; the engine itself is well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "error", content = "detail", rename_all = "snake_case")]
pub enum EngineError {
    /// The client's fault; the text is for the client.
    #[error("{0}")]
    Rejected(String),
    /// As `Rejected`, where the voice is what is wrong; the worker's loop makes it of what [`Engine::load_voice`] rejects.
    ///
    /// [`Engine::load_voice`]: crate::Engine::load_voice
    #[error("{0}")]
    VoiceRejected(String),
    /// The chunk must be cut to `limit` characters of spoken text and sent again.
    #[error("chunk is too long for the engine, at most {limit} characters fit")]
    ChunkTooLong { limit: usize },
    /// Only this chunk is lost; the text is for the log.
    #[error("{0}")]
    Failed(String),
    /// The cancel flag was seen. Never sent to a client.
    #[error("cancelled")]
    Cancelled,
}

/// The device or its context is unusable; the worker process must exit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("device lost: {0}")]
pub struct DeviceLost(pub String);

/// The model could not be loaded; the text names the file or tensor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LoadError(pub String);
