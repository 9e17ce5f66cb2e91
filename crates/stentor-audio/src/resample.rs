//! Band-limited, streaming conversion between sample rates, with exact length.
//!
//! A windowed sinc of our own rather than a resampling crate: those work in fixed blocks and report a delay and a
//! remainder to account for, which is more code than the filter itself. Here output sample k is the input's
//! band-limited value at time k·from/to: no delay, no drift (the position is kept in integers), any push size.

use crate::AudioError;
use std::f64::consts::PI;
use stentor_types::SampleRate;

/// Zero crossings of the sinc on each side of its peak.
const CROSSINGS: usize = 64;
/// Table entries per crossing; linear interpolation between them errs by less than -100 dB.
const STEPS: usize = 256;
/// Kaiser window parameter: stop band below -90 dB.
const BETA: f64 = 9.0;
/// Cut-off relative to the lower of the two Nyquist frequencies. With this window the stop band starts right there and
/// the pass band reaches 0.91 of it (10.9 kHz at 24 kHz).
const ROLL_OFF: f64 = 0.955;
/// Rates that make sense for audio; they also bound the filter's length.
const RATES: std::ops::RangeInclusive<u32> = 4_000..=384_000;

/// Converts one mono stream from one rate to another.
#[derive(Debug)]
pub struct Resampler {
    from: u64,
    to: u64,
    /// Right half of the impulse response at unit cut-off, [`STEPS`] entries per zero crossing.
    response: Vec<f32>,
    /// Cut-off in cycles per two input samples (1 is the input's Nyquist frequency).
    cutoff: f32,
    /// Input samples that an output sample reaches to on each side.
    reach: usize,
    /// Input still needed, after `reach` zeros for what lies before the first sample.
    input: Vec<f32>,
    /// Time of the next output sample after entry `reach` of `input`, in units of 1/`to` input samples.
    position: u64,
    received: u64,
    produced: u64,
}

impl Resampler {
    /// Fails for rates outside 4 to 384 kHz.
    pub fn new(from: SampleRate, to: SampleRate) -> Result<Self, AudioError> {
        if !RATES.contains(&from.0) || !RATES.contains(&to.0) {
            return Err(AudioError::Resample { from, to });
        }
        let cutoff = ROLL_OFF * (f64::from(to.0) / f64::from(from.0)).min(1.0);
        let reach = (CROSSINGS as f64 / cutoff).ceil() as usize;
        Ok(Self {
            from: u64::from(from.0),
            to: u64::from(to.0),
            response: response(),
            cutoff: cutoff as f32,
            reach,
            input: vec![0.0; reach],
            position: 0,
            received: 0,
            produced: 0,
        })
    }

    /// Takes the next samples and appends to `out` every output sample whose surroundings are known.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.received += samples.len() as u64;
        if self.from == self.to {
            out.extend_from_slice(samples);
            return;
        }
        self.input.extend_from_slice(samples);
        self.produce(u64::MAX, out);
    }

    /// Appends the rest: for n input samples there are ceil(n·to/from) output samples in all, those whose time lies
    /// before the input's end.
    pub fn finish(mut self, out: &mut Vec<f32>) {
        if self.from == self.to {
            return;
        }
        let total = (self.received * self.to).div_ceil(self.from);
        self.input.resize(self.input.len() + self.reach + 1, 0.0);
        self.produce(total, out);
    }

    fn produce(&mut self, total: u64, out: &mut Vec<f32>) {
        while self.produced < total {
            let first = (self.position / self.to) as usize;
            let Some(window) = self.input.get(first..=first + 2 * self.reach) else { break };
            out.push(self.sample(window, (self.position % self.to) as f32 / self.to as f32));
            self.produced += 1;
            self.position += self.from;
        }
        // Where one step is longer than what has arrived, the rest of it stays in the position.
        let done = (self.position / self.to).min(self.input.len() as u64);
        self.position -= done * self.to;
        self.input.drain(..done as usize);
    }

    /// The filter's sum over `window` at `fraction` of a sample past its middle.
    fn sample(&self, window: &[f32], fraction: f32) -> f32 {
        let centre = self.reach as f32 + fraction;
        let scale = self.cutoff * STEPS as f32;
        let sum: f32 = window
            .iter()
            .enumerate()
            .map(|(i, x)| {
                let position = (i as f32 - centre).abs() * scale;
                let index = position as usize;
                let Some(&[left, right]) = self.response.get(index..index + 2) else { return 0.0 };
                x * (left + (right - left) * (position - index as f32))
            })
            .sum();
        sum * self.cutoff
    }
}

