//! What other servers of this kind get wrong, where no other test holds it; `tests/clients/README.md` has the whole table.

use super::{PROGRAM, fake, say, slow};
use futures_util::future::join_all;
use serde_json::{Value, json};
use stentor_testkit::FakeOptions;
use stentor_tests::app::{Setup, error_of};

/// One lists a model that it then says is not there.
#[tokio::test]
async fn every_model_of_openai_and_every_listed_one_can_be_retrieved() {
    let app = fake().await;
    let listed = app.get_json("/v1/models").await;
    let listed = listed["data"].as_array().expect("models").iter();
    let listed = listed.map(|model| model["id"].as_str().expect("an id").to_owned());
    let openai = ["tts-1", "tts-1-hd", "gpt-4o-mini-tts", "gpt-4o-mini-tts-2025-12-15"].map(str::to_owned);
    for name in listed.chain(openai) {
        let response = app.get(&format!("/v1/models/{name}")).await;
        assert_eq!(response.status(), 200, "{name}");
        let model: Value = response.json().await.expect("JSON");
        assert_eq!(model["object"], "model", "{name}");
        assert!(
            model["id"].is_string() && model["owned_by"].is_string() && model["created"].is_u64(),
            "{model}"
        );
    }
    let (status, error) = error_of(app.get("/v1/models/nobody").await).await;
    assert_eq!((status, error["code"].as_str()), (404, Some("model_not_found")));
}

/// One dies when more ask at once than it has slots.
#[tokio::test]
async fn more_requests_at_once_than_there_are_slots_are_all_served() {
    let options = FakeOptions { slots: 2, step_ms: 2, ..FakeOptions::default() };
    let app = Setup::new(PROGRAM).with_fake(&options).start().await;
    let workers = app.workers();
    let bodies: Vec<Value> = (0..24).map(|number| say(&format!("Number {number}."))).collect();
    for audio in join_all(bodies.iter().map(|body| app.audio(body))).await {
        assert!(audio.len() > 2400, "{} bytes", audio.len());
    }
    assert_eq!(app.workers(), workers, "no worker was lost");
}

/// Two answer 200 and then find out that they cannot speak.
#[tokio::test]
async fn whatever_fails_before_the_first_byte_has_a_status_in_every_format() {
    let app = fake().await;
    let rows = [
        (json!({"input": "Hi.", "voice": "nobody"}), 400, "voice_not_found"),
        (json!({"input": "Hi.", "model": "nobody"}), 404, "model_not_found"),
        (json!({"input": "Wrong {fail}.", "normalize": false}), 500, "synthesis_failed"),
    ];
    for format in ["mp3", "opus", "aac", "flac", "wav", "pcm", "srt", "json"] {
        for (body, status, code) in &rows {
            let mut body = body.clone();
            body["response_format"] = json!(format);
            let (got, error) = app.error(&body).await;
            assert_eq!((got, error["code"].as_str()), (*status, Some(*code)), "{body}");
        }
    }
    let deadly = json!({"input": "Deadly {abort}.", "normalize": false});
    assert_eq!(app.error(&deadly).await.1["code"], "chunk_quarantined");
    app.audio(&say("The next one is served.")).await;
}

/// Two infer on the threads that answer; a list and a probe then wait for the end of a story.
#[tokio::test]
async fn lists_and_probes_are_answered_while_a_story_is_spoken() {
    let app = fake().await;
    let mut story = app.speech(&slow(40)).await;
    story.chunk().await.expect("sound").expect("sound");
    for path in ["/livez", "/readyz", "/health", "/v1/models", "/v1/audio/voices", "/metrics"] {
        assert_eq!(app.get(path).await.status(), 200, "{path}");
    }
    let done = app.number("fake", "chunks_done").await;
    assert!(done < 30, "they were answered when nearly all of it had been spoken: {done}");
}

/// One answers 400 without a model in the query.
#[tokio::test]
async fn voices_are_listed_without_naming_a_model() {
    let app = fake().await;
    let listed = app.get_json("/v1/audio/voices").await;
    assert_eq!(listed["voices"], app.get_json("/v1/audio/voices?model=fake").await["voices"]);
    assert!(listed["voices"].as_array().is_some_and(|voices| !voices.is_empty()), "{listed}");
}

/// One takes a format, ignores it and sends WAV; another has no default for it.
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
