//! Integrated loudness after ITU-R BS.1770, and the gain that brings a recording to the level that Turbo and Nano know.
//!
//! Its own filters rather than a metering crate's: the models' recordings were measured with cookbook approximations of the K
//! weighting whose corner frequencies are a little off the recommendation's, and the gain is to be the same.

use std::f64::consts::{SQRT_2, TAU};

/// What recordings are brought to for Turbo and Nano.
pub const TARGET_LUFS: f64 = -27.0;
/// Blocks quieter than this never count.
const ABSOLUTE_GATE: f64 = -70.0;
/// Neither do blocks that are this much quieter than the mean of those that passed.
const RELATIVE_GATE: f64 = -10.0;
/// Seconds.
const BLOCK: f64 = 0.4;
/// Blocks overlap by three quarters.
const STEP: f64 = 0.25;

/// LUFS of a mono signal; `None` for one that is shorter than a block or silent.
pub fn integrated_loudness(samples: &[f32], rate: u32) -> Option<f64> {
    let rate = f64::from(rate);
    let seconds = samples.len() as f64 / rate;
    if seconds < BLOCK {
        return None;
    }
    let weighted = high_pass(rate).run(&high_shelf(rate).run(samples));
    let count = ((seconds - BLOCK) / (BLOCK * STEP)).round_ties_even() as usize + 1;
    let power = |block: usize| {
        let bound =
            |offset: f64| ((BLOCK * (block as f64 * STEP + offset) * rate) as usize).min(weighted.len());
        let samples = &weighted[bound(0.0)..bound(1.0)];
        samples.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / (BLOCK * rate)
    };
    let powers: Vec<f64> = (0..count).map(power).collect();
    let audible = mean(powers.iter().copied().filter(|&power| loudness(power) >= ABSOLUTE_GATE))?;
    let gate = loudness(audible) + RELATIVE_GATE;
    let counts = |power: &f64| loudness(*power) > gate && loudness(*power) > ABSOLUTE_GATE;
    mean(powers.into_iter().filter(counts)).map(loudness)
}

/// Brings a recording to [`TARGET_LUFS`]; one whose loudness can't be told stays as it is.
pub fn normalize_loudness(samples: &mut [f32], rate: u32) {
    let Some(loudness) = integrated_loudness(samples, rate) else { return };
    let gain = 10f64.powf((TARGET_LUFS - loudness) / 20.0);
    for x in samples {
        *x = (f64::from(*x) * gain) as f32;
    }
}

fn loudness(power: f64) -> f64 {
    -0.691 + 10.0 * power.log10()
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// Numerator and denominator of a second-order filter.
struct Biquad {
    b: [f64; 3],
    a: [f64; 3],
}

impl Biquad {
    fn run(&self, samples: &[f32]) -> Vec<f32> {
        let [b0, b1, b2] = self.b.map(|b| b / self.a[0]);
        let [_, a1, a2] = self.a.map(|a| a / self.a[0]);
        let (mut first, mut second) = (0.0, 0.0);
        let step = |&x: &f32| {
            let x = f64::from(x);
            let y = b0 * x + first;
            first = b1 * x - a1 * y + second;
            second = b2 * x - a2 * y;
            y as f32
        };
        samples.iter().map(step).collect()
    }
}

/// 4 dB more above 1.5 kHz: the head's effect.
fn high_shelf(rate: f64) -> Biquad {
    let gain = 10f64.powf(4.0 / 40.0);
    let angle = TAU * 1500.0 / rate;
    let (sin, cos) = angle.sin_cos();
    // The quality is 1 / sqrt(2).
    let slope = 2.0 * gain.sqrt() * sin / SQRT_2;
    let (more, less) = (gain + 1.0, gain - 1.0);
    Biquad {
        b: [
            gain * (more + less * cos + slope),
            -2.0 * gain * (less + more * cos),
            gain * (more + less * cos - slope),
        ],
        a: [more - less * cos + slope, 2.0 * (less - more * cos), more - less * cos - slope],
    }
}

/// Takes off what is below 38 Hz; the quality is 1 / 2.
fn high_pass(rate: f64) -> Biquad {
    let (sin, cos) = (TAU * 38.0 / rate).sin_cos();
    Biquad {
        b: [f64::midpoint(1.0, cos), -(1.0 + cos), f64::midpoint(1.0, cos)],
        a: [1.0 + sin, -2.0 * cos, 1.0 - sin],
    }
}
