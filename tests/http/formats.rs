//! The six formats: right type, right container, decodable by another decoder, whole or streamed.

use super::{builtin, fake};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use stentor_testkit::decode::{decode, ogg_pages};
use stentor_tests::measure::{assert_is_speech, hear};
use stentor_types::AudioFormat;

const SENTENCE: &str = "The quick brown fox jumps over the lazy dog, and then it runs away.";

#[tokio::test]
async fn each_format_is_speech_with_its_type_and_its_length() {
    let app = builtin().await;
    let mut lengths = Vec::new();
    for format in AudioFormat::ALL {
        let response = app.speech(&json!({"input": SENTENCE, "response_format": format.name()})).await;
        let headers = response.headers().clone();
        assert_eq!(headers["content-type"], format.content_type());
        let bytes = response.bytes().await.unwrap();
        assert_eq!(headers["content-length"], bytes.len().to_string(), "one chunk goes out whole");
        let heard = hear(format, &bytes);
        assert_is_speech(heard, SENTENCE.len());
        lengths.push(heard.seconds);
    }
    let (shortest, longest) =
        (lengths.iter().copied().fold(f64::MAX, f64::min), lengths.iter().copied().fold(0.0, f64::max));
    assert!(longest - shortest < 0.2, "the formats differ in length: {lengths:?}");
}

#[tokio::test]
async fn a_long_text_is_streamed_and_on_request_sent_whole_with_the_same_sound() {
    let app = builtin().await;
    let text = SENTENCE.repeat(8);
    for format in AudioFormat::ALL {
        let mut body = json!({"input": text, "response_format": format.name()});
        let response = app.speech(&body).await;
        assert_eq!(response.headers().get("content-length"), None, "{format}");
        let streamed = response.bytes().await.unwrap();
        assert!(streamed == app.audio(&body).await, "{format}: the same request gives other bytes");
        body["stream"] = json!(false);
        let response = app.speech(&body).await;
        assert!(response.headers().contains_key("content-length"), "{format}");
        let whole = response.bytes().await.unwrap();
        let (a, b) = (hear(format, &streamed), hear(format, &whole));
        assert!((a.seconds - b.seconds).abs() < 1e-3, "{format}: {a:?} {b:?}");
        assert_is_speech(a, text.len());
    }
}

#[tokio::test]
async fn a_whole_wav_holds_its_true_sizes_and_a_streamed_one_leaves_them_open() {
    let app = builtin().await;
    let size = |wav: &[u8], at: usize| u32::from_le_bytes(wav[at..at + 4].try_into().unwrap());
    let whole = app.audio(&super::say(SENTENCE)).await;
    assert_eq!(size(&whole, 4) as usize, whole.len() - 8);
    assert_eq!(size(&whole, 40) as usize, whole.len() - 44);
    assert_eq!((size(&whole, 24), whole[22], whole[34]), (24_000, 1, 16), "24 kHz, mono, 16 bits");
    let streamed = app.audio(&super::say(&SENTENCE.repeat(8))).await;
    assert_eq!((size(&streamed, 4), size(&streamed, 40)), (u32::MAX, u32::MAX));
}

/// Some clients glue the bodies of a long text together.
#[tokio::test]
async fn streamed_mp3_bodies_glued_together_are_one_file() {
    let app = builtin().await;
    let mut bodies = Vec::new();
    for text in [SENTENCE.repeat(6), "A second one follows right behind. ".repeat(12)] {
        let response = app.speech(&json!({"input": text, "response_format": "mp3"})).await;
        assert_eq!(response.headers().get("content-length"), None, "it was not streamed");
        let body = response.bytes().await.unwrap();
        assert_eq!((body[0], body[1] & 0xe0), (0xff, 0xe0), "it does not begin with a frame");
        for tag in [&b"ID3"[..], b"TAG", b"Xing", b"Info", b"LAME"] {
            let found = body.windows(tag.len()).take(1000).any(|window| window == tag);
            assert!(!found, "{} in a stream", String::from_utf8_lossy(tag));
        }
        bodies.push(body);
    }
    let alone: f64 = bodies.iter().map(|body| hear(AudioFormat::Mp3, body).seconds).sum();
    let glued = hear(AudioFormat::Mp3, &bodies.concat()).seconds;
    assert!((glued - alone).abs() < 1e-6, "{glued} s glued, {alone} s alone");
}

#[tokio::test]
async fn a_streamed_opus_file_ends_with_a_page_that_says_so_and_lasts_as_long_as_the_speech() {
    let app = builtin().await;
    let mut body = json!({"input": SENTENCE.repeat(6), "response_format": "pcm"});
    let samples = app.audio(&body).await.len() as u64 / 2;
    body["response_format"] = json!("opus");
    let response = app.speech(&body).await;
    assert_eq!(response.headers()["content-type"], "audio/ogg; codecs=opus");
    assert_eq!(response.headers().get("content-length"), None, "it was not streamed");
    let pages = ogg_pages(&response.bytes().await.unwrap());
    let head = &pages[0].packets[0];
    let pre_skip = u64::from(u16::from_le_bytes([head[10], head[11]]));
    let (last, before) = pages.split_last().unwrap();
    assert_eq!((before[0].flags, last.flags), (2, 4), "first and last page");
    assert!(before[1..].iter().all(|page| page.flags == 0), "an end in the middle");
    assert!(pages.windows(2).all(|two| two[0].granule <= two[1].granule), "time runs backwards");
    assert_eq!(last.granule, pre_skip + 2 * samples, "48 kHz samples up to the end");
}

