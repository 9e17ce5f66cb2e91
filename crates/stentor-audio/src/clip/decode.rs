//! The walk over a file's packets.

use super::{
    Clip, ClipError, ClipNote, bounds,
    opus::{self, Opus},
    source::{Bounded, MAX_READ},
};
use std::{fs::File, io::ErrorKind, path::Path, sync::atomic::Ordering};
use symphonia::core::{
    audio::SampleBuffer,
    codecs::{CODEC_TYPE_ALAC, CODEC_TYPE_NULL, CODEC_TYPE_OPUS, CodecParameters, Decoder, DecoderOptions},
    errors::Error,
    formats::{FormatOptions, FormatReader, Packet, Track},
    io::{MediaSourceStream, MediaSourceStreamOptions},
    meta::{Limit, MetadataOptions},
    probe::Hint,
};

/// Rates that a voice can be made of.
const RATES: std::ops::RangeInclusive<u32> = 8000..=192_000;
/// Below this a note says that a voice wants more.
const GOOD_RATE: u32 = 16_000;
/// Damaged packets that are passed over before the file is given up.
const MAX_DAMAGED: usize = 200;
/// Packets of other tracks and empty ones that are passed over before the file is given up.
const MAX_IDLE: usize = 200_000;
/// Cover pictures and the like are of no use here; larger ones are not kept.
const MAX_METADATA: usize = 1 << 20;
/// Frames of a packet at most; the longest of a common format has 65,536.
const MAX_PACKET: u64 = 1 << 20;
/// From here on a sample counts as clipped.
const FULL_SCALE: f32 = 0.9995;
/// A file may announce this much more than it holds, in seconds: encoders pad.
const SLACK: f64 = 0.5;

pub(super) fn decode(path: &Path, limit: f64) -> Result<Clip, ClipError> {
    let io = |source| ClipError::Io { source };
    let file = File::open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() {
        return Err(ClipError::NoFile);
    }
    if metadata.len() == 0 {
        return Err(ClipError::Empty);
    }
    let jumps = bounds::check(&file, metadata.len())?;
    let (source, exhausted) = Bounded::new(file, metadata.len(), jumps);
    let decoded = Walk::new(path, source).and_then(|walk| walk.run(limit));
    match decoded {
        Err(ClipError::Unknown | ClipError::NoSound) if exhausted.load(Ordering::Relaxed) => {
            Err(ClipError::TooFar { mib: MAX_READ >> 20 })
        }
        other => other,
    }
}

/// Whatever decodes the packets of the chosen track.
enum Codec {
    Symphonia { decoder: Box<dyn Decoder>, buffer: Option<SampleBuffer<f32>> },
    Opus(Opus),
}

struct Walk {
    container: Box<dyn FormatReader>,
    track: u32,
    codec: Codec,
    name: &'static str,
    /// Seconds that the whole recording lasts, where the file says so.
    announced: Option<f64>,
    rate: Option<u32>,
    channels: usize,
    samples: Vec<f32>,
    full_scale: usize,
    counted: usize,
    damaged: usize,
}

impl Walk {
    fn new(path: &Path, source: Bounded) -> Result<Self, ClipError> {
        let stream = MediaSourceStream::new(Box::new(source), MediaSourceStreamOptions::default());
        let mut hint = Hint::new();
        if let Some(extension) = path.extension().and_then(|extension| extension.to_str()) {
            hint.with_extension(extension);
        }
        let format = FormatOptions { enable_gapless: true, ..FormatOptions::default() };
        let limit = Limit::Maximum(MAX_METADATA);
        let metadata = MetadataOptions { limit_metadata_bytes: limit, limit_visual_bytes: limit };
        let probed = symphonia::default::get_probe().format(&hint, stream, &format, &metadata);
        let container = probed.map_err(|error| unreadable(&error))?.format;
        let (track, codec, name) = choose(container.tracks())?;
        let parameters = &track.codec_params;
        let (announced, rate, id) = (announced(parameters), parameters.sample_rate, track.id);
        Ok(Self {
            track: id,
            codec,
            name,
            announced,
            rate,
            channels: 0,
            samples: Vec::new(),
            full_scale: 0,
            counted: 0,
            damaged: 0,
            container,
        })
    }

