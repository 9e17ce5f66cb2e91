//! `stream_format` sse: the same sound in events, what it took, and errors that every client can see.

use super::{builtin, fake, slow};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::time::Duration;
use stentor_tests::{
    TestApp,
    app::error_of,
    events::{Event, events, sound, words},
    measure::hear,
};
use stentor_types::AudioFormat;
use tokio::time::{Instant, sleep};

const SENTENCE: &str = "The quick brown fox jumps over the lazy dog, and then it runs away. ";

/// The fake engine speaks the first paragraph and fails on the second.
const BROKEN: &str = "A fine beginning.\n\nThen it goes wrong {fail}.";

async fn spoken(app: &TestApp, body: &Value) -> Vec<Event> {
    events(&app.audio(body).await)
}

#[tokio::test]
async fn events_hold_the_very_bytes_of_the_file() {
    let app = builtin().await;
    for format in AudioFormat::ALL {
        let mut body = json!({"input": SENTENCE.repeat(4), "response_format": format.name()});
        let file = app.audio(&body).await;
        body["stream_format"] = json!("sse");
        let response = app.speech(&body).await;
        let headers = response.headers().clone();
        assert_eq!(headers["content-type"], "text/event-stream");
        assert_eq!(headers["cache-control"], "no-cache");
        assert!(!headers.contains_key("content-length") && headers.contains_key("x-model"), "{format}");
        let events = events(&response.bytes().await.expect("a complete body"));
        assert!(sound(&events) == file, "{format}: the bytes differ");
        let (done, before) = events.split_last().expect("events");
        assert_eq!(done.name, "speech.audio.done");
        assert!(
            before.len() > 1 && before.iter().all(|event| event.name == "speech.audio.delta"),
            "{format}"
        );
    }
}

#[tokio::test]
async fn the_last_event_tells_the_usage_in_three_numbers() {
    let app = builtin().await;
    let mut body = json!({"input": "Hello there, world.", "stream_format": "sse", "response_format": "pcm"});
    let events = spoken(&app, &body).await;
    let usage = &events.last().expect("events").data["usage"];
    let number = |name: &str| usage[name].as_u64().expect("a whole number");
    let seconds = hear(AudioFormat::Pcm, &sound(&events)).seconds;
    assert_eq!(number("output_tokens"), (seconds * 20.0).ceil() as u64, "one for each 50 ms");
    assert!((5..100).contains(&number("input_tokens")), "{usage}");
    assert_eq!(number("total_tokens"), number("input_tokens") + number("output_tokens"));
    // Into how many events the sound is cut depends on who was faster.
    let again = spoken(&app, &body).await;
    assert_eq!(again.last(), events.last(), "the same request, from what was kept");
    assert!(sound(&again) == sound(&events));
    body["input"] = json!("Hello there, world. ".repeat(3));
    let thrice = spoken(&app, &body).await.pop().expect("events").data["usage"]["input_tokens"].clone();
    assert!(thrice.as_u64() > Some(2 * number("input_tokens")), "{thrice} for three times the text");
}

#[tokio::test]
async fn a_short_text_comes_in_events_too() {
    let app = fake().await;
    let events = spoken(&app, &json!({"input": "Hi.", "stream_format": "sse"})).await;
    assert!(hear(AudioFormat::Mp3, &sound(&events)).seconds > 0.05);
    assert_eq!(words(&events), Vec::<Value>::new(), "nobody asked for words");
}

#[tokio::test]
async fn what_fails_before_the_first_event_is_a_plain_error() {
    let app = fake().await;
    let rows = [
        (json!({"input": "Hi.", "voice": "nobody"}), 400, "voice_not_found"),
        (json!({"input": "🎉🎉🎉"}), 400, "input_not_speakable"),
        (json!({"input": "Wrong {fail}.", "normalize": false}), 500, "synthesis_failed"),
    ];
    for (mut body, status, code) in rows {
        body["stream_format"] = json!("sse");
        let response = app.speech(&body).await;
        assert_eq!(response.headers()["content-type"], "application/json");
        let (got, error) = error_of(response).await;
        assert_eq!((got, error["code"].as_str()), (status, Some(code)), "{body}");
    }
}

#[tokio::test]
async fn what_fails_later_is_an_event_and_the_body_ends_properly() {
    let app = fake().await;
    let body = json!({"input": BROKEN, "normalize": false, "stream_format": "sse", "timestamps": ["word"]});
    let events = spoken(&app, &body).await;
    assert!(!sound(&events).is_empty());
    assert_eq!(words(&events).len(), 3, "of the first paragraph");
    let last = events.last().expect("events");
    assert_eq!(last.name, "speech.audio.error");
    let error = &last.data["error"];
    assert_eq!((&error["code"], &error["type"]), (&json!("synthesis_failed"), &json!("server_error")));
    assert!(error["message"].is_string() && error["param"].is_null(), "{error}");
    assert!(events.iter().all(|event| event.name != "speech.audio.done"));
    app.audio(&json!({"input": "The next one is served.", "stream_format": "sse"})).await;
}

/// Files have no words for an error: the body ends without its final chunk.
#[tokio::test]
async fn without_events_the_same_failure_cuts_the_body() {
    let app = fake().await;
    for format in ["mp3", "opus", "wav", "json", "vtt"] {
        let body = json!({"input": BROKEN, "normalize": false, "response_format": format});
        let response = app.speech(&body).await;
        assert_eq!(response.status(), 200, "{format}");
        assert!(response.bytes().await.is_err(), "{format}: a complete body");
        app.audio(&json!({"input": "The next one is served.", "response_format": format})).await;
    }
}

#[tokio::test]
async fn events_come_while_the_rest_is_being_spoken() {
    let app = fake().await;
    let mut body = slow(20);
    body["stream_format"] = json!("sse");
    let mut stream = app.speech(&body).await.bytes_stream();
    let first = stream.next().await.expect("bytes").expect("bytes");
    assert!(first.starts_with(b"event: speech.audio.delta\ndata: {\"type\":\"speech.audio.delta\""));
    assert!(
        app.number("fake", "chunks_done").await < 10,
        "nearly everything was spoken before the first event"
    );
}

#[tokio::test]
async fn a_client_that_leaves_its_events_frees_the_engine() {
    let app = fake().await;
    let mut body = slow(100);
    body["stream_format"] = json!("sse");
    let mut stream = app.speech(&body).await.bytes_stream();
    stream.next().await.expect("bytes").expect("bytes");
    app.wait_until("fake", |model| model["chunks_active"] != 0).await;
    drop(stream);
    let left = Instant::now();
    while app.number("fake", "chunks_active").await > 0 {
        // The engine looks up within a step of 50 ms, and one beat of the worker passes before the counter shows it.
        assert!(left.elapsed() < Duration::from_secs(2), "the engine still works for nobody");
        sleep(Duration::from_millis(10)).await;
    }
    app.audio(&json!({"input": "The next one is served.", "stream_format": "sse"})).await;
}

#[tokio::test]
async fn events_and_a_whole_file_exclude_each_other() {
    let app = fake().await;
    let (status, error) = app.error(&json!({"input": "Hi.", "stream_format": "sse", "stream": false})).await;
    assert_eq!((status, &error["param"]), (400, &json!("stream")));
    app.audio(&json!({"input": "Hi.", "stream_format": "sse", "stream": true})).await;
}
