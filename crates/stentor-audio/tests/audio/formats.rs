//! Every format decoded back by another decoder: length, pitch, likeness, level, odd sizes.

use crate::signals::{correlation, dominant_hz, gain_db, sampled, snr_db, speech_like};
use std::f64::consts::TAU;
use stentor_audio::{AudioError, delay_in_samples, encoder, to_s16};
use stentor_testkit::decode::{Decoded, decode, ogg_pages};
use stentor_types::{AudioFormat, SampleRate};

const RATE: SampleRate = SampleRate::HZ_24000;

fn encode(format: AudioFormat, samples: &[f32], piece: usize, total: Option<u64>) -> Vec<u8> {
    let mut encoder = encoder(format, RATE, total).expect("encodes");
    let mut bytes = Vec::new();
    for piece in samples.chunks(piece) {
        encoder.encode(piece, &mut bytes).expect("encodes");
    }
    encoder.finish(&mut bytes).expect("encodes");
    bytes
}

/// Decoded samples without the lead-in that the format cannot declare, and the format's own rate.
fn round_trip(format: AudioFormat, samples: &[f32]) -> Decoded {
    let mut decoded = decode(format, &encode(format, samples, usize::MAX, None));
    decoded.samples.drain(..delay_in_samples(format));
    decoded
}

/// Samples per compressed frame at 24 kHz; zero where lengths are exact.
fn frame(format: AudioFormat) -> usize {
    match format {
        AudioFormat::Mp3 => 576,
        AudioFormat::Aac => 1024,
        _ => 0,
    }
}

#[track_caller]
fn assert_length(format: AudioFormat, decoded: &Decoded, samples: usize) {
    let expected = samples * decoded.rate as usize / RATE.0 as usize;
    // MP3 ends on a padding of 288 samples at least, so a frame is padded out after those.
    let slack = frame(format) + if format == AudioFormat::Mp3 { 288 } else { 0 };
    let got = decoded.samples.len();
    assert!((expected..=expected + slack).contains(&got), "{format}: {got} samples for {expected}");
}

#[test]
fn speech_comes_back_alike_in_length_shape_and_level() {
    let samples = 24_000 * 4 + 123;
    for format in AudioFormat::ALL {
        let decoded = round_trip(format, &sampled(speech_like, RATE.0, samples));
        assert_eq!(decoded.channels, 1, "{format}");
        assert_eq!(decoded.rate, if format == AudioFormat::Opus { 48_000 } else { 24_000 }, "{format}");
        assert_length(format, &decoded, samples);
        let original = sampled(speech_like, decoded.rate, samples * decoded.rate as usize / 24_000);
        let heard = &decoded.samples[..original.len()];
        let (snr, alike) = (snr_db(&original, heard), correlation(&original, heard));
        let gain = gain_db(&original, heard);
        println!(
            "{format}: {} samples, SNR {snr:.1} dB, correlation {alike:.5}, gain {gain:.3} dB",
            heard.len()
        );
        let least = match format {
            AudioFormat::Wav | AudioFormat::Pcm | AudioFormat::Flac => 75.0,
            AudioFormat::Mp3 | AudioFormat::Aac | AudioFormat::Opus => 10.0,
        };
        assert!(snr > least, "{format}: SNR {snr} dB");
        assert!(gain.abs() < 0.5, "{format}: gain {gain} dB");
    }
}

#[test]
fn a_tone_keeps_its_frequency_and_level() {
    for hz in [250.0, 1000.0, 5000.0] {
        let tone = |t: f64| 0.5 * (TAU * hz * t).sin();
        for format in AudioFormat::ALL {
            let decoded = round_trip(format, &sampled(tone, RATE.0, 24_000));
            let middle = decoded.samples.len() / 4;
            let inner = &decoded.samples[middle..middle + decoded.rate as usize / 5];
            let heard = dominant_hz(inner, decoded.rate);
            assert!((heard - hz).abs() < 1.0, "{format}: {heard} Hz for {hz}");
            let original = sampled(tone, decoded.rate, inner.len());
            let gain = gain_db(&original, inner);
            assert!(gain.abs() < 0.5, "{format} at {hz} Hz: gain {gain} dB");
        }
    }
}

