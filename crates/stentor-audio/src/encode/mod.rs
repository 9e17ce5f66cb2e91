//! The six encoders behind one streaming trait.

mod aac;
mod flac;
#[expect(
    unsafe_code,
    reason = "libopus, translated to Rust, has a C interface; each block states its argument"
)]
mod libopus;
mod mp3;
mod opus;
mod wav;

pub use wav::wav_header;

use crate::AudioError;
use stentor_types::{AudioFormat, SampleRate};

/// Mono samples in, bytes of one container out.
///
/// The bytes of one stream do not depend on how its samples are cut into calls. Dropping an encoder before `finish`
/// frees everything; what it emitted so far is then a truncated stream.
pub trait Encoder: Send {
    /// Takes `samples` (nominally within -1..=1; what lies beyond is clamped) and appends to `out` every byte that is
    /// complete by now. Headers come out of the first call, even one without samples.
    fn encode(&mut self, samples: &[f32], out: &mut Vec<u8>) -> Result<(), AudioError>;

    /// Tells what sets this stream apart from others that it may be glued to; nothing but an Ogg container shows it.
    /// Takes effect before the first call of the others.
    fn name(&mut self, _number: u32) {}

    /// Appends the rest of the stream. No call may follow.
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), AudioError>;
}

/// An encoder of `format` for mono samples at `rate`.
///
/// `total` is the number of samples that will be encoded, where it is known beforehand: then WAV and FLAC headers hold
/// true sizes, and `finish` fails with [`AudioError::LengthMismatch`] when that many did not come. With `None` a WAV
/// header holds 0xFFFFFFFF and a FLAC header "unknown". The other formats state no length and ignore it.
pub fn encoder(
    format: AudioFormat,
    rate: SampleRate,
    total: Option<u64>,
) -> Result<Box<dyn Encoder>, AudioError> {
    Ok(match format {
        AudioFormat::Wav => Box::new(wav::Wav::new(rate, total)),
        AudioFormat::Pcm => Box::new(wav::Pcm),
        AudioFormat::Mp3 => Box::new(mp3::Mp3::new(rate)?),
        AudioFormat::Flac => Box::new(flac::Flac::new(rate, total)?),
        AudioFormat::Opus => Box::new(opus::Opus::new(rate)?),
        AudioFormat::Aac => Box::new(aac::Aac::new(rate)?),
    })
}

/// Samples at which the first input sample stands in a decoder's plain output, at 24 kHz.
///
/// Only MP3 and AAC have such a lead-in, because a body that can be concatenated has no place to declare it; Opus
/// declares it (pre-skip), so its decoders cut it away.
pub fn delay_in_samples(format: AudioFormat) -> usize {
    match format {
        AudioFormat::Mp3 => mp3::DELAY,
        AudioFormat::Aac => aac::DELAY,
        AudioFormat::Opus | AudioFormat::Flac | AudioFormat::Wav | AudioFormat::Pcm => 0,
    }
}

/// Checks at the end of a stream that a length written into its header has come true.
fn check_length(announced: Option<u64>, got: u64) -> Result<(), AudioError> {
    match announced {
        Some(expected) if expected != got => Err(AudioError::LengthMismatch { expected, got }),
        _ => Ok(()),
    }
}
