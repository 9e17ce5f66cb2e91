//! AAC-LC in ADTS frames through the Fraunhofer FDK encoder.

use super::Encoder;
use crate::{AudioError, to_s16};
use fdk_aac::enc::{AudioObjectType, BitRate, ChannelMode, EncoderParams, Transport};
use stentor_types::{AudioFormat, SampleRate};

/// Input lies this far into the decoded stream: FDK's look-ahead for block switching and the transform's overlap.
pub(super) const DELAY: usize = 2048;
/// Samples per AAC-LC frame.
const FRAME: usize = 1024;
/// Bits per second. AAC-LC carries the whole 12 kHz band of speech at this rate.
const BITRATE: u32 = 64_000;
/// The rates that an ADTS header can name.
const RATES: [u32; 12] =
    [8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200, 96_000];
/// The largest ADTS frame of one channel: 6144 bits, the 7-byte header and some slack that FDK asks for.
const MAX_FRAME_BYTES: usize = 2048;

pub(super) struct Aac {
    fdk: fdk_aac::enc::Encoder,
    /// Samples that do not fill a frame yet; always shorter than [`FRAME`].
    pending: Vec<i16>,
    encoded: u64,
    frames_out: u64,
    finished: bool,
}

impl Aac {
    pub(super) fn new(rate: SampleRate) -> Result<Self, AudioError> {
        if !RATES.contains(&rate.0) {
            return Err(AudioError::UnsupportedRate { format: AudioFormat::Aac, rate });
        }
        let fdk = fdk_aac::enc::Encoder::new(EncoderParams {
            bit_rate: BitRate::Cbr(BITRATE),
            sample_rate: rate.0,
            transport: Transport::Adts,
            channels: ChannelMode::Mono,
            audio_object_type: AudioObjectType::Mpeg4LowComplexity,
        })
        .map_err(|e| error(&e))?;
        Ok(Self { fdk, pending: Vec::with_capacity(FRAME), encoded: 0, frames_out: 0, finished: false })
    }

    /// Encodes the full frame in `pending`.
    fn encode_frame(&mut self, out: &mut Vec<u8>) -> Result<(), AudioError> {
        let mut input = &self.pending[..];
        let mut bytes = [0; MAX_FRAME_BYTES];
        while !input.is_empty() {
            let done = self.fdk.encode(input, &mut bytes).map_err(|e| error(&e))?;
            if done.input_consumed == 0 && done.output_size == 0 {
                return Err(error(&"no progress"));
            }
            input = &input[done.input_consumed..];
            self.frames_out += u64::from(done.output_size > 0);
            out.extend_from_slice(&bytes[..done.output_size]);
        }
        self.pending.clear();
        Ok(())
    }
}

impl Encoder for Aac {
    fn encode(&mut self, samples: &[f32], out: &mut Vec<u8>) -> Result<(), AudioError> {
        if self.finished {
            return Err(AudioError::Finished { format: AudioFormat::Aac });
        }
        self.encoded += samples.len() as u64;
        let mut rest = samples;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(FRAME - self.pending.len()));
            self.pending.extend(now.iter().copied().map(to_s16));
            rest = later;
            if self.pending.len() == FRAME {
                self.encode_frame(out)?;
            }
        }
        Ok(())
    }

    /// Pushes the last samples through the encoder's delay with silence, and not a frame more.
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), AudioError> {
        if std::mem::replace(&mut self.finished, true) {
            return Err(AudioError::Finished { format: AudioFormat::Aac });
        }
        let frames = (self.encoded + DELAY as u64).div_ceil(FRAME as u64);
        while self.frames_out < frames {
            self.pending.resize(FRAME, 0);
            self.encode_frame(out)?;
        }
        Ok(())
    }
}

fn error(message: &impl ToString) -> AudioError {
    AudioError::codec(AudioFormat::Aac, message)
}
