//! The excitation: a fundamental and its harmonics that follow the pitch, and noise where there is none.
//!
//! Pitch is constant over a frame, so phase is summed frame by frame, in double precision, and is linear in between. That is exact,
//! and any stretch of frames can begin in phase where the one before it ended.

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use std::f64::consts::{PI, TAU};
use stentor_nn::{NnError, Result, Scope, Watch, add_sines, noise};

const SINE_AMPLITUDE: f32 = 0.1;
const VOICED_NOISE: f32 = 0.003;
const UNVOICED_NOISE: f32 = SINE_AMPLITUDE / 3.0;
/// Pitch at or below this many hertz is unvoiced.
const VOICED_ABOVE: f32 = 10.0;
/// Frames between two looks at the watch.
const FRAMES_PER_TICK: usize = 32;
/// What the draws of one seed are for.
const PHASES: u64 = 1;
const NOISE: u64 = 2;

/// The random parts of the excitation, for frames that start at an absolute place of the chunk.
#[derive(Debug, Clone, Copy)]
pub enum Excitation<'a> {
    /// Noise and phases follow from the seed and the absolute sample.
    Seeded(u64),
    /// Recorded draws: phases (9, of which the first is zero) and noise, row-major `(9, samples)`.
    Recorded { phases: &'a [f32], noise: &'a [f32] },
}

impl Excitation<'_> {
    /// Phase in radians that a harmonic begins the chunk with, the fundamental being number zero.
    fn phase(self, harmonic: usize) -> f64 {
        if harmonic == 0 {
            return 0.0;
        }
        match self {
            Self::Seeded(seed) => {
                PI * f64::from(noise::uniform(noise::stream(seed, PHASES), harmonic as u64))
            }
            Self::Recorded { phases, .. } => phases.get(harmonic).copied().map_or(0.0, f64::from),
        }
    }

    /// Noise of unit variance of one harmonic of `count`, from an absolute sample on; zero beyond the end of a recording.
    fn noise(self, harmonic: usize, count: usize, first: u64, out: &mut [f32]) {
        match self {
            Self::Seeded(seed) => {
                let seed = noise::stream(seed, NOISE + harmonic as u64);
                for (sample, out) in (first..).zip(out) {
                    *out = noise::nearly_normal(seed, sample);
                }
            }
            Self::Recorded { noise, .. } => {
                let samples = noise.len() / count;
                let row = &noise[harmonic * samples..][..samples];
                let rest = row.get(first as usize..).unwrap_or_default();
                out.fill(0.0);
                out.iter_mut().zip(rest).for_each(|(out, noise)| *out = *noise);
            }
        }
    }
}

/// Where a stretch of frames begins in its chunk.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Onset {
    /// Samples before it.
    pub sample: u64,
    /// Cycles that the fundamental has made before it, modulo one.
    pub cycles: f64,
}

/// Mixes sines of the harmonics into one signal.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// Weight of each harmonic, the fundamental first.
    weights: Vec<f32>,
    bias: f32,
    sample_rate: f64,
    frame: usize,
}

impl Source {
    /// Reads `l_linear`; the number of harmonics is its width. `frame` is the number of samples of a frame.
    pub(super) fn load(scope: &Scope<'_>, sample_rate: u32, frame: usize) -> Result<Self> {
        const USUAL_HARMONICS: usize = 9;
        let linear = scope.at("l_linear");
        let shape = linear.shape("weight");
        let harmonics = shape.and_then(|shape| shape.last().copied()).unwrap_or(USUAL_HARMONICS);
        let weights = linear.values("weight", &[1, harmonics])?;
        let bias = linear.values("bias", &[1])?[0];
        Ok(Self { weights, bias, sample_rate: f64::from(sample_rate), frame })
    }

    /// Where the frame after those of `pitch` begins, which themselves begin at `onset`.
    pub(super) fn after(&self, pitch: &[f32], onset: Onset) -> Onset {
        let cycles = pitch.iter().fold(onset.cycles, |cycles, &pitch| (cycles + self.cycles(pitch)).fract());
        Onset { sample: onset.sample + (pitch.len() * self.frame) as u64, cycles }
    }

    /// Cycles of the fundamental within a frame.
    fn cycles(&self, pitch: f32) -> f64 {
        f64::from(pitch) * self.frame as f64 / self.sample_rate
    }

