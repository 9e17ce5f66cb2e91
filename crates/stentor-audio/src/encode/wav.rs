//! PCM and WAV: 16-bit little-endian samples, bare or behind a 44-byte RIFF header.

use super::{Encoder, check_length};
use crate::{AudioError, to_s16};
use stentor_types::SampleRate;

const BYTES_PER_SAMPLE: u64 = 2;
/// RIFF bytes between the size field and the samples.
const HEADER_AFTER_SIZE: u64 = 36;
/// What a stream of unknown length, or one beyond 4 GiB, says in both size fields.
const UNKNOWN: u32 = u32::MAX;

fn append_samples(samples: &[f32], out: &mut Vec<u8>) {
    out.reserve(samples.len() * 2);
    for &sample in samples {
        out.extend_from_slice(&to_s16(sample).to_le_bytes());
    }
}

/// Bare samples.
pub(super) struct Pcm;

impl Encoder for Pcm {
    fn encode(&mut self, samples: &[f32], out: &mut Vec<u8>) -> Result<(), AudioError> {
        append_samples(samples, out);
        Ok(())
    }

    fn finish(&mut self, _out: &mut Vec<u8>) -> Result<(), AudioError> {
        Ok(())
    }
}

pub(super) struct Wav {
    rate: SampleRate,
    announced: Option<u64>,
    encoded: u64,
    header_written: bool,
}

impl Wav {
    pub(super) fn new(rate: SampleRate, announced: Option<u64>) -> Self {
        Self { rate, announced, encoded: 0, header_written: false }
    }

    fn write_header_once(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.header_written, true) {
            out.extend_from_slice(&wav_header(self.rate, self.announced));
        }
    }
}

impl Encoder for Wav {
    fn encode(&mut self, samples: &[f32], out: &mut Vec<u8>) -> Result<(), AudioError> {
        self.write_header_once(out);
        self.encoded += samples.len() as u64;
        append_samples(samples, out);
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), AudioError> {
        self.write_header_once(out);
        check_length(self.announced, self.encoded)
    }
}

/// The header in front of `samples` mono 16-bit samples: RIFF, `fmt `, `data`. Without a count both sizes say "unknown".
/// A file that was streamed gets its true sizes by writing this over its first 44 bytes.
pub fn wav_header(rate: SampleRate, samples: Option<u64>) -> [u8; 44] {
    let data = samples.and_then(|n| n.checked_mul(BYTES_PER_SAMPLE));
    // Both fields are true or neither is: a reader that trusts one of them must not be misled by the other.
    let fits = data.filter(|bytes| bytes + HEADER_AFTER_SIZE < u64::from(UNKNOWN));
    let (riff_size, data_size) =
        fits.map_or((UNKNOWN, UNKNOWN), |bytes| ((bytes + HEADER_AFTER_SIZE) as u32, bytes as u32));
    let mut header = [0; 44];
    let fields: [(usize, &[u8]); 13] = [
        (0, b"RIFF"),
        (4, &riff_size.to_le_bytes()),
        (8, b"WAVE"),
        (12, b"fmt "),
        (16, &16u32.to_le_bytes()),
        (20, &1u16.to_le_bytes()),
        (22, &1u16.to_le_bytes()),
        (24, &rate.0.to_le_bytes()),
        (28, &(rate.0.saturating_mul(BYTES_PER_SAMPLE as u32)).to_le_bytes()),
        (32, &(BYTES_PER_SAMPLE as u16).to_le_bytes()),
        (34, &16u16.to_le_bytes()),
        (36, b"data"),
        (40, &data_size.to_le_bytes()),
    ];
    for (offset, bytes) in fields {
        header[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(samples: Option<u64>) -> (u32, u32) {
        let header = wav_header(SampleRate::HZ_24000, samples);
        let at = |offset: usize| u32::from_le_bytes(header[offset..offset + 4].try_into().unwrap());
        (at(4), at(40))
    }

    #[test]
    fn sizes_are_both_true_or_both_unknown() {
        assert_eq!(sizes(Some(0)), (36, 0));
        assert_eq!(sizes(Some(1000)), (2036, 2000));
        assert_eq!(sizes(None), (UNKNOWN, UNKNOWN));
        assert_eq!(sizes(Some(2_147_483_629)), (u32::MAX - 1, u32::MAX - 37));
        assert_eq!(sizes(Some(2_147_483_630)), (UNKNOWN, UNKNOWN), "one sample too many for the field");
        assert_eq!(sizes(Some(u64::MAX)), (UNKNOWN, UNKNOWN));
    }

    #[test]
    fn a_broken_promise_is_an_error() {
        let mut wav = Wav::new(SampleRate::HZ_24000, Some(3));
        wav.encode(&[0.0; 2], &mut Vec::new()).unwrap();
        let result = wav.finish(&mut Vec::new());
        assert!(matches!(result, Err(AudioError::LengthMismatch { expected: 3, got: 2 })));
    }
}
