//! What can go wrong between samples and bytes.

use stentor_types::{AudioFormat, SampleRate};

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AudioError {
    /// The format has no code for this rate.
    #[error("{format} cannot hold {} Hz", rate.0)]
    UnsupportedRate { format: AudioFormat, rate: SampleRate },
    /// The header promised `expected` samples, but `got` were encoded.
    #[error("{expected} samples were announced, but {got} were encoded")]
    LengthMismatch { expected: u64, got: u64 },
    /// `encode` or `finish` was called after `finish`.
    #[error("the {format} encoder has already finished")]
    Finished { format: AudioFormat },
    /// The codec library refused; the text is its own.
    #[error("{format} encoder: {message}")]
    Codec { format: AudioFormat, message: String },
    /// The resampler works between 4 kHz and 384 kHz.
    #[error("cannot resample from {} Hz to {} Hz", from.0, to.0)]
    Resample { from: SampleRate, to: SampleRate },
}

impl AudioError {
    pub(crate) fn codec(format: AudioFormat, message: &impl ToString) -> Self {
        Self::Codec { format, message: message.to_string() }
    }
}
