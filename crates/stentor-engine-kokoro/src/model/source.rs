//! The excitation: a fundamental and its harmonics that follow the pitch curve, and noise where there is none.
//!
//! Phase is summed in double precision and wrapped before the sine. Kept in f32, as the reference does, it drifts by six
//! hundredths of a radian in half a minute, and more with every harmonic.

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use stentor_nn::{NnError, Result, Scope, Watch, add_sines, noise::nearly_normal};

const SINE_AMPLITUDE: f32 = 0.1;
const NOISE_DEVIATION: f32 = 0.003;
/// Pitch at or below this many hertz is unvoiced.
const VOICED_ABOVE: f32 = 10.0;
/// Frames of pitch between two looks at the watch.
const FRAMES_PER_TICK: usize = 256;

/// What an utterance's excitation is made with.
#[derive(Debug, Clone, Copy)]
pub enum Excitation<'a> {
    /// Noise that is a function of this seed and the position, so that no order of computation changes it.
    Seeded(u64),
    /// Noise of unit variance, `[sample][harmonic]`, zero beyond its end: for comparisons with another implementation.
    Noise(&'a [f32]),
    /// The finished excitation, for comparisons of what follows it.
    Signal(&'a [f32]),
}

impl Excitation<'_> {
    fn noise(self, index: usize) -> f32 {
        match self {
            Self::Seeded(seed) => nearly_normal(seed, index as u64),
            Self::Noise(values) => values.get(index).copied().unwrap_or(0.0),
            Self::Signal(_) => 0.0,
        }
    }
}

/// Mixes sines of the harmonics into one signal.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// Weight of each harmonic, the fundamental first.
    weights: Vec<f32>,
    bias: f32,
    sample_rate: f64,
    samples_per_value: usize,
}

/// A pitch curve, and what goes with it.
struct Curve<'a> {
    pitch: &'a [f32],
    /// Of each harmonic.
    phases: Vec<Vec<f64>>,
    excitation: Excitation<'a>,
}

impl Source {
    /// Reads `l_linear`; the number of harmonics is its width.
    pub(super) fn load(scope: &Scope<'_>, sample_rate: u32, samples_per_value: usize) -> Result<Self> {
        const USUAL_HARMONICS: usize = 9;
        let linear = scope.at("l_linear");
        let harmonics =
            linear.shape("weight").and_then(|shape| shape.last().copied()).unwrap_or(USUAL_HARMONICS);
        let weights = linear.values("weight", &[1, harmonics])?;
        let bias = linear.values("bias", &[1])?[0];
        Ok(Self { weights, bias, sample_rate: f64::from(sample_rate), samples_per_value })
    }

    /// `samples_per_value` samples for each value of the pitch curve, which is in hertz.
    pub(super) fn forward(
        &self,
        pitch: &[f32],
        excitation: Excitation<'_>,
        watch: &dyn Watch,
    ) -> Result<Vec<f32>> {
        if let Excitation::Signal(signal) = excitation {
            return Ok(signal.to_vec());
        }
        let phases = (1..=self.weights.len()).map(|harmonic| self.phase(pitch, harmonic)).collect();
        let curve = Curve { pitch, phases, excitation };
        let mut out = vec![0.0; pitch.len() * self.samples_per_value];
        let stretch = self.samples_per_value * FRAMES_PER_TICK;
        let run = |(index, out): (usize, &mut [f32])| {
            for (offset, out) in out.chunks_mut(self.samples_per_value).enumerate() {
                self.fill(index * FRAMES_PER_TICK + offset, &curve, out);
            }
            if watch.tick() { Ok(()) } else { Err(NnError::Stopped) }
        };
        out.par_chunks_mut(stretch).enumerate().try_for_each(run)?;
        watch.layer("decoder.generator.m_source.l_linear", &Tensor::new(out.as_slice(), &Device::Cpu)?);
        for x in &mut out {
            *x = x.tanh();
        }
        Ok(out)
    }

    /// A harmonic's phase at the centre of each value of the curve, in cycles.
    fn phase(&self, pitch: &[f32], harmonic: usize) -> Vec<f64> {
        let mut sum = 0.0f64;
        let advance = |pitch: &f32| {
            sum += (f64::from(*pitch) * harmonic as f64 / self.sample_rate).rem_euclid(1.0);
            sum * self.samples_per_value as f64
        };
        pitch.iter().map(advance).collect()
    }

