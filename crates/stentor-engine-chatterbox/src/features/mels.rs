//! The three mel spectrograms with Slaney's filters.

use super::{
    Spectrogram,
    mel_bank::MelBank,
    spectrum::{Spectrum, hann, reflect},
    unusable,
};
use stentor_nn::Result;

/// How a signal is cut into frames, and the filters that each frame goes through.
struct Frames {
    /// Hertz.
    rate: f64,
    /// Samples.
    size: usize,
    /// Samples from one frame to the next.
    hop: usize,
    mels: usize,
}

const VOICE: Frames = Frames { rate: 16_000.0, size: 400, hop: 160, mels: 40 };
const SPEECH: Frames = Frames { rate: 16_000.0, size: 400, hop: 160, mels: 128 };
const FLOW: Frames = Frames { rate: 24_000.0, size: 1920, hop: 480, mels: 80 };
/// All banks end here, though 24 kHz reach further.
const TOP: f64 = 8000.0;

/// Mel power of a signal at 16 kHz, 40 bins at 100 frames a second: neither logarithm nor normalisation. Frames are centred;
/// there are 1 + len / 160 of them.
pub fn voice_encoder_mel(samples: &[f32]) -> Result<Spectrogram> {
    let padded = mirrored(samples, VOICE.size / 2)?;
    Ok(VOICE.of(&padded, |power| power, |mel| mel))
}

/// The S3 tokenizer's view of a signal at 16 kHz: 128 bins at 100 frames a second, decimal logarithms of mel power, of which only the
/// upper 80 dB count, brought to about -1 to 1. Frames are centred and the last is dropped: len / 160 remain.
pub fn s3_log_mel(samples: &[f32]) -> Result<Spectrogram> {
    let padded = mirrored(samples, SPEECH.size / 2)?;
    let mut mel = SPEECH.of(&padded, |power| power, |mel| mel.max(1e-10).log10());
    mel.truncate(samples.len() / SPEECH.hop);
    let floor = mel.values.iter().copied().fold(f32::NEG_INFINITY, f32::max) - 8.0;
    for value in &mut mel.values {
        *value = (value.max(floor) + 4.0) / 4.0;
    }
    Ok(mel)
}

/// What the flow speaks in: natural logarithms of mel magnitudes of a signal at 24 kHz, 80 bins at 50 frames a second. The
/// signal is mirrored by 30 ms at both ends; there are len / 480 frames.
pub fn s3gen_mel(samples: &[f32]) -> Result<Spectrogram> {
    let padded = mirrored(samples, (FLOW.size - FLOW.hop) / 2)?;
    Ok(FLOW.of(&padded, |power| (power + 1e-9).sqrt(), |mel| mel.max(1e-5).ln()))
}

/// Mirrors `pad` samples at both ends, or says that there are too few.
fn mirrored(samples: &[f32], pad: usize) -> Result<Vec<f32>> {
    if samples.len() <= pad {
        return Err(unusable(format!("{} samples are too few for a spectrogram", samples.len())));
    }
    Ok(reflect(samples, pad))
}

impl Frames {
    /// Filters what `bin` makes of each bin's power, and applies `finish`.
    fn of(&self, signal: &[f32], bin: impl Fn(f64) -> f64, finish: impl Fn(f64) -> f64) -> Spectrogram {
        let bank = MelBank::slaney(self.rate, self.size, self.mels, TOP);
        let spectrum = Spectrum::new(hann(self.size), self.hop, self.size);
        let mut values = Vec::with_capacity(spectrum.frames(signal.len()) * self.mels);
        let mut bins = Vec::with_capacity(self.size / 2 + 1);
        let each = |power: &[f64]| {
            bins.clear();
            bins.extend(power.iter().map(|&power| bin(power)));
            values.extend(bank.apply(&bins).map(|mel| finish(mel) as f32));
        };
        spectrum.for_each(signal, |_| (), each);
        Spectrogram { values, bins: self.mels }
    }
}
