//! Requests for speech as well-known clients send them, each with what breaks servers there.

use super::{builtin, fake};
use futures_util::future::join_all;
use reqwest::Response;
use serde_json::{Value, json};
use stentor_tests::{
    TestApp,
    app::error_of,
    events::{events, sound},
    measure::hear,
};
use stentor_types::AudioFormat;

async fn post(app: &TestApp, headers: &[(&str, &str)], body: &Value) -> Response {
    let request = app.client.post(format!("{}/v1/audio/speech", app.base)).json(body);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.send().await.expect("an answer")
}

/// What OpenAI's SDKs add to every request.
const SDK: [(&str, &str); 4] = [
    ("authorization", "Bearer sk-anything"),
    ("accept", "application/octet-stream"),
    ("x-stainless-retry-count", "0"),
    ("x-stainless-read-timeout", "600"),
];

async fn is_sound(response: Response, format: AudioFormat) -> f64 {
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], format.content_type());
    assert!(response.headers().contains_key("x-request-id"));
    hear(format, &response.bytes().await.expect("a complete body")).seconds
}

#[tokio::test]
async fn open_webui_merges_the_parameters_of_its_admin_into_the_body() {
    let app = fake().await;
    let body = json!({"model": "tts-1", "input": "Hi.", "voice": "alloy", "response_format": "mp3",
        "custom": {"nested": [1, null]}, "user": "someone", "temperature": 0.7});
    let response = post(&app, &[("authorization", "Bearer key")], &body).await;
    assert_eq!(response.headers()["x-ignored-params"], "custom, temperature, user");
    is_sound(response, AudioFormat::Mp3).await;
}

#[tokio::test]
async fn sillytavern_sends_a_bearer_without_a_key() {
    let app = fake().await;
    let body =
        json!({"model": "tts-1", "input": "Hi.", "voice": "One", "response_format": "mp3", "speed": 1});
    is_sound(post(&app, &[("authorization", "Bearer ")], &body).await, AudioFormat::Mp3).await;
    let wrong = json!({"model": "tts-1", "input": "Hi.", "voice": "typed by hand"});
    let (_, error) = error_of(post(&app, &[("authorization", "Bearer ")], &wrong).await).await;
    assert!(error["message"].as_str().is_some_and(|text| text.contains("typed by hand")), "{error}");
}

#[tokio::test]
async fn librechat_names_no_voice_and_glues_the_pieces_of_a_text_together() {
    let app = builtin().await;
    let mut glued = Vec::new();
    let mut alone = 0.0;
    for input in ["The first piece of a text.", "And here is the second one.", "The end."] {
        let body = json!({"input": input, "model": "tts-1", "backend": "openai"});
        let response = post(&app, &[("authorization", "Bearer key")], &body).await;
        assert_eq!(response.headers()["x-ignored-params"], "backend");
        let bytes = response.bytes().await.expect("a complete body");
        alone += hear(AudioFormat::Mp3, &bytes).seconds;
        glued.extend_from_slice(&bytes);
    }
    assert!((hear(AudioFormat::Mp3, &glued).seconds - alone).abs() < 1e-6);
}

#[tokio::test]
async fn home_assistant_sends_the_instructions_none_in_every_format() {
    let app = fake().await;
    for format in AudioFormat::ALL {
        let body = json!({"model": "gpt-4o-mini-tts", "voice": "marin", "input": "Hi.", "speed": 1.0,
            "instructions": "None", "response_format": format.name()});
        is_sound(post(&app, &SDK, &body).await, format).await;
    }
}

#[tokio::test]
async fn livekit_asks_for_events_and_for_the_id_of_its_request() {
    let app = fake().await;
    let body = json!({"model": "gpt-4o-mini-tts", "voice": "ash", "input": "Hi.", "speed": 1.0,
        "response_format": "mp3", "stream_format": "sse"});
    let response = post(&app, &SDK, &body).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert!(response.headers().contains_key("x-request-id"));
    let bytes = response.bytes().await.expect("a complete body");
    let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
    assert_eq!(
        text.lines().filter(|line| line.starts_with("data: {")).count(),
        text.matches("data:").count()
    );
    assert!(hear(AudioFormat::Mp3, &sound(&events(&bytes))).seconds > 0.05);
}

#[tokio::test]
async fn pipecat_plays_bare_samples_of_24_khz() {
    let app = fake().await;
    let body =
        json!({"model": "gpt-4o-mini-tts", "voice": "cedar", "input": "Hi.", "response_format": "pcm"});
    let response = post(&app, &SDK, &body).await;
    let kind = response.headers()["content-type"].to_str().expect("text").to_owned();
    assert_eq!(kind.split(';').next(), Some("audio/pcm"), "after parameters are stripped");
    is_sound(response, AudioFormat::Pcm).await;
}

#[tokio::test]
async fn n8n_knows_two_models_and_six_voices() {
    let app = builtin().await;
    for model in ["tts-1", "tts-1-hd"] {
        for voice in ["alloy", "echo", "fable", "nova", "onyx", "shimmer"] {
            let body = json!({"model": model, "voice": voice, "input": "Hi.", "response_format": "opus"});
            is_sound(post(&app, &SDK, &body).await, AudioFormat::Opus).await;
        }
    }
}

#[tokio::test]
async fn epub_to_audiobook_sends_null_and_many_chapters_at_once() {
    let app = fake().await;
    let chapter = |number: usize| {
        json!({"model": "gpt-4o-mini-tts", "voice": "ballad", "instructions": null, "speed": 1.0,
            "response_format": "mp3", "input": format!("Chapter {number}. ").repeat(110)})
    };
    let bodies: Vec<Value> = (0..6).map(chapter).collect();
    let answers = join_all(bodies.iter().map(|body| post(&app, &SDK, body))).await;
    for response in answers {
        assert!(is_sound(response, AudioFormat::Mp3).await > 1.0);
    }
}

/// One peer lists a format, ignores it and sends WAV; another has no default for it.
#[tokio::test]
async fn the_bytes_are_of_the_format_that_the_header_tells() {
    let app = fake().await;
    let begins: [(&str, &[u8]); 5] = [
        ("mp3", &[0xff, 0xf3]),
        ("opus", b"OggS"),
        ("aac", &[0xff, 0xf1]),
        ("flac", b"fLaC"),
        ("wav", b"RIFF"),
    ];
    for (format, head) in begins {
        let bytes = app.audio(&json!({"input": "Hi.", "response_format": format})).await;
        assert!(bytes.starts_with(head), "{format} begins with {:?}", &bytes[..4]);
    }
    let default = app.audio(&json!({"input": "Hi."})).await;
    assert!(default == app.audio(&json!({"input": "Hi.", "response_format": "mp3"})).await);
}
