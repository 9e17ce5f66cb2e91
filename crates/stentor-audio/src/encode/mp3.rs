//! MP3 through LAME: constant bitrate, no ID3 tag, no Xing frame, so that clients can glue bodies together.
//!
//! Each body starts with an empty bit reservoir and ends on a padded frame, so no frame of one body refers to bytes of
//! another. LAME keeps its state per encoder; encoders on different threads don't share any.

use super::Encoder;
use crate::{AudioError, quantize::to_unit};
use mp3lame_encoder::{
    Bitrate, Builder, FlushGap, Mode, MonoPcm, Quality, VbrMode, max_required_buffer_size,
};
use stentor_types::{AudioFormat, SampleRate};

/// Input lies this far into the decoded stream: 576 samples of LAME's own and 529 of every Layer III decoder.
pub(super) const DELAY: usize = 576 + 529;
/// Speech is transparent here at 24 kHz mono; clients on slow links still get four times less than WAV.
const BITRATE: Bitrate = Bitrate::Kbps96;
/// LAME turns everything down by this factor at [`BITRATE`], as headroom; our input keeps its own, so it is undone.
const LAME_GAIN: f32 = 0.95;
/// Samples handed to LAME at once; bounds the scratch buffer.
const PIECE: usize = 4608;
/// Rates of MPEG-1, -2 and -2.5 Layer III; LAME would resample any other silently.
const RATES: [u32; 9] = [8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000];

pub(super) struct Mp3 {
    /// None once finished.
    lame: Option<mp3lame_encoder::Encoder>,
    piece: Vec<f32>,
    scratch: Vec<u8>,
}

impl Mp3 {
    pub(super) fn new(rate: SampleRate) -> Result<Self, AudioError> {
        if !RATES.contains(&rate.0) {
            return Err(AudioError::UnsupportedRate { format: AudioFormat::Mp3, rate });
        }
        let builder = Builder::new().ok_or_else(|| error(&"out of memory"))?;
        let lame = builder
            .with_num_channels(1)
            .and_then(|builder| builder.with_sample_rate(rate.0))
            .and_then(|builder| builder.with_mode(Mode::Mono))
            .and_then(|builder| builder.with_vbr_mode(VbrMode::Off))
            .and_then(|builder| builder.with_brate(BITRATE))
            .and_then(|builder| builder.with_quality(Quality::VeryNice))
            .and_then(|builder| builder.with_to_write_vbr_tag(false))
            .and_then(Builder::build)
            .map_err(|e| error(&e))?;
        // LAME writes into spare capacity, so the scratch buffer must have all of it from the start.
        let scratch = Vec::with_capacity(max_required_buffer_size(PIECE));
        Ok(Self { lame: Some(lame), piece: Vec::with_capacity(PIECE), scratch })
    }
}

impl Encoder for Mp3 {
    fn encode(&mut self, samples: &[f32], out: &mut Vec<u8>) -> Result<(), AudioError> {
        let lame = self.lame.as_mut().ok_or(AudioError::Finished { format: AudioFormat::Mp3 })?;
        for piece in samples.chunks(PIECE) {
            self.scratch.clear();
            self.piece.clear();
            self.piece.extend(piece.iter().map(|&sample| to_unit(sample) / LAME_GAIN));
            lame.encode_to_vec(MonoPcm(&self.piece[..]), &mut self.scratch).map_err(|e| error(&e))?;
            out.extend_from_slice(&self.scratch);
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), AudioError> {
        let mut lame = self.lame.take().ok_or(AudioError::Finished { format: AudioFormat::Mp3 })?;
        self.scratch.clear();
        lame.flush_to_vec::<FlushGap>(&mut self.scratch).map_err(|e| error(&e))?;
        out.extend_from_slice(&self.scratch);
        Ok(())
    }
}

fn error(message: &impl ToString) -> AudioError {
    AudioError::codec(AudioFormat::Mp3, message)
}
