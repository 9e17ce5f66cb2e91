//! Voices: what the networks are conditioned on, made of a recording, or read from `conds.pt`.

pub mod cache;
mod conds;
mod encode;
pub mod store;

pub use encode::Encoders;
pub(crate) use encode::prompt_tokens;
pub use store::{Listen, OpenListener, Report, VoiceFiles, Voices};

/// Everything that a voice is, on the host, whatever device speaks with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Conditionals {
    pub t3: T3Prompt,
    pub s3gen: S3GenPrompt,
}

/// What T3 is conditioned on.
#[derive(Debug, Clone, PartialEq)]
pub struct T3Prompt {
    /// The voice encoder's embedding, 256 values.
    pub speaker: Vec<f32>,
    /// Speech tokens of the recording's beginning: at most 150, or 375 for Turbo and Nano.
    pub tokens: Vec<u32>,
}

/// What the flow is conditioned on.
#[derive(Debug, Clone, PartialEq)]
pub struct S3GenPrompt {
    /// Speech tokens of the recording's first ten seconds.
    pub tokens: Vec<u32>,
    /// Its log-mel spectrogram at 50 frames a second, row-major `(2 * tokens, 80)`.
    pub mel: Vec<f32>,
    /// CAMPPlus's x-vector, 192 values.
    pub xvector: Vec<f32>,
}

/// Lower-case hex.
fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}