/// A Kaiser-windowed sinc from its peak outwards.
fn response() -> Vec<f32> {
    let last = CROSSINGS * STEPS;
    let value = |i: usize| {
        let x = i as f64 / STEPS as f64;
        let sinc = if i == 0 { 1.0 } else { (PI * x).sin() / (PI * x) };
        let edge = i as f64 / last as f64;
        sinc * bessel_i0(BETA * (1.0 - edge * edge).sqrt()) / bessel_i0(BETA)
    };
    (0..=last).map(|i| value(i) as f32).collect()
}

/// Modified Bessel function of the first kind and order zero, by its power series.
fn bessel_i0(x: f64) -> f64 {
    let quarter = x * x / 4.0;
    let mut term = 1.0;
    let mut sum = 1.0;
    for k in 1..64 {
        term *= quarter / f64::from(k * k);
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(rate: u32, hz: f64, samples: usize) -> Vec<f32> {
        (0..samples).map(|i| (2.0 * PI * hz * i as f64 / f64::from(rate)).sin() as f32).collect()
    }

    fn resample(from: u32, to: u32, input: &[f32], piece: usize) -> Vec<f32> {
        let mut resampler = Resampler::new(SampleRate(from), SampleRate(to)).unwrap();
        let mut out = Vec::new();
        input.chunks(piece).for_each(|piece| resampler.push(piece, &mut out));
        resampler.finish(&mut out);
        out
    }

    #[test]
    fn a_tone_keeps_pitch_phase_and_level() {
        for (from, to) in
            [(44_100, 24_000), (48_000, 24_000), (16_000, 24_000), (22_050, 24_000), (24_000, 48_000)]
        {
            let out = resample(from, to, &sine(from, 3000.0, from as usize / 2), 1000);
            let expected = sine(to, 3000.0, out.len());
            // The ends see the silence around the tone.
            let inner = 300..out.len() - 300;
            let worst = inner.map(|i| (out[i] - expected[i]).abs()).fold(0.0, f32::max);
            assert!(worst < 2e-4, "{from} to {to}: off by {worst}");
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_gone() {
        let out = resample(48_000, 24_000, &sine(48_000, 13_000.0, 24_000), 24_000);
        let worst = out[300..out.len() - 300].iter().fold(0.0, |worst: f32, x| worst.max(x.abs()));
        assert!(worst < 1e-4, "an alias of {worst}");
    }

    #[test]
    fn length_is_exact_and_push_size_does_not_matter() {
        for (from, to) in
            [(44_100, 24_000), (16_000, 24_000), (24_000, 24_000), (384_000, 4_000), (4_001, 383_999)]
        {
            for samples in [0, 1, 2, 997, 5000] {
                let input = sine(from, 440.0, samples);
                let whole = resample(from, to, &input, usize::MAX);
                let expected = (samples as u64 * u64::from(to)).div_ceil(u64::from(from));
                assert_eq!(whole.len() as u64, expected, "{from} to {to}, {samples} samples");
                assert_eq!(whole, resample(from, to, &input, 1), "{from} to {to}, {samples} single samples");
                assert_eq!(whole, resample(from, to, &input, 77), "{from} to {to}, {samples} in 77s");
            }
        }
    }

    #[test]
    fn senseless_rates_are_refused() {
        for (from, to) in [(0, 24_000), (24_000, 0), (u32::MAX, 24_000), (24_000, 3999)] {
            assert!(Resampler::new(SampleRate(from), SampleRate(to)).is_err());
        }
    }
}
