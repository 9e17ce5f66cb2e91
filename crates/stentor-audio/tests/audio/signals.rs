//! What the tests of this crate share: a speech-like signal that exists at any rate, and measures of likeness.

use std::f64::consts::TAU;

/// Something like voiced speech: a gliding fundamental with harmonics up to 6 kHz, syllables, then a gap each second.
/// `t` in seconds; peak about 0.6.
pub(crate) fn speech_like(t: f64) -> f64 {
    let phase = 140.0 * t + 12.0 * (0.7 * TAU * t).sin();
    let voice: f64 = (1..=36).map(|h| (TAU * f64::from(h) * phase).sin() / f64::from(h)).sum();
    let syllables = 0.5 - 0.5 * (TAU * 4.0 * t).cos();
    0.35 * voice * syllables * f64::from(u8::from(t.fract() < 0.75))
}

/// `samples` values of `signal` at `rate`.
pub(crate) fn sampled(signal: impl Fn(f64) -> f64, rate: u32, samples: usize) -> Vec<f32> {
    (0..samples).map(|i| signal(i as f64 / f64::from(rate)) as f32).collect()
}

pub(crate) fn energy(samples: &[f32]) -> f64 {
    samples.iter().map(|&x| f64::from(x) * f64::from(x)).sum()
}

/// How far `decoded` is from `original`, in dB under the original; the shorter one decides the length.
pub(crate) fn snr_db(original: &[f32], decoded: &[f32]) -> f64 {
    let error: f64 = original.iter().zip(decoded).map(|(&a, &b)| f64::from(a - b).powi(2)).sum();
    10.0 * (energy(original) / error.max(1e-12)).log10()
}

/// Cosine of the angle between the two signals; 1 for equal shape.
pub(crate) fn correlation(a: &[f32], b: &[f32]) -> f64 {
    let dot: f64 = a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
    dot / (energy(a) * energy(b)).sqrt()
}

/// Level of `decoded` over that of `original` in dB.
pub(crate) fn gain_db(original: &[f32], decoded: &[f32]) -> f64 {
    10.0 * (energy(decoded) / energy(original)).log10()
}

/// Magnitude of the Fourier transform at `hz`.
pub(crate) fn magnitude_at(samples: &[f32], rate: u32, hz: f64) -> f64 {
    let step = TAU * hz / f64::from(rate);
    let (re, im) = samples.iter().enumerate().fold((0.0, 0.0), |(re, im), (i, &x)| {
        let (sin, cos) = (step * i as f64).sin_cos();
        (re + f64::from(x) * cos, im + f64::from(x) * sin)
    });
    f64::hypot(re, im)
}

/// The strongest of the frequencies 25, 50, 75 ... Hz.
pub(crate) fn dominant_hz(samples: &[f32], rate: u32) -> f64 {
    let bins = (1..rate / 50).map(|k| f64::from(k) * 25.0);
    let strengths = bins.map(|hz| (magnitude_at(samples, rate, hz), hz));
    strengths.max_by(|a, b| a.0.total_cmp(&b.0)).expect("there are bins").1
}
