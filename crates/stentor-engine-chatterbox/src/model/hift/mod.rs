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

/// A stretch of frames that is to be heard.
#[derive(Debug, Clone)]
pub struct Voiced<'a> {
    /// `(80, frames)`.
    pub mel: Tensor,
    /// Hertz of each frame.
    pub pitch: &'a [f32],
    pub excitation: Excitation<'a>,
    pub onset: Onset,
}

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
        only(self.pitch_of_all(std::slice::from_ref(mel), watch)?)
    }

    /// [`Hift::pitch`] of several at once; each comes out as if it were alone: to the bit with our kernels.
    pub fn pitch_of_all(&self, mels: &[Tensor], watch: &dyn Watch) -> Result<Vec<Vec<f32>>> {
        if mels.is_empty() { Ok(Vec::new()) } else { self.pitch.forward(mels, watch) }
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
        only(self.render_all(&[Voiced { mel: mel.clone(), pitch, excitation, onset }], watch)?)
    }

    /// [`Hift::render`] of several stretches at once; each comes out as if it were alone: to the bit with our kernels.
    pub fn render_all(&self, stretches: &[Voiced<'_>], watch: &dyn Watch) -> Result<Vec<Vec<f32>>> {
        if stretches.is_empty() {
            return Ok(Vec::new());
        }
        let source = |one: &Voiced<'_>| self.source.forward(one.pitch, (one.excitation, one.onset), watch);
        let sources = stretches.iter().map(source).collect::<Result<Vec<_>>>()?;
        let mels: Vec<Tensor> = stretches.iter().map(|one| one.mel.clone()).collect();
        let mut all = self.generator.forward(&mels, &sources, watch)?;
        for samples in &mut all {
            watch.layer("wav", &Tensor::new(samples.as_slice(), &Device::Cpu)?);
            for sample in samples {
                *sample = sample.clamp(-LIMIT, LIMIT);
            }
        }
        Ok(all)
    }
}

/// The result of one alone.
fn only<T>(mut all: Vec<T>) -> Result<T> {
    all.pop().ok_or_else(|| candle_core::Error::Msg("nothing came out".to_owned()).into())
}