    /// The samples of the frames of `pitch`, which is in hertz.
    pub(super) fn forward(
        &self,
        pitch: &[f32],
        (excitation, onset): (Excitation<'_>, Onset),
        watch: &dyn Watch,
    ) -> Result<Vec<f32>> {
        let mut onsets = Vec::with_capacity(pitch.len());
        let mut next = onset;
        for pitch in pitch {
            onsets.push(next);
            next = self.after(&[*pitch], next);
        }
        let mut out = vec![0.0; pitch.len() * self.frame];
        let run = |(index, out): (usize, &mut [f32])| {
            let mut draws = vec![0.0; self.frame];
            for (offset, out) in out.chunks_mut(self.frame).enumerate() {
                let frame = index * FRAMES_PER_TICK + offset;
                self.fill((pitch[frame], onsets[frame]), excitation, &mut draws, out);
            }
            if watch.tick() { Ok(()) } else { Err(NnError::Stopped) }
        };
        out.par_chunks_mut(self.frame * FRAMES_PER_TICK).enumerate().try_for_each(run)?;
        watch.layer("source", &Tensor::new(out.as_slice(), &Device::Cpu)?);
        Ok(out)
    }

    /// The samples of one frame; `draws` is room for as many.
    fn fill(
        &self,
        (pitch, onset): (f32, Onset),
        excitation: Excitation<'_>,
        draws: &mut [f32],
        out: &mut [f32],
    ) {
        let voiced = pitch > VOICED_ABOVE;
        let level = if voiced { VOICED_NOISE } else { UNVOICED_NOISE };
        let step = f64::from(pitch) / self.sample_rate;
        out.fill(self.bias);
        for (harmonic, weight) in self.weights.iter().enumerate() {
            excitation.noise(harmonic, self.weights.len(), onset.sample, draws);
            let (order, phase) = ((harmonic + 1) as f64, excitation.phase(harmonic));
            for (out, draw) in out.iter_mut().zip(draws.iter()) {
                *out += weight * level * draw;
            }
            if voiced {
                // A sample sounds with the phase at its end.
                let start = order * (onset.cycles + step) + phase / TAU;
                add_sines(start, order * step, SINE_AMPLITUDE * weight, out);
            }
        }
        for out in out {
            *out = out.tanh();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stentor_nn::Unwatched;

    const QUIET: Excitation<'_> = Excitation::Recorded { phases: &[], noise: &[] };

    fn source(weights: &[f32]) -> Source {
        Source { weights: weights.to_vec(), bias: 0.0, sample_rate: 24_000.0, frame: 480 }
    }

    #[test]
    fn the_ninth_harmonic_of_a_steady_pitch_stays_in_phase_for_a_minute() {
        let ninth = source(&[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
        let out = ninth.forward(&vec![223.7; 50 * 60], (QUIET, Onset::default()), &Unwatched).unwrap();
        for sample in (0..out.len()).step_by(977) {
            let cycles = 9.0 * f64::from(223.7f32) / 24_000.0 * (sample + 1) as f64;
            let expected = (0.1 * (TAU * cycles.fract()).sin()).tanh();
            assert!((f64::from(out[sample]) - expected).abs() < 1e-5, "sample {sample}");
        }
    }

    #[test]
    fn a_stretch_continues_where_the_one_before_it_ended() {
        let source = source(&[0.5, -0.3, 0.2]);
        let pitch: Vec<f32> = (0..40).map(|frame| 90.0 + 11.3 * (frame % 17) as f32).collect();
        let run =
            |pitch: &[f32], onset| source.forward(pitch, (Excitation::Seeded(5), onset), &Unwatched).unwrap();
        let whole = run(&pitch, Onset::default());
        let onset = source.after(&pitch[..23], Onset::default());
        assert_eq!(onset.sample, 23 * 480);
        assert_eq!(run(&pitch[23..], onset), whole[23 * 480..]);
    }

    #[test]
    fn unvoiced_frames_are_noise_of_a_third_of_the_amplitude() {
        let out = source(&[1.0])
            .forward(&[9.9; 400], (Excitation::Seeded(7), Onset::default()), &Unwatched)
            .unwrap();
        let deviation = (out.iter().map(|x| x * x).sum::<f32>() / out.len() as f32).sqrt();
        assert!((deviation / (0.1 / 3.0) - 1.0).abs() < 0.02, "{deviation}");
        let other = Excitation::Seeded(8);
        assert_ne!(source(&[1.0]).forward(&[9.9; 400], (other, Onset::default()), &Unwatched).unwrap(), out);
    }
}
