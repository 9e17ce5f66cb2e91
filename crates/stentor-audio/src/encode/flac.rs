//! FLAC, frame by frame: flacenc codes each block, the stream around it is written here.

use super::{Encoder, check_length};
use crate::{AudioError, to_s16};
use flacenc::{
    bitsink::ByteSink,
    component::{BitRepr, StreamInfo},
    config,
    error::{Verified, Verify},
    source::{Fill, FrameBuf},
};
use stentor_types::{AudioFormat, SampleRate};

/// Samples per block: 85 ms at 24 kHz, so a stream starts early and still packs within a per cent of larger blocks.
const BLOCK: usize = 2048;
const BITS: usize = 16;
/// FLAC counts samples in 36 bits; zero means unknown.
const MAX_TOTAL: u64 = 1 << 36;

pub(super) struct Flac {
    config: Verified<config::Encoder>,
    info: StreamInfo,
    announced: Option<u64>,
    encoded: u64,
    frames: usize,
    header_written: bool,
    finished: bool,
    /// Samples that do not fill a block yet; always shorter than [`BLOCK`].
    pending: Vec<i32>,
}

impl Flac {
    pub(super) fn new(rate: SampleRate, announced: Option<u64>) -> Result<Self, AudioError> {
        let unsupported = |_| AudioError::UnsupportedRate { format: AudioFormat::Flac, rate };
        let mut info = StreamInfo::new(rate.0 as usize, 1, BITS).map_err(unsupported)?;
        info.set_block_sizes(BLOCK, BLOCK).map_err(|e| error(&e))?;
        if let Some(total) = announced.filter(|total| *total < MAX_TOTAL) {
            info.set_total_samples(total as usize);
        }
        let config = config::Encoder::default().into_verified().map_err(|(_, e)| error(&e))?;
        let pending = Vec::with_capacity(BLOCK);
        Ok(Self {
            config,
            info,
            announced,
            encoded: 0,
            frames: 0,
            header_written: false,
            finished: false,
            pending,
        })
    }

    /// `fLaC` and a STREAMINFO block. Its MD5 stays zero ("unknown"): it would have to be known before the samples are.
    fn write_header_once(&mut self, out: &mut Vec<u8>) -> Result<(), AudioError> {
        if std::mem::replace(&mut self.header_written, true) {
            return Ok(());
        }
        let mut sink = ByteSink::new();
        self.info.write(&mut sink).map_err(|e| error(&e))?;
        let body = sink.as_slice();
        out.extend_from_slice(b"fLaC");
        // The only metadata block: the last-block flag, type 0, then its length in 24 bits.
        out.push(0x80);
        out.extend_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
        out.extend_from_slice(body);
        Ok(())
    }

    /// Encodes `pending` as one frame; only the last one may be shorter than [`BLOCK`].
    fn encode_block(&mut self, out: &mut Vec<u8>) -> Result<(), AudioError> {
        let mut buffer = FrameBuf::with_size(1, BLOCK).map_err(|e| error(&e))?;
        buffer.fill_interleaved(&self.pending).map_err(|e| error(&e))?;
        let frame = flacenc::encode_fixed_size_frame(&self.config, &buffer, self.frames, &self.info)
            .map_err(|e| error(&e))?;
        let mut sink = ByteSink::new();
        frame.write(&mut sink).map_err(|e| error(&e))?;
        out.extend_from_slice(sink.as_slice());
        self.frames += 1;
        self.pending.clear();
        Ok(())
    }
}

impl Encoder for Flac {
    fn encode(&mut self, samples: &[f32], out: &mut Vec<u8>) -> Result<(), AudioError> {
        if self.finished {
            return Err(AudioError::Finished { format: AudioFormat::Flac });
        }
        self.write_header_once(out)?;
        self.encoded += samples.len() as u64;
        let mut rest = samples;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(BLOCK - self.pending.len()));
            self.pending.extend(now.iter().map(|&sample| i32::from(to_s16(sample))));
            rest = later;
            if self.pending.len() == BLOCK {
                self.encode_block(out)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), AudioError> {
        if std::mem::replace(&mut self.finished, true) {
            return Err(AudioError::Finished { format: AudioFormat::Flac });
        }
        self.write_header_once(out)?;
        if !self.pending.is_empty() {
            self.encode_block(out)?;
        }
        check_length(self.announced, self.encoded)
    }
}

fn error(message: &impl ToString) -> AudioError {
    AudioError::codec(AudioFormat::Flac, message)
}