    /// The samples of value `index` of the curve. Phase is linear between the centres of neighbouring values.
    fn fill(&self, index: usize, curve: &Curve<'_>, out: &mut [f32]) {
        let Curve { pitch, phases, excitation } = curve;
        let voiced = pitch[index] > VOICED_ABOVE;
        let noise_level = if voiced { NOISE_DEVIATION } else { SINE_AMPLITUDE / 3.0 };
        for (offset, out) in out.iter_mut().enumerate() {
            let first = (index * self.samples_per_value + offset) * self.weights.len();
            let noise = |(harmonic, weight): (usize, &f32)| weight * excitation.noise(first + harmonic);
            *out = self.bias + noise_level * self.weights.iter().enumerate().map(noise).sum::<f32>();
        }
        if !voiced {
            return;
        }
        let (count, half) = (self.samples_per_value as f64, self.samples_per_value / 2);
        let (before, behind) = out.split_at_mut(half);
        // Centres on both sides of each half, and how far its first sample is from the left one. The first value has none before it.
        let halves = [
            (index.saturating_sub(1), index, 0.5 / count + 0.5, before),
            (index, (index + 1).min(pitch.len() - 1), (half as f64 + 0.5) / count - 0.5, behind),
        ];
        for (left, right, share, out) in halves {
            for (weight, phase) in self.weights.iter().zip(phases) {
                let advance = phase[right] - phase[left];
                let start = share.mul_add(advance, phase[left]);
                add_sines(start, advance / count, SINE_AMPLITUDE * weight, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;
    use stentor_nn::Unwatched;

    fn fundamental() -> Source {
        Source { weights: vec![1.0], bias: 0.0, sample_rate: 24_000.0, samples_per_value: 300 }
    }

    #[test]
    fn a_steady_pitch_stays_in_phase_for_a_minute() {
        let silence = vec![0.0; 80 * 60 * 300];
        let out =
            fundamental().forward(&vec![220.0; 80 * 60], Excitation::Noise(&silence), &Unwatched).unwrap();
        let cycles_per_sample = 220.0 / 24_000.0;
        for sample in (1000..out.len() - 1000).step_by(977) {
            // The centre of the first value is sample 149.5, where its phase is one whole value's worth.
            let cycles = cycles_per_sample * (300.0 + sample as f64 - 149.5);
            let expected = (0.1 * (TAU * cycles).sin()).tanh();
            assert!((f64::from(out[sample]) - expected).abs() < 1e-5, "sample {sample}");
        }
    }

    #[test]
    fn unvoiced_stretches_are_noise_of_unit_variance_times_a_third_of_the_amplitude() {
        let out = fundamental().forward(&[0.0; 800], Excitation::Seeded(7), &Unwatched).unwrap();
        let mean = out.iter().sum::<f32>() / out.len() as f32;
        let deviation = (out.iter().map(|x| x * x).sum::<f32>() / out.len() as f32).sqrt();
        assert!(mean.abs() < 3e-4, "{mean}");
        assert!((deviation / (0.1 / 3.0) - 1.0).abs() < 0.02, "{deviation}");
        let lagged: f32 = out.windows(2).map(|pair| pair[0] * pair[1]).sum::<f32>() / out.len() as f32;
        assert!((lagged / (deviation * deviation)).abs() < 0.01, "neighbours are correlated: {lagged}");
    }

    #[test]
    fn another_seed_gives_other_noise_and_the_same_seed_the_same() {
        let run = |seed| fundamental().forward(&[0.0; 4], Excitation::Seeded(seed), &Unwatched).unwrap();
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn negative_pitch_is_unvoiced_and_does_not_disturb_what_follows() {
        let silence = vec![0.0; 6 * 300];
        let out = fundamental().forward(
            &[-5.0, -3.0, 0.0, 100.0, 100.0, 100.0],
            Excitation::Noise(&silence),
            &Unwatched,
        );
        let out = out.unwrap();
        assert!(out[..900].iter().all(|&x| x == 0.0));
        assert!(out[900..].iter().any(|&x| x > 0.09) && out.iter().all(|x| x.abs() <= 0.1));
    }
}
