//! Kaldi's filter bank, as CAMPPlus wants it.

use super::{Spectrogram, mel_bank::MelBank, spectrum::Spectrum, unusable};
use std::f64::consts::TAU;
use stentor_nn::Result;

/// 25 ms at 16 kHz.
const FRAME: usize = 400;
/// 10 ms at 16 kHz.
const SHIFT: usize = 160;
/// The next power of two.
const SIZE: usize = 512;
const BINS: usize = 80;
const PREEMPHASIS: f64 = 0.97;

/// Natural logarithms of mel power of a signal at 16 kHz, 80 bins at 100 frames a second, each bin's mean over time taken off.
/// Only frames that lie in the signal as a whole count. Samples are in -1 to 1: unlike Kaldi's own they are not scaled to 16 bits,
/// which moves quiet bins to the logarithm's floor.
pub fn fbank(samples: &[f32]) -> Result<Spectrogram> {
    if samples.len() < FRAME {
        return Err(unusable(format!("{} samples are too few for a filter bank", samples.len())));
    }
    let spectrum = Spectrum::new(povey(FRAME), SHIFT, SIZE);
    let bank = MelBank::kaldi(16_000.0, SIZE, BINS);
    let mut values = Vec::with_capacity(spectrum.frames(samples.len()) * BINS);
    spectrum.for_each(samples, prepare, |power| {
        values.extend(bank.apply(power).map(|mel| mel.max(f64::from(f32::EPSILON)).ln() as f32));
    });
    subtract_means(&mut values);
    Ok(Spectrogram { values, bins: BINS })
}

/// Takes off the frame's mean, then most of each sample's predecessor; the first counts as its own.
fn prepare(frame: &mut [f64]) {
    let mean = frame.iter().sum::<f64>() / frame.len() as f64;
    let mut before = frame[0] - mean;
    for x in frame {
        let centred = *x - mean;
        *x = centred - PREEMPHASIS * before;
        before = centred;
    }
}

/// A symmetric Hann window to the power of 0.85.
fn povey(len: usize) -> Vec<f64> {
    (0..len).map(|n| (0.5 - 0.5 * (TAU * n as f64 / (len - 1) as f64).cos()).powf(0.85)).collect()
}

fn subtract_means(values: &mut [f32]) {
    let frames = values.len() / BINS;
    for bin in 0..BINS {
        let sum: f64 = values.iter().skip(bin).step_by(BINS).map(|&x| f64::from(x)).sum();
        let mean = (sum / frames as f64) as f32;
        values.iter_mut().skip(bin).step_by(BINS).for_each(|x| *x -= mean);
    }
}
