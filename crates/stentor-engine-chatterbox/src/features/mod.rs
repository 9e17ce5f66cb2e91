//! The four front ends of a recording, each as its network was trained, and what is done to a recording before them.
//!
//! They look alike and differ in every constant: the voice encoder sees linear mel power, the S3 tokenizer a clamped decimal
//! logarithm, the flow a natural logarithm of magnitudes, CAMPPlus Kaldi's filter bank. All sums are in f64, so that what
//! differs from a front end in f32 is that one's rounding.

mod fbank;
mod loudness;
mod mel_bank;
mod mels;
mod resample;
mod spectrum;
mod trim;

pub use fbank::fbank;
pub use loudness::{TARGET_LUFS, integrated_loudness, normalize_loudness};
pub use mels::{s3_log_mel, s3gen_mel, voice_encoder_mel};
pub use resample::{resample_hq, resample_sinc_hann};
pub use trim::trim;

use stentor_nn::NnError;

/// What a front end sees of a recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Spectrogram {
    /// Row-major `(frames, bins)`.
    pub values: Vec<f32>,
    pub bins: usize,
}

impl Spectrogram {
    pub fn frames(&self) -> usize {
        self.values.len() / self.bins
    }

    /// Drops all but the first `frames`.
    pub fn truncate(&mut self, frames: usize) {
        self.values.truncate(frames * self.bins);
    }
}

/// A recording that a front end can do nothing with.
pub(crate) fn unusable(message: String) -> NnError {
    NnError::Tensor(candle_core::Error::Msg(message))
}
