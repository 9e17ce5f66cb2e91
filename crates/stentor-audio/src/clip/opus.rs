//! Opus packets, which symphonia finds in Ogg, Matroska and MP4 but does not decode.

use super::ClipError;
use opus_pure::{OpusDecoder, OpusMSDecoder};

/// Opus always decodes to this rate here, whatever was recorded.
pub(super) const RATE: u32 = 48_000;
/// The longest packet, 120 ms.
const MAX_FRAME: usize = 5760;

enum Codec {
    /// Mono or stereo.
    Plain(Box<OpusDecoder>),
    Surround(Box<OpusMSDecoder>),
}

pub(super) struct Opus {
    codec: Codec,
    channels: usize,
    gain: f32,
    /// Frames still to be dropped at the start.
    skip: usize,
    buffer: Vec<f32>,
}

impl Opus {
    /// `head` is the identification header of RFC 7845 section 5.1, in which containers keep what the decoder needs.
    pub(super) fn new(head: &[u8]) -> Result<Self, ClipError> {
        let damaged = |why: &str| ClipError::Damaged { why: format!("its Opus header {why}") };
        let fields = head.strip_prefix(b"OpusHead").and_then(|head| head.first_chunk::<11>());
        let Some(&[version, channels, skip_0, skip_1, _, _, _, _, gain_0, gain_1, family]) = fields else {
            return Err(damaged("is missing"));
        };
        // MP4 has the same fields under version 0, in the other order of bytes.
        let number = if version == 0 { u16::from_be_bytes } else { u16::from_le_bytes };
        let channels = usize::from(channels);
        let refused = |_| ClipError::Codec { codec: format!("opus, {channels} channels of family {family}") };
        let codec = match (channels, family) {
            (0, _) => return Err(damaged("names no channel")),
            (1 | 2, 0 | 1) => {
                Codec::Plain(Box::new(OpusDecoder::new(RATE as i32, channels).map_err(refused)?))
            }
            _ => {
                Codec::Surround(Box::new(OpusMSDecoder::new(RATE as i32, channels, family).map_err(refused)?))
            }
        };
        let gain = f32::from(number([gain_0, gain_1]).cast_signed()) / 256.0;
        Ok(Self {
            codec,
            channels,
            gain: 10_f32.powf(gain / 20.0),
            skip: usize::from(number([skip_0, skip_1])),
            buffer: vec![0.0; MAX_FRAME * channels],
        })
    }

    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    /// Interleaved samples of one packet; `None` where it is damaged. `surplus` frames at its end are not part of the
    /// recording.
    pub(super) fn decode(&mut self, packet: &[u8], surplus: usize) -> Option<&[f32]> {
        // The decoder takes nothing for a lost packet, which none of these is.
        if packet.is_empty() {
            return None;
        }
        let frames = match &mut self.codec {
            Codec::Plain(codec) => codec.decode(packet, MAX_FRAME, &mut self.buffer),
            Codec::Surround(codec) => codec.decode(packet, MAX_FRAME, &mut self.buffer),
        };
        let frames = frames.ok()?.min(MAX_FRAME);
        let skipped = frames.min(self.skip);
        self.skip -= skipped;
        let end = frames.saturating_sub(surplus).max(skipped);
        let samples = &mut self.buffer[skipped * self.channels..end * self.channels];
        for sample in &mut *samples {
            *sample *= self.gain;
        }
        Some(samples)
    }
}