    fn run(mut self, limit: f64) -> Result<Clip, ClipError> {
        let mut idle = 0;
        let mut ended = false;
        while !self.is_full(limit) && self.damaged <= MAX_DAMAGED && idle <= MAX_IDLE {
            let packet = match self.container.next_packet() {
                Ok(packet) => packet,
                Err(Error::DecodeError(_)) => {
                    self.damaged += 1;
                    continue;
                }
                // Also the next link of a chain of streams: a voice is in the first.
                Err(_) => {
                    ended = true;
                    break;
                }
            };
            let before = self.samples.len();
            if packet.track_id() == self.track {
                self.take(&packet)?;
            }
            idle = if self.samples.len() > before { 0 } else { idle + 1 };
        }
        self.finish(limit, ended)
    }

    fn is_full(&self, limit: f64) -> bool {
        // One sample more than is needed tells that there is more.
        self.rate.is_some_and(|rate| self.samples.len() as f64 > limit * f64::from(rate))
    }

    /// Decodes a packet; one that is damaged is counted and left out.
    fn take(&mut self, packet: &Packet) -> Result<(), ClipError> {
        match &mut self.codec {
            Codec::Opus(codec) => {
                let channels = codec.channels();
                self.rate = Some(opus::RATE);
                match codec.decode(packet.buf(), packet.trim_end() as usize) {
                    Some(samples) => mix(samples, channels, &mut self.samples, &mut self.full_scale),
                    None => self.damaged += 1,
                }
                (self.channels, self.counted) = (channels, self.samples.len() * channels);
            }
            Codec::Symphonia { decoder, buffer } => {
                let Ok(audio) = decoder.decode(packet) else {
                    self.damaged += 1;
                    return Ok(());
                };
                let spec = *audio.spec();
                if !RATES.contains(&spec.rate) {
                    return Err(ClipError::Rate { rate: spec.rate });
                }
                let channels = spec.channels.count();
                let first = self.samples.is_empty();
                if !first && (self.rate != Some(spec.rate) || self.channels != channels) {
                    // Sound of another rate can't be put behind this one.
                    self.damaged += 1;
                    return Ok(());
                }
                (self.rate, self.channels) = (Some(spec.rate), channels);
                let needed = audio.capacity() * channels;
                if buffer.as_ref().is_none_or(|buffer| buffer.capacity() < needed) {
                    *buffer = Some(SampleBuffer::new(audio.capacity() as u64, spec));
                }
                if let Some(buffer) = buffer {
                    buffer.copy_interleaved_ref(audio);
                    mix(buffer.samples(), channels, &mut self.samples, &mut self.full_scale);
                    self.counted += buffer.len();
                }
            }
        }
        Ok(())
    }

    fn finish(mut self, limit: f64, ended: bool) -> Result<Clip, ClipError> {
        let (Some(rate), false) = (self.rate, self.samples.is_empty()) else {
            return Err(ClipError::NoSound);
        };
        let mut whole = self.announced.filter(|whole| *whole > 0.0);
        let mut notes = Vec::new();
        let most = (limit * f64::from(rate)) as usize;
        if self.samples.len() > most {
            self.samples.truncate(most);
            // An estimate of a demuxer that falls short of what was decoded is none.
            whole = whole.filter(|whole| *whole > limit);
            notes.push(ClipNote::Trimmed { used: limit, whole });
        } else {
            let held = self.samples.len() as f64 / f64::from(rate);
            if let Some(announced) = whole.filter(|whole| ended && *whole > held + SLACK) {
                notes.push(ClipNote::CutOff { announced, held });
            }
        }
        if self.damaged > 0 {
            notes.push(ClipNote::Damaged { count: self.damaged });
        }
        if rate < GOOD_RATE {
            notes.push(ClipNote::LowRate { rate });
        }
        if !self.samples.iter().all(|sample| sample.is_finite()) {
            return Err(ClipError::NotFinite);
        }
        Ok(Clip {
            samples: self.samples,
            rate,
            channels: self.channels,
            codec: self.name,
            whole_seconds: whole,
            full_scale: self.full_scale as f64 / self.counted.max(1) as f64,
            notes,
        })
    }
}

