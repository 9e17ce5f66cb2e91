//! The two conversions of sample rates that a recording goes through on its way to the networks.
//!
//! Speech tokens are quantized: a recording resampled otherwise than in training has other tokens here and there. So neither is the
//! resampler that spoken audio goes through (`stentor_audio::Resampler`, which streams and is good enough for ears): each is
//! the filter that the reference's resampler has, on a whole signal, with one exact set of taps for each phase.

use rayon::prelude::*;
use std::f64::consts::PI;
use stentor_audio::Resampler;
use stentor_nn::{NnError, Result, Watch};
use stentor_types::SampleRate;

use super::unusable;

/// A windowed sinc.
struct Design {
    /// Cut-off relative to the lower of the two Nyquist frequencies.
    roll_off: f64,
    /// Zero crossings on each side of the peak.
    crossings: f64,
    /// The window's value, from 0 at the peak to 1 at the end.
    window: fn(f64) -> f64,
}

/// soxr's "HQ": flat to 0.913 of the Nyquist frequency, 126 dB down from the Nyquist frequency on, linear phase. Fitted to its impulse
/// response at 24 to 16 kHz, which it meets to -133 dB.
const HQ: Design = Design { roll_off: 0.956_872, crossings: 92.657, window: kaiser };

/// torchaudio's default: short, with a soft edge around the Nyquist frequency.
const SINC_HANN: Design = Design { roll_off: 0.99, crossings: 6.0, window: hann };

/// Phases beyond which a filter's table would take long to make: rates that have next to nothing in common.
const MAX_PHASES: usize = 1024;
/// Output samples of one task, a few milliseconds of work.
const BLOCK: usize = 8192;
/// Rates that [`Resampler`] takes as well.
const RATES: std::ops::RangeInclusive<u32> = 4_000..=384_000;

/// The conversion for whatever the reference loads: ceil(len * to / from) samples. There as here the filter makes the nearest
/// whole number of them, and the one that may be missing is zero.
pub fn resample_hq(samples: &[f32], from: u32, to: u32, watch: &dyn Watch) -> Result<Vec<f32>> {
    let mut out = resample(&HQ, samples, (from, to), watch)?;
    let (twice, from) = (2 * samples.len() as u64 * u64::from(to), u64::from(from));
    let made = ((twice + from) / (2 * from)) as usize;
    out.iter_mut().skip(made).for_each(|x| *x = 0.0);
    Ok(out)
}

/// The conversion inside of S3Gen: ceil(len * to / from) samples.
pub fn resample_sinc_hann(samples: &[f32], from: u32, to: u32, watch: &dyn Watch) -> Result<Vec<f32>> {
    resample(&SINC_HANN, samples, (from, to), watch)
}

fn resample(design: &Design, samples: &[f32], rates: (u32, u32), watch: &dyn Watch) -> Result<Vec<f32>> {
    let (from, to) = rates;
    if !RATES.contains(&from) || !RATES.contains(&to) {
        return Err(unusable(format!("no conversion from {from} to {to} Hz")));
    }
    if from == to {
        return Ok(samples.to_vec());
    }
    let common = gcd(from, to);
    let (from, to) = ((from / common) as usize, (to / common) as usize);
    if to > MAX_PHASES {
        return streamed(samples, rates, watch);
    }
    Phases::new(design, from, to).run(samples, watch)
}

/// Through the resampler for ears, whose table serves any ratio.
fn streamed(samples: &[f32], (from, to): (u32, u32), watch: &dyn Watch) -> Result<Vec<f32>> {
    let refused = |error: stentor_audio::AudioError| unusable(error.to_string());
    let mut resampler = Resampler::new(SampleRate(from), SampleRate(to)).map_err(refused)?;
    let mut out = Vec::new();
    for piece in samples.chunks(BLOCK) {
        resampler.push(piece, &mut out);
        go_on(watch)?;
    }
    resampler.finish(&mut out);
    Ok(out)
}

/// One filter for each position of an output sample between two input samples.
struct Phases {
    from: usize,
    to: usize,
    /// Input samples to the left of the one at or before the output sample; there is one more to the right.
    reach: usize,
    /// `[to][2 * reach + 2]`.
    taps: Vec<f32>,
}

impl Phases {
    fn new(design: &Design, from: usize, to: usize) -> Self {
        let cutoff = design.roll_off * (to as f64 / from as f64).min(1.0);
        let reach = (design.crossings / cutoff).ceil() as usize;
        let tap = |phase: usize, tap: usize| {
            let fraction = (phase * from % to) as f64 / to as f64;
            let x = (tap as f64 - reach as f64 - fraction) * cutoff;
            let edge = (x / design.crossings).abs();
            if edge >= 1.0 {
                return 0.0;
            }
            let sinc = if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) };
            (sinc * (design.window)(edge) * cutoff) as f32
        };
        let width = 2 * reach + 2;
        let taps =
            (0..to).into_par_iter().flat_map_iter(|phase| (0..width).map(move |i| tap(phase, i))).collect();
        Self { from, to, reach, taps }
    }

    fn run(&self, samples: &[f32], watch: &dyn Watch) -> Result<Vec<f32>> {
        let width = 2 * self.reach + 2;
        let mut padded = vec![0.0; self.reach];
        padded.extend_from_slice(samples);
        padded.resize(samples.len() + width, 0.0);
        let mut out = vec![0.0; (samples.len() * self.to).div_ceil(self.from)];
        out.par_chunks_mut(BLOCK).enumerate().try_for_each(|(block, out)| {
            for (i, out) in out.iter_mut().enumerate() {
                let index = block * BLOCK + i;
                let taps = &self.taps[index % self.to * width..][..width];
                *out = dot(taps, &padded[index * self.from / self.to..][..width]);
            }
            go_on(watch)
        })?;
        Ok(out)
    }
}

fn go_on(watch: &dyn Watch) -> Result<()> {
    if watch.tick() { Ok(()) } else { Err(NnError::Stopped) }
}

/// In lanes, which the compiler keeps in registers.
fn dot(left: &[f32], right: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0f32; LANES];
    let (left, left_rest) = left.as_chunks::<LANES>();
    let (right, right_rest) = right.as_chunks::<LANES>();
    for (left, right) in left.iter().zip(right) {
        for lane in 0..LANES {
            sums[lane] += left[lane] * right[lane];
        }
    }
    let rest: f32 = left_rest.iter().zip(right_rest).map(|(left, right)| left * right).sum();
    sums.iter().sum::<f32>() + rest
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn hann(edge: f64) -> f64 {
    (edge * PI / 2.0).cos().powi(2)
}

fn kaiser(edge: f64) -> f64 {
    const BETA: f64 = 13.0404;
    bessel_i0(BETA * (1.0 - edge * edge).sqrt()) / bessel_i0(BETA)
}

/// Modified Bessel function of the first kind and order zero, by its power series.
fn bessel_i0(x: f64) -> f64 {
    let quarter = x * x / 4.0;
    let terms = (1..64).scan(1.0, |term, k| {
        *term *= quarter / f64::from(k * k);
        Some(*term)
    });
    1.0 + terms.sum::<f64>()
}
