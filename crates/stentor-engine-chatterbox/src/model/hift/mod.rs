//! HiFT: mel frames to samples, by a neural source-filter with an inverse STFT at its end.

use candle_core::{Device, Tensor};
use stentor_nn::{NnError, Result, Scope, Watch};
use stentor_types::Precision;

/// The vocoder: the tensors under `mel2wav.`.
pub struct Hift {}

/// The random parts of the excitation, for frames that start at an absolute place of the chunk.
#[derive(Debug, Clone, Copy)]
pub enum Excitation<'a> {
    /// Noise and phases follow from the seed and the absolute sample.
    Seeded(u64),
    /// Recorded draws: phases (9, of which the first is zero) and noise, row-major `(9, samples)`.
    Recorded { phases: &'a [f32], noise: &'a [f32] },
}

/// Where a stretch of frames begins in its chunk.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Onset {
    /// Samples before it.
    pub sample: u64,
    /// Cycles that the fundamental has made before it, modulo one.
    pub cycles: f64,
}

impl Hift {
    /// Reads the tensors under `mel2wav.` of `s3gen.*`.
    pub fn load(_root: &Scope<'_>, _device: &Device, _precision: Precision) -> Result<Self> {
        Err(NnError::Stopped)
    }

    /// Hertz of each mel frame, `mel` being `(80, frames)`.
    pub fn pitch(&self, _mel: &Tensor, _watch: &dyn Watch) -> Result<Vec<f32>> {
        Err(NnError::Stopped)
    }

    /// 480 samples for each frame of `mel` `(80, frames)`, within ±0.99.
    pub fn render(
        &self,
        (_mel, _pitch): (&Tensor, &[f32]),
        (_excitation, _onset): (Excitation<'_>, Onset),
        _watch: &dyn Watch,
    ) -> Result<Vec<f32>> {
        Err(NnError::Stopped)
    }
}