#[test]
fn the_bytes_do_not_depend_on_the_size_of_pushes() {
    let samples = sampled(speech_like, RATE.0, 30_001);
    for format in AudioFormat::ALL {
        let whole = encode(format, &samples, usize::MAX, None);
        assert_eq!(whole, encode(format, &samples, 1, None), "{format}: single samples");
        assert_eq!(whole, encode(format, &samples, 7777, None), "{format}: 7777 at a time");
    }
}

#[test]
fn streams_of_no_or_few_samples_are_whole_streams() {
    for format in AudioFormat::ALL {
        for samples in [1, 2, 31, 32, 33, 479, 480, 481, 575, 577, 1023, 1025, 2047, 2048, 2049] {
            let decoded = round_trip(format, &sampled(speech_like, RATE.0, samples));
            assert_length(format, &decoded, samples);
        }
        // An empty WAV or FLAC has nothing but its header, and an empty PCM nothing.
        let empty = encode(format, &[], 1, None);
        match format {
            AudioFormat::Pcm => assert!(empty.is_empty()),
            AudioFormat::Wav => assert_eq!(empty.len(), 44),
            AudioFormat::Flac => assert_eq!((&empty[..4], empty.len()), (&b"fLaC"[..], 42)),
            _ => assert_length(format, &round_trip(format, &[]), 0),
        }
    }
}

#[test]
fn known_totals_are_in_the_headers() {
    let samples = sampled(speech_like, RATE.0, 5000);
    let total = Some(samples.len() as u64);
    let wav = encode(AudioFormat::Wav, &samples, 999, total);
    assert_eq!(u32::from_le_bytes(wav[4..8].try_into().unwrap()) as usize, wav.len() - 8);
    assert_eq!(u32::from_le_bytes(wav[40..44].try_into().unwrap()) as usize, wav.len() - 44);
    let streamed = encode(AudioFormat::Wav, &samples, 999, None);
    assert_eq!((&streamed[4..8], &streamed[40..44]), (&[0xff; 4][..], &[0xff; 4][..]));
    assert_eq!(streamed[44..], wav[44..]);

    // STREAMINFO: 36 bits of total samples end at byte 26 of the stream, the MD5 follows.
    let total_field = |flac: &[u8]| u32::from_be_bytes(flac[22..26].try_into().unwrap());
    let flac = encode(AudioFormat::Flac, &samples, 999, total);
    assert_eq!(total_field(&flac), 5000);
    assert_eq!(total_field(&encode(AudioFormat::Flac, &samples, 999, None)), 0);
    assert_eq!(decode(AudioFormat::Flac, &flac).samples.len(), 5000);

    for format in [AudioFormat::Wav, AudioFormat::Flac] {
        let mut short = encoder(format, RATE, Some(10)).unwrap();
        short.encode(&[0.0; 9], &mut Vec::new()).unwrap();
        let result = short.finish(&mut Vec::new());
        assert!(matches!(result, Err(AudioError::LengthMismatch { expected: 10, got: 9 })), "{format}");
    }
}

/// Players seek by these numbers.
#[test]
fn flac_frames_are_numbered_from_zero() {
    let mut encoder = encoder(AudioFormat::Flac, RATE, None).unwrap();
    encoder.encode(&[], &mut Vec::new()).unwrap();
    for number in 0..100 {
        let mut frame = Vec::new();
        encoder.encode(&sampled(speech_like, RATE.0, 2048), &mut frame).unwrap();
        // Sync code with fixed blocking, three fields, then the number (one byte below 128).
        assert_eq!((&frame[..2], frame[4]), (&[0xff, 0xf8][..], number));
    }
}

