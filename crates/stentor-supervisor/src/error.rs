//! Why a session ends without all of its speech, sorted by what the client should be told.

use stentor_types::ModelId;

/// The end of a session. `Display` is fit for a log; `Rejected`, `VoiceRejected` and `Unavailable` are
/// fit for a client too.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpeechError {
    #[error("no model is called `{0}`")]
    UnknownModel(ModelId),
    /// The client's fault; the text is for the client.
    #[error("{0}")]
    Rejected(String),
    /// As `Rejected`, where the voice is what is wrong.
    #[error("{0}")]
    VoiceRejected(String),
    /// The engine could not speak this chunk but is well; the text is for the log.
    #[error("the engine failed on this text: {0}")]
    Failed(String),
    /// The chunk killed its worker twice and is not tried again; the text says how the worker died.
    #[error("this text ended its worker twice and is not tried again: {0}")]
    Quarantined(String),
    /// The model is not there now, by its own fault or because the server is going away.
    #[error("the model is unavailable: {reason}")]
    Unavailable { reason: String, retry_after_s: u32 },
    /// The request's deadline passed before any of it was spoken.
    #[error("the deadline passed after {waited_s} s in the queue")]
    Late { waited_s: u32 },
}

/// Why a request is turned away before it begins.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdmitError {
    #[error("no model is called `{0}`")]
    UnknownModel(ModelId),
    /// Every place is taken; one is expected to be free after `retry_after_s` seconds (1 to 60).
    #[error("too many requests are waiting, try again in {retry_after_s} s")]
    Busy { retry_after_s: u32 },
    /// The request would not begin to be spoken before its deadline; in `retry_after_s` (1 to 60) it would.
    #[error("the queue is {wait_s} s long, try again in {retry_after_s} s")]
    Late { wait_s: u32, retry_after_s: u32 },
    #[error("the server is shutting down")]
    ShuttingDown,
}

/// Why a model was not unloaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnloadError {
    #[error("no model is called `{0}`")]
    UnknownModel(ModelId),
    #[error("the model is speaking")]
    Busy,
}

impl SpeechError {
    pub(crate) fn unavailable(reason: &str, retry_after_s: u32) -> Self {
        Self::Unavailable { reason: reason.to_owned(), retry_after_s }
    }

    pub(crate) fn shutting_down() -> Self {
        Self::unavailable("the server is shutting down", 5)
    }
}
