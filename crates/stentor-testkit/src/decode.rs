//! Decoders for tests, that are not those of the encoders' crates: symphonia for all but Opus, and for Opus a page reader written
//! here from RFC 3533 and RFC 7845 around the decoder of `opus-pure` (a port of libopus other than the encoder's).

use opus_pure::OpusDecoder;
use std::io::Cursor;
use stentor_types::AudioFormat;
use symphonia::core::{
    audio::SampleBuffer,
    codecs::DecoderOptions,
    errors::Error,
    formats::FormatOptions,
    io::{MediaSourceStream, MediaSourceStreamOptions},
    meta::MetadataOptions,
    probe::Hint,
};

pub struct Decoded {
    pub samples: Vec<f32>,
    pub rate: u32,
    pub channels: usize,
}

/// Decodes a whole body. Encoder delay is left in, except where the container declares it.
pub fn decode(format: AudioFormat, bytes: &[u8]) -> Decoded {
    match format {
        AudioFormat::Pcm => decode_pcm(bytes),
        AudioFormat::Opus => decode_opus(bytes),
        _ => decode_with_symphonia(format, bytes),
    }
}

fn decode_pcm(bytes: &[u8]) -> Decoded {
    let (pairs, rest) = bytes.as_chunks::<2>();
    assert!(rest.is_empty(), "half a sample");
    let samples = pairs.iter().map(|pair| f32::from(i16::from_le_bytes(*pair)) / 32_768.0).collect();
    Decoded { samples, rate: 24_000, channels: 1 }
}

fn decode_with_symphonia(format: AudioFormat, bytes: &[u8]) -> Decoded {
    let source =
        MediaSourceStream::new(Box::new(Cursor::new(bytes.to_vec())), MediaSourceStreamOptions::default());
    let mut hint = Hint::new();
    hint.with_extension(format.name());
    let probed = symphonia::default::get_probe()
        .format(&hint, source, &FormatOptions::default(), &MetadataOptions::default())
        .expect("a container");
    let mut container = probed.format;
    let parameters = container.default_track().expect("a track").codec_params.clone();
    let mut decoder = symphonia::default::get_codecs()
        .make(&parameters, &DecoderOptions { verify: true })
        .expect("a codec");
    let mut decoded =
        Decoded { samples: Vec::new(), rate: parameters.sample_rate.expect("a rate"), channels: 1 };
    loop {
        let packet = match container.next_packet() {
            Ok(packet) => packet,
            Err(Error::IoError(e)) if e.kind() == std::io::ErrorKind::UnexpectedEof => return decoded,
            Err(error) => panic!("{format}: {error}"),
        };
        let audio = decoder.decode(&packet).unwrap_or_else(|error| panic!("{format}: {error}"));
        decoded.channels = audio.spec().channels.count();
        decoded.rate = audio.spec().rate;
        let mut buffer = SampleBuffer::<f32>::new(audio.capacity() as u64, *audio.spec());
        buffer.copy_interleaved_ref(audio);
        decoded.samples.extend_from_slice(buffer.samples());
    }
}

/// One Ogg page, its checksum verified.
pub struct Page {
    pub flags: u8,
    pub granule: u64,
    pub sequence: u32,
    /// Packets that end on this page.
    pub packets: Vec<Vec<u8>>,
}

/// Splits a stream of one serial number into pages; our packets never span pages.
pub fn ogg_pages(mut bytes: &[u8]) -> Vec<Page> {
    let mut pages = Vec::new();
    let serial = bytes[14..18].to_vec();
    while !bytes.is_empty() {
        assert_eq!(&bytes[..5], b"OggS\0", "capture pattern and version");
        assert_eq!(bytes[14..18], serial, "one logical stream");
        let segments = bytes[26] as usize;
        let lacing = &bytes[27..27 + segments];
        let size = 27 + segments + lacing.iter().map(|&n| n as usize).sum::<usize>();
        let (page, rest) = bytes.split_at(size);
        let mut zeroed = page.to_vec();
        zeroed[22..26].fill(0);
        assert_eq!(ogg_crc(&zeroed).to_le_bytes(), page[22..26], "page checksum");
        let (mut packets, mut packet, mut at) = (Vec::new(), Vec::new(), 27 + segments);
        for &n in lacing {
            packet.extend_from_slice(&page[at..at + n as usize]);
            at += n as usize;
            if n < 255 {
                packets.push(std::mem::take(&mut packet));
            }
        }
        assert!(packet.is_empty(), "a packet spans pages");
        pages.push(Page {
            flags: page[5],
            granule: u64::from_le_bytes(page[6..14].try_into().expect("a fixed width")),
            sequence: u32::from_le_bytes(page[18..22].try_into().expect("a fixed width")),
            packets,
        });
        bytes = rest;
    }
    pages
}

/// CRC-32 with polynomial 0x04c11db7, no reflection, zero start (RFC 3533 section 6).
fn ogg_crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |crc, &byte| {
        (0..8).fold(crc ^ (u32::from(byte) << 24), |crc: u32, _| {
            if crc & 0x8000_0000 == 0 { crc << 1 } else { (crc << 1) ^ 0x04c1_1db7 }
        })
    })
}

/// Decodes at 48 kHz, drops the pre-skip and trims the end by the last granule position.
fn decode_opus(bytes: &[u8]) -> Decoded {
    let pages = ogg_pages(bytes);
    let head = &pages[0].packets[0];
    assert_eq!(&head[..9], b"OpusHead\x01");
    let channels = head[9] as usize;
    let pre_skip = u16::from_le_bytes([head[10], head[11]]) as usize;
    let mut decoder = OpusDecoder::new(48_000, channels).expect("a decoder");
    let mut samples = Vec::new();
    let mut frame = vec![0.0; 960 * channels];
    for packet in pages[2..].iter().flat_map(|page| &page.packets) {
        let n = decoder.decode(packet, 960, &mut frame).expect("a valid packet");
        samples.extend_from_slice(&frame[..n]);
    }
    let end = pages.last().expect("a page").granule as usize;
    assert!(end <= samples.len(), "the last granule position lies beyond the audio");
    Decoded { samples: samples[pre_skip..end].to_vec(), rate: 48_000, channels }
}