/// Appends the mean of the channels and counts samples at full scale.
fn mix(interleaved: &[f32], channels: usize, out: &mut Vec<f32>, full_scale: &mut usize) {
    *full_scale += interleaved.iter().filter(|sample| sample.abs() >= FULL_SCALE).count();
    let share = 1.0 / channels as f32;
    out.extend(interleaved.chunks_exact(channels.max(1)).map(|frame| frame.iter().sum::<f32>() * share));
}

/// The first track that can be decoded.
fn choose(tracks: &[Track]) -> Result<(&Track, Codec, &'static str), ClipError> {
    let mut refused = ClipError::NoTrack;
    for track in tracks.iter().filter(|track| track.codec_params.codec != CODEC_TYPE_NULL) {
        let plain = plain_cookie(&track.codec_params);
        let parameters = &plain;
        if parameters.sample_rate.is_some_and(|rate| !RATES.contains(&rate)) {
            refused = ClipError::Rate { rate: parameters.sample_rate.unwrap_or(0) };
            continue;
        }
        if parameters.codec == CODEC_TYPE_OPUS {
            match Opus::new(parameters.extra_data.as_deref().unwrap_or_default()) {
                Ok(codec) => return Ok((track, Codec::Opus(codec), "opus")),
                Err(error) => refused = error,
            }
            continue;
        }
        if !is_sane(parameters) {
            refused = ClipError::Damaged { why: "it claims packets of absurd length".to_owned() };
            continue;
        }
        let registry = symphonia::default::get_codecs();
        let name = registry.get_codec(parameters.codec).map_or("unknown", |codec| codec.short_name);
        match registry.make(&plain, &DecoderOptions { verify: false }) {
            Ok(decoder) => return Ok((track, Codec::Symphonia { decoder, buffer: None }, name)),
            Err(error) => refused = ClipError::Codec { codec: codec_fault(name, &error) },
        }
    }
    Err(refused)
}

/// Demuxers count in the unit of their time stamps, which only some of them set to a sample.
fn announced(parameters: &CodecParameters) -> Option<f64> {
    let frames = parameters.n_frames? as f64;
    match parameters.time_base {
        Some(base) => Some(frames * f64::from(base.numer) / f64::from(base.denom.max(1))),
        None => parameters.sample_rate.map(|rate| frames / f64::from(rate)),
    }
}

/// Decoders make room for the longest packet at once.
fn is_sane(parameters: &CodecParameters) -> bool {
    let alac = parameters.codec == CODEC_TYPE_ALAC;
    let cookie = parameters.extra_data.as_deref().filter(|_| alac);
    let frames = cookie.and_then(|cookie| cookie.first_chunk()).map(|frames| u32::from_be_bytes(*frames));
    frames.is_none_or(|frames| u64::from(frames) <= MAX_PACKET)
        && parameters.max_frames_per_packet.is_none_or(|frames| frames <= MAX_PACKET)
}

/// CAF may wrap what ALAC's decoder needs in two boxes of the format's early days.
fn plain_cookie(parameters: &CodecParameters) -> CodecParameters {
    let mut plain = parameters.clone();
    if let Some(cookie) = plain.extra_data.as_deref()
        && cookie.get(4..8) == Some(b"frma")
        && cookie.get(16..20) == Some(b"alac")
    {
        plain.extra_data = cookie.get(24..).map(Box::from);
    }
    plain
}

fn codec_fault(name: &str, error: &Error) -> String {
    match error {
        Error::Unsupported(what) => (*what).to_owned(),
        other => format!("{name}: {other}"),
    }
}

/// Why a container could not be opened.
fn unreadable(error: &Error) -> ClipError {
    match error {
        Error::Unsupported("core (probe): no suitable format reader found") => ClipError::Unknown,
        Error::Unsupported(what) => ClipError::Codec { codec: (*what).to_owned() },
        Error::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => ClipError::NoSound,
        Error::IoError(error) if error.kind() == ErrorKind::Other => ClipError::NoSound,
        other => ClipError::Damaged { why: other.to_string() },
    }
}
