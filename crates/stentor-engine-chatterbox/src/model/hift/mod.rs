//! HiFT: mel frames to samples, by a neural source-filter with an inverse STFT at its end.
//!
//! Everything is local: a sample depends on frames within [`PITCH_REACH`] plus [`RENDER_REACH`] of its own, so a long mel can be
//! rendered stretch by stretch, see [`crate::render`].

mod block;
mod generator;
mod pitch;
mod source;

pub use pitch::PITCH_REACH;
pub use source::{Excitation, Onset};

use super::{MELS, SAMPLE_RATE, SAMPLES_PER_FRAME};
use candle_core::{Device, Tensor};
use generator::{Generator, HOP, RATES};
use pitch::PitchPredictor;
use source::Source;
use stentor_nn::{Result, Scope, Watch};
use stentor_types::Precision;

/// Frames to either side, beyond its own, that a sample depends on, given the pitch.
pub const RENDER_REACH: usize = 15;
/// Samples stay within this.
const LIMIT: f32 = 0.99;

/// The vocoder: the tensors under `mel2wav.`.
#[derive(Debug, Clone)]
pub struct Hift {
    pitch: PitchPredictor,
    source: Source,
    generator: Generator,
}

impl Hift {
    /// Reads the tensors under `mel2wav.` of `s3gen.*`, which are on `device` already.
    ///
    /// In [`Precision::F16`] the convolutions of the generator hold f16 and multiply it, but for those that read the excitation or
    /// give the spectrum. Pitch, excitation, activations, residuals and the spectrum are f32.
    pub fn load(root: &Scope<'_>, _device: &Device, precision: Precision) -> Result<Self> {
        const { assert!(RATES[0] * RATES[1] * RATES[2] * HOP == SAMPLES_PER_FRAME) };
        let scope = root.at("mel2wav").with_products(Precision::F32);
        let generator = scope.with_products(precision);
        Ok(Self {
            pitch: PitchPredictor::load(&scope.at("f0_predictor"), MELS)?,
            source: Source::load(&scope.at("m_source"), SAMPLE_RATE, SAMPLES_PER_FRAME)?,
            generator: Generator::load(&generator, MELS)?,
        })
    }

    /// Hertz of each mel frame, `mel` being `(80, frames)`.
    pub fn pitch(&self, mel: &Tensor, watch: &dyn Watch) -> Result<Vec<f32>> {
        self.pitch.forward(mel, watch)
    }

    /// Where the frame after those of `pitch` begins, which themselves begin at `onset`.
    pub fn after(&self, pitch: &[f32], onset: Onset) -> Onset {
        self.source.after(pitch, onset)
    }

    /// 480 samples for each frame of `mel` `(80, frames)`, within ±0.99.
    pub fn render(
        &self,
        (mel, pitch): (&Tensor, &[f32]),
        (excitation, onset): (Excitation<'_>, Onset),
        watch: &dyn Watch,
    ) -> Result<Vec<f32>> {
        let source = self.source.forward(pitch, (excitation, onset), watch)?;
        let mut samples = self.generator.forward(mel, &source, watch)?;
        watch.layer("wav", &Tensor::new(samples.as_slice(), &Device::Cpu)?);
        for sample in &mut samples {
            *sample = sample.clamp(-LIMIT, LIMIT);
        }
        Ok(samples)
    }
}
