//! What an ear would notice of a decoded file.

use stentor_testkit::decode::{Decoded, decode};
use stentor_types::AudioFormat;

/// Length and level of some audio.
#[derive(Debug, Clone, Copy)]
pub struct Heard {
    pub seconds: f64,
    /// Root mean square, in dB under full scale.
    pub level_db: f64,
    pub peak: f32,
}

/// Decodes with an independent decoder; asserts one channel.
pub fn hear(format: AudioFormat, bytes: &[u8]) -> Heard {
    let Decoded { samples, rate, channels } = decode(format, bytes);
    assert_eq!(channels, 1, "{format} is mono");
    let energy: f64 = samples.iter().map(|&x| f64::from(x).powi(2)).sum();
    Heard {
        seconds: samples.len() as f64 / f64::from(rate),
        level_db: 10.0 * (energy / samples.len().max(1) as f64).log10(),
        peak: samples.iter().fold(0.0, |peak, x| peak.max(x.abs())),
    }
}

/// Asserts that this can be a sentence of `chars` characters: neither too short nor too long, neither faint nor clipped.
pub fn assert_is_speech(heard: Heard, chars: usize) {
    let per_char = heard.seconds / chars as f64;
    assert!((0.03..0.15).contains(&per_char), "{per_char} s per character: {heard:?}");
    assert!((-32.0..-10.0).contains(&heard.level_db), "{heard:?}");
    assert!(heard.peak > 0.1 && heard.peak < 1.0, "{heard:?}");
}