#[test]
fn lossless_formats_hold_exactly_the_rounded_samples() {
    let noise = |i: u64| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
    let mut samples: Vec<f32> = (0..20_000).map(noise).collect();
    samples.resize(25_000, 0.0);
    samples.extend([1.0, -1.0].repeat(3000));
    let expected: Vec<f32> = samples.iter().map(|&x| f32::from(to_s16(x)) / 32_768.0).collect();
    for format in [AudioFormat::Pcm, AudioFormat::Wav, AudioFormat::Flac] {
        assert!(round_trip(format, &samples).samples == expected, "{format}");
    }
}

/// A wrapped sample would turn the top of the wave upside down.
#[test]
fn a_full_scale_square_does_not_wrap() {
    let square = |t: f64| if (200.0 * t).fract() < 0.5 { 1.4 } else { -1.4 };
    for format in AudioFormat::ALL {
        let decoded = round_trip(format, &sampled(square, RATE.0, 24_000));
        let original = sampled(square, decoded.rate, decoded.rate as usize);
        let alike = correlation(&original, &decoded.samples[..original.len()]);
        assert!(alike > 0.97, "{format}: correlation {alike}");
        let wrong = original.iter().zip(&decoded.samples).filter(|(a, b)| *a * *b < -0.3).count();
        assert!(wrong < original.len() / 100, "{format}: {wrong} samples of the wrong sign");
    }
}

#[test]
fn numbers_that_are_none_do_not_spoil_what_follows() {
    let mut samples = sampled(speech_like, RATE.0, 24_000);
    let clean = round_trip(AudioFormat::Pcm, &samples).samples;
    samples[100] = f32::NAN;
    samples[200] = f32::INFINITY;
    samples[300] = f32::NEG_INFINITY;
    for format in AudioFormat::ALL {
        let decoded = round_trip(format, &samples);
        let step = decoded.rate as usize / 24_000;
        let heard: Vec<f32> = decoded.samples.iter().copied().step_by(step).take(24_000).collect();
        assert!(heard.iter().all(|x| x.is_finite()), "{format}");
        let alike = correlation(&clean[4000..], &heard[4000..]);
        assert!(alike > 0.95, "{format}: correlation {alike}");
    }
}

#[test]
fn two_mp3_bodies_glued_together_play_one_after_the_other() {
    let first = sampled(speech_like, RATE.0, 20_000);
    let second = sampled(|t| 0.5 * (TAU * 1000.0 * t).sin(), RATE.0, 30_000);
    let bodies = [&first, &second].map(|samples| encode(AudioFormat::Mp3, samples, usize::MAX, None));
    let alone = [&bodies[0], &bodies[1]].map(|body| decode(AudioFormat::Mp3, body).samples);
    let glued = decode(AudioFormat::Mp3, &bodies.concat()).samples;
    assert_eq!(glued.len(), alone[0].len() + alone[1].len());
    let start = alone[0].len() + delay_in_samples(AudioFormat::Mp3);
    let alike = correlation(&second, &glued[start..]);
    assert!(alike > 0.999, "the second body after the first: correlation {alike}");
    for body in &bodies {
        // Sync word, MPEG-2, Layer III, no CRC; 96 kbit/s at 24 kHz; mono. No tag before it.
        assert_eq!(body[..2], [0xff, 0xf3]);
        assert_eq!((body[2] & 0xfc, body[3] >> 6), (0xa4, 3));
        assert_eq!(body[4], 0, "the first frame reaches back for no bytes");
        assert!(!body.windows(4).any(|w| w == b"Xing" || w == b"Info"), "no Xing frame");
    }
}

