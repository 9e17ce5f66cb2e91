//! The six formats: right type, right container, decodable by another decoder, whole or streamed.

use super::builtin;
use serde_json::json;
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
