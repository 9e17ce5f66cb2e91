//! The three mel spectrograms with Slaney's filters.

use super::{
    Spectrogram,
    mel_bank::MelBank,
    spectrum::{Spectrum, hann, reflect},
    unusable,
};
use stentor_nn::Result;

/// Of the voice encoder's and the S3 tokenizer's frames.
const SIZE_16K: usize = 400;
const HOP_16K: usize = 160;
const RATE_16K: f64 = 16_000.0;
const SIZE_24K: usize = 1920;
const HOP_24K: usize = 480;
/// All banks end here, though 24 kHz reach further.
const TOP: f64 = 8000.0;

/// Mel power of a signal at 16 kHz, 40 bins at 100 frames a second: neither logarithm nor normalisation. Frames are centred;
/// there are 1 + len / 160 of them.
pub fn voice_encoder_mel(samples: &[f32]) -> Result<Spectrogram> {
    let padded = mirrored(samples, SIZE_16K / 2)?;
    Ok(of_frames(&padded, HOP_16K, &MelBank::slaney(RATE_16K, SIZE_16K, 40, TOP), |power| power, |mel| mel))
}

/// The S3 tokenizer's view of a signal at 16 kHz: 128 bins at 100 frames a second, decimal logarithms of mel power, of which only the
/// upper 80 dB count, brought to about -1 to 1. Frames are centred and the last is dropped: len / 160 remain.
pub fn s3_log_mel(samples: &[f32]) -> Result<Spectrogram> {
    let padded = mirrored(samples, SIZE_16K / 2)?;
    let bank = MelBank::slaney(RATE_16K, SIZE_16K, 128, TOP);
    let mut mel = of_frames(&padded, HOP_16K, &bank, |power| power, |mel| mel.max(1e-10).log10());
    mel.truncate(samples.len() / HOP_16K);
    let floor = mel.values.iter().copied().fold(f32::NEG_INFINITY, f32::max) - 8.0;
    for value in &mut mel.values {
        *value = (value.max(floor) + 4.0) / 4.0;
    }
    Ok(mel)
}

/// What the flow speaks in: natural logarithms of mel magnitudes of a signal at 24 kHz, 80 bins at 50 frames a second. The
/// signal is mirrored by 30 ms at both ends; there are len / 480 frames.
pub fn s3gen_mel(samples: &[f32]) -> Result<Spectrogram> {
    let padded = mirrored(samples, (SIZE_24K - HOP_24K) / 2)?;
    let bank = MelBank::slaney(24_000.0, SIZE_24K, 80, TOP);
    Ok(of_frames(&padded, HOP_24K, &bank, |power| (power + 1e-9).sqrt(), |mel| mel.max(1e-5).ln()))
}

/// Mirrors `pad` samples at both ends, or says that there are too few.
fn mirrored(samples: &[f32], pad: usize) -> Result<Vec<f32>> {
    if samples.len() <= pad {
        return Err(unusable(format!("{} samples are too few for a spectrogram", samples.len())));
    }
    Ok(reflect(samples, pad))
}

/// Filters `bin` of each bin's power and applies `finish`; the window is as long as the bank's transform.
fn of_frames(
    signal: &[f32],
    hop: usize,
    bank: &MelBank,
    bin: impl Fn(f64) -> f64,
    finish: impl Fn(f64) -> f64,
) -> Spectrogram {
    let size = if hop == HOP_24K { SIZE_24K } else { SIZE_16K };
    let spectrum = Spectrum::new(hann(size), hop, size);
    let mut values = Vec::with_capacity(spectrum.frames(signal.len()) * bank.len());
    let mut bins = Vec::with_capacity(size / 2 + 1);
    spectrum.for_each(
        signal,
        |_| (),
        |power| {
            bins.clear();
            bins.extend(power.iter().map(|&power| bin(power)));
            values.extend(bank.apply(&bins).map(|mel| finish(mel) as f32));
        },
    );
    Spectrogram { values, bins: bank.len() }
}