#[test]
fn opus_pages_are_those_of_rfc_7845() {
    let samples = 24_000 * 2 + 77;
    let bytes = encode(AudioFormat::Opus, &sampled(speech_like, RATE.0, samples), 500, None);
    let pages = ogg_pages(&bytes);
    let (begin, end) = (2, 4);
    assert_eq!(pages[0].flags, begin);
    let (head, tags) = (&pages[0].packets[0], &pages[1].packets[0]);
    assert_eq!(head.len(), 19);
    let pre_skip = u64::from(u16::from_le_bytes([head[10], head[11]]));
    assert_eq!((pre_skip, head[9], head[18]), (312, 1, 0));
    assert_eq!(head[12..16], 24_000u32.to_le_bytes());
    assert_eq!(tags[..], b"OpusTags\x07\0\0\0stentor\0\0\0\0"[..]);
    assert_eq!((pages[0].granule, pages[1].granule), (0, 0));

    let (last, audio) = pages[2..].split_last().unwrap();
    let mut ended = 0;
    for (i, page) in audio.iter().enumerate() {
        assert_eq!((page.flags, page.sequence as usize), (0, i + 2));
        ended += 960 * page.packets.len() as u64;
        assert_eq!(page.granule, ended);
        assert!(page.packets.len() <= 5, "a page of more than 100 ms");
    }
    assert_eq!(audio[0].packets.len(), 1, "the first page comes after 20 ms");
    assert_eq!((last.flags, last.sequence as usize), (end, pages.len() - 1));
    assert_eq!(last.granule, pre_skip + 2 * samples as u64);
    assert!(last.granule > ended && last.granule <= ended + 960 * last.packets.len() as u64);
}

/// The first bytes beyond headers, which is what a listener waits for.
#[test]
fn audio_comes_out_soon() {
    for (format, within) in [
        (AudioFormat::Pcm, 1),
        (AudioFormat::Wav, 1),
        (AudioFormat::Opus, 480),
        (AudioFormat::Flac, 2048),
        (AudioFormat::Mp3, 2304),
        (AudioFormat::Aac, 2048),
    ] {
        let mut encoder = encoder(format, RATE, None).unwrap();
        let mut bytes = Vec::new();
        encoder.encode(&[], &mut bytes).unwrap();
        let headers = bytes.len();
        let needed = (1..=24_000).find(|_| {
            encoder.encode(&[0.1], &mut bytes).unwrap();
            bytes.len() > headers
        });
        println!("{format}: first bytes after {needed:?} samples, header {headers} bytes");
        assert!(needed.is_some_and(|needed| needed <= within), "{format}: {needed:?}");
    }
}

#[test]
fn ten_minutes_lose_no_sample() {
    let minute = sampled(speech_like, RATE.0, 24_000 * 60);
    for format in AudioFormat::ALL {
        let mut encoder = encoder(format, RATE, None).unwrap();
        let mut bytes = Vec::new();
        for _ in 0..10 {
            encoder.encode(&minute, &mut bytes).unwrap();
        }
        encoder.finish(&mut bytes).unwrap();
        let mut decoded = decode(format, &bytes);
        decoded.samples.drain(..delay_in_samples(format));
        assert_length(format, &decoded, 10 * minute.len());
        // The last second is still in step with the input.
        let seconds = |s: usize| s * decoded.rate as usize;
        let expected = sampled(|t| speech_like(t + 59.0), decoded.rate, seconds(1));
        let alike = correlation(&expected, &decoded.samples[seconds(599)..]);
        println!("{format}: {} kbit/s, correlation {alike:.5}", bytes.len() * 8 / 600_000);
        assert!(alike > 0.95, "{format}: correlation {alike}");
    }
}

#[test]
fn an_encoder_can_be_dropped_at_any_point_and_sent_between_threads() {
    for format in AudioFormat::ALL {
        drop(encoder(format, RATE, None).unwrap());
        let mut begun = encoder(format, RATE, None).unwrap();
        begun.encode(&[0.1; 3000], &mut Vec::new()).unwrap();
        std::thread::spawn(move || {
            begun.encode(&[0.2; 3000], &mut Vec::new()).unwrap();
            drop(begun);
        })
        .join()
        .unwrap();
    }
}

#[test]
fn rates_that_a_format_cannot_hold_are_refused() {
    for format in [AudioFormat::Mp3, AudioFormat::Opus, AudioFormat::Aac] {
        let result = encoder(format, SampleRate(23_999), None);
        assert!(matches!(result, Err(AudioError::UnsupportedRate { .. })), "{format}");
    }
}
