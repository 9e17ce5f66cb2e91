//! Opus in Ogg (RFC 7845): 20 ms packets, 48 kHz granule positions, exact length by pre-skip and end trimming.

use super::{Encoder, libopus::Libopus};
use crate::{AudioError, quantize::to_unit};
use ogg::{PacketWriteEndInfo, PacketWriter};
use stentor_types::{AudioFormat, SampleRate};

/// Bits per second (variable around it). Speech of 12 kHz bandwidth is transparent here.
const BITRATE: i32 = 48_000;
/// libopus' effort, 0 to 10. Above this the sound hardly changes, the time does.
const COMPLEXITY: i32 = 8;
/// Granule positions count samples at this rate, whatever the input's.
const GRANULE_RATE: u32 = 48_000;
/// Packets per page after the first: 100 ms, at an overhead of under 3 kbit/s.
const PACKETS_PER_PAGE: u64 = 5;
/// Of a stream without a name.
const SERIAL: u32 = 0x5374_656e;
const RATES: [u32; 5] = [8000, 12_000, 16_000, 24_000, 48_000];

pub(super) struct Opus {
    codec: Libopus,
    pages: PacketWriter<'static, Vec<u8>>,
    /// Streams in one file must differ in it (RFC 3533 section 4); bodies are glued together to one.
    serial: u32,
    rate: SampleRate,
    /// 48 kHz samples per input sample.
    upsampling: u64,
    /// Lag of the codec, in input samples.
    lookahead: usize,
    pending: Vec<f32>,
    encoded: u64,
    packets: u64,
    header_written: bool,
    finished: bool,
}

impl Opus {
    pub(super) fn new(rate: SampleRate) -> Result<Self, AudioError> {
        if !RATES.contains(&rate.0) {
            return Err(AudioError::UnsupportedRate { format: AudioFormat::Opus, rate });
        }
        let mut codec = Libopus::new(rate, BITRATE, COMPLEXITY)?;
        let lookahead = codec.lookahead()?;
        Ok(Self {
            pending: Vec::with_capacity(codec.frame()),
            codec,
            pages: PacketWriter::new(Vec::new()),
            serial: SERIAL,
            rate,
            upsampling: u64::from(GRANULE_RATE / rate.0),
            lookahead,
            encoded: 0,
            packets: 0,
            header_written: false,
            finished: false,
        })
    }

    fn pre_skip(&self) -> u64 {
        self.lookahead as u64 * self.upsampling
    }

    fn write_header_once(&mut self) -> Result<(), AudioError> {
        if std::mem::replace(&mut self.header_written, true) {
            return Ok(());
        }
        // Each header has its page to itself, with granule position zero.
        for header in [opus_head(self.pre_skip() as u16, self.rate), opus_tags()] {
            self.pages
                .write_packet(header, self.serial, PacketWriteEndInfo::EndPage, 0)
                .map_err(|e| error(&e))?;
        }
        Ok(())
    }

    /// Encodes the full frame in `pending`. A packet with `end` closes the stream at that granule position.
    fn encode_packet(&mut self, end: Option<u64>) -> Result<(), AudioError> {
        let mut packet = Vec::new();
        self.codec.encode(&self.pending, &mut packet)?;
        self.pending.clear();
        self.packets += 1;
        let granule = end.unwrap_or(self.packets * self.codec.frame() as u64 * self.upsampling);
        // The first page carries one packet, so that a player can start; later pages are full.
        let page_is_full = self.packets % PACKETS_PER_PAGE == 1;
        let info = match end {
            Some(_) => PacketWriteEndInfo::EndStream,
            None if page_is_full => PacketWriteEndInfo::EndPage,
            None => PacketWriteEndInfo::NormalPacket,
        };
        self.pages.write_packet(packet, self.serial, info, granule).map_err(|e| error(&e))
    }

    fn take_pages(&mut self, out: &mut Vec<u8>) {
        out.append(self.pages.inner_mut());
    }
}

impl Encoder for Opus {
    fn encode(&mut self, samples: &[f32], out: &mut Vec<u8>) -> Result<(), AudioError> {
        if self.finished {
            return Err(AudioError::Finished { format: AudioFormat::Opus });
        }
        self.write_header_once()?;
        self.encoded += samples.len() as u64;
        let frame = self.codec.frame();
        let mut rest = samples;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(frame - self.pending.len()));
            self.pending.extend(now.iter().copied().map(to_unit));
            rest = later;
            if self.pending.len() == frame {
                self.encode_packet(None)?;
            }
        }
        self.take_pages(out);
        Ok(())
    }

    fn name(&mut self, number: u32) {
        self.serial = number;
    }

    /// Feeds silence until the codec has given back the last sample. At least one packet is always left to write, since
    /// the lookahead is never zero: so the last page can carry the end flag.
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), AudioError> {
        if std::mem::replace(&mut self.finished, true) {
            return Err(AudioError::Finished { format: AudioFormat::Opus });
        }
        self.write_header_once()?;
        let frame = self.codec.frame();
        let packets = (self.encoded + self.lookahead as u64).div_ceil(frame as u64);
        let end = self.pre_skip() + self.encoded * self.upsampling;
        while self.packets < packets {
            self.pending.resize(frame, 0.0);
            self.encode_packet((self.packets + 1 == packets).then_some(end))?;
        }
        self.take_pages(out);
        Ok(())
    }
}

/// RFC 7845 section 5.1: version 1, one channel, no gain, mapping family 0.
fn opus_head(pre_skip: u16, rate: SampleRate) -> Vec<u8> {
    let mut head = b"OpusHead\x01\x01".to_vec();
    head.extend_from_slice(&pre_skip.to_le_bytes());
    head.extend_from_slice(&rate.0.to_le_bytes());
    head.extend_from_slice(&[0, 0, 0]);
    head
}

/// RFC 7845 section 5.2: our name as the vendor and no comments.
fn opus_tags() -> Vec<u8> {
    let vendor = b"stentor";
    let mut tags = b"OpusTags".to_vec();
    tags.extend_from_slice(&(vendor.len() as u32).to_le_bytes());
    tags.extend_from_slice(vendor);
    tags.extend_from_slice(&0u32.to_le_bytes());
    tags
}

fn error(message: &impl ToString) -> AudioError {
    AudioError::codec(AudioFormat::Opus, message)
}