/// Readers take two streams of one number in a file for a damaged one.
#[tokio::test]
async fn opus_bodies_of_different_texts_can_be_glued_together() {
    let app = fake().await;
    let serial = async |body: Value| app.audio(&body).await[14..18].to_vec();
    let text = |input: &str| json!({"input": input, "response_format": "opus"});
    let first = serial(text("The first chapter.")).await;
    assert_ne!(first, serial(text("The second chapter.")).await);
    assert_eq!(first, serial(text("The first chapter.")).await, "the same request is the same bytes");
    let long = "A chapter of its own.\n\n".repeat(9);
    let mut whole = text(&long);
    whole["stream"] = json!(false);
    assert_eq!(serial(text(&long)).await, serial(whole).await);
}

/// What a client holds when the engine fails after some of the text: a file that plays up to there.
#[tokio::test]
async fn what_came_before_a_failure_can_be_played() {
    let app = fake().await;
    for format in AudioFormat::ALL {
        let text = format!("{}\n\nThen it goes wrong {{fail}}.", "A fine beginning.\n\n".repeat(4));
        let body = json!({"input": text, "normalize": false, "response_format": format.name()});
        let response = app.speech(&body).await;
        assert_eq!(response.status(), 200, "{format}");
        let mut stream = response.bytes_stream();
        let (mut held, mut cut) = (Vec::new(), false);
        while let Some(piece) = stream.next().await {
            match piece {
                Ok(bytes) => held.extend_from_slice(&bytes),
                Err(_) => cut = true,
            }
        }
        assert!(cut, "{format}: the client can't see the failure");
        // Opus pages that lack the last one have no end to trim by.
        let seconds = if format == AudioFormat::Opus {
            ogg_pages(&held).last().unwrap().granule as f64 / 48_000.0
        } else {
            hear(format, &held).seconds
        };
        // The fake engine speaks 0.1 s a chunk, with pauses between.
        assert!(seconds > 0.3, "{format}: {seconds} s");
    }
}

#[tokio::test]
async fn each_sample_rate_is_the_same_speech() {
    let app = builtin().await;
    let lasts = hear(AudioFormat::Wav, &app.audio(&super::say(SENTENCE)).await).seconds;
    for format in AudioFormat::ALL {
        for rate in [8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000] {
            let body = json!({"input": SENTENCE, "response_format": format.name(), "sample_rate": rate});
            let response = app.speech(&body).await;
            if format == AudioFormat::Opus && 48_000 % rate != 0 {
                assert_eq!(response.status(), 400, "{format} at {rate}");
                continue;
            }
            assert_eq!(response.status(), 200, "{format} at {rate}");
            let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
            let bytes = response.bytes().await.unwrap();
            let mut decoded = decode(format, &bytes);
            if format == AudioFormat::Pcm {
                assert_eq!(kind, format!("audio/pcm;rate={rate}"));
                decoded.rate = rate;
            }
            let expected = if format == AudioFormat::Opus { 48_000 } else { rate };
            assert_eq!(decoded.rate, expected, "{format}");
            let seconds = decoded.samples.len() as f64 / f64::from(decoded.rate);
            // MP3 and AAC begin with some thousand samples of lead-in and end on a whole frame.
            assert!(
                (-0.001..0.5).contains(&(seconds - lasts)),
                "{format} at {rate}: {seconds} s for {lasts} s"
            );
            let energy: f64 = decoded.samples.iter().map(|&x| f64::from(x).powi(2)).sum();
            let level = 10.0 * (energy / decoded.samples.len() as f64).log10();
            assert!((-32.0..-10.0).contains(&level), "{format} at {rate}: {level} dB");
        }
    }
}

#[tokio::test]
async fn a_stream_at_another_rate_loses_no_sample() {
    let app = builtin().await;
    let mut body = json!({"input": SENTENCE.repeat(6), "response_format": "pcm"});
    let samples = app.audio(&body).await.len() / 2;
    body["sample_rate"] = json!(48_000);
    let response = app.speech(&body).await;
    assert_eq!(response.headers().get("content-length"), None, "it was not streamed");
    assert_eq!(response.bytes().await.unwrap().len() / 2, 2 * samples);
    body["response_format"] = json!("wav");
    body["stream"] = json!(false);
    let wav = app.audio(&body).await;
    assert_eq!(u32::from_le_bytes(wav[40..44].try_into().unwrap()) as usize, 4 * samples);
    assert_eq!(u32::from_le_bytes(wav[24..28].try_into().unwrap()), 48_000);
}

#[tokio::test]
async fn a_pause_mark_is_silence_of_that_length() {
    let app = builtin().await;
    let seconds = async |text: &str| {
        let body = json!({"input": text, "response_format": "pcm", "stream": false});
        hear(AudioFormat::Pcm, &app.audio(&body).await).seconds
    };
    let (short, long) = (seconds("One. [pause:0.5s] Two.").await, seconds("One. [pause:2.5s] Two.").await);
    assert!((long - short - 2.0).abs() < 0.01, "{short} {long}");
}
