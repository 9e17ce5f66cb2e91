//! Voices by stem or file name, and only those that a model can use.

use super::{PROGRAM, say};
use serde_json::{Value, json};
use stentor_tests::app::{Setup, error_of};

/// The names that OpenAI's SDKs and their users know; Pipecat lets no other pass.
const OPENAI: [&str; 13] = [
    "alloy", "ash", "ballad", "coral", "echo", "fable", "onyx", "nova", "sage", "shimmer", "verse", "marin",
    "cedar",
];

fn a_recording() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 24_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::new(&mut bytes, spec).expect("a writer in memory");
    for i in 0..24_000_i32 {
        writer.write_sample((i % 200) as i16).expect("a writer in memory");
    }
    writer.finalize().expect("a writer in memory");
    bytes.into_inner()
}

#[tokio::test]
async fn a_recording_is_found_by_stem_or_file_name_in_any_case() {
    let setup = Setup::new(PROGRAM).with_fake_model().file("voices/Emily.wav", &a_recording());
    let app = setup.start().await;
    for name in ["Emily", "Emily.wav", "emily", "EMILY.mp3"] {
        let response = app.speech(&json!({"input": "Hello.", "voice": name})).await;
        assert_eq!(response.status(), 200, "{name}");
        assert_eq!(response.headers()["x-voice"], "Emily", "{name}");
    }
    let listed = app.get_json("/v1/audio/voices").await;
    assert!(listed["voices"].as_array().unwrap().iter().any(|voice| voice["id"] == "Emily"), "{listed}");
}

#[tokio::test]
async fn a_voice_that_the_model_cannot_use_is_not_listed_and_refused() {
    let app = Setup::new(PROGRAM).file("voices/Emily.wav", &a_recording()).start().await;
    let listed = app.get_json("/v1/audio/voices?model=builtin").await;
    assert!(listed["voices"].as_array().unwrap().iter().all(|voice| voice["id"] != "Emily"), "{listed}");
    let (status, error) = app.error(&json!({"input": "Hi.", "voice": "Emily"})).await;
    assert_eq!((status, error["code"].as_str()), (400, Some("voice_not_supported")), "{error}");
}

#[tokio::test]
async fn openai_names_and_blends_speak() {
    let app = super::builtin().await;
    let mut bodies = Vec::new();
    for voice in ["alloy", "onyx", "rms", "slt", "rms(2)+slt(1)", "rms,slt"] {
        let mut body = say("Hello.");
        body["voice"] = json!(voice);
        bodies.push(app.audio(&body).await);
    }
    assert_eq!(bodies[0], bodies[3], "alloy is slt");
    assert_eq!(bodies[1], bodies[2], "onyx is rms");
    assert_ne!(bodies[4], bodies[5], "weights matter");
}

#[tokio::test]
async fn every_name_of_openai_speaks_as_pipecat_sends_it_on_each_engine() {
    for app in [super::builtin().await, super::fake().await] {
        for voice in OPENAI {
            let body = json!({
                "input": "Hi.", "model": "gpt-4o-mini-tts", "voice": voice, "response_format": "pcm"
            });
            let response = app.speech(&body).await;
            assert_eq!(response.status(), 200, "{voice}");
            assert!(!response.bytes().await.expect("a body").is_empty(), "{voice}");
        }
    }
}

#[tokio::test]
async fn an_alias_gives_an_openai_name_to_another_voice() {
    let setup = Setup::new(PROGRAM).with_fake_model();
    let app = setup.file("voices/voices.toml", b"[aliases]\nalloy = \"two\"").start().await;
    let voice_of = async |name: &str| {
        let response = app.speech(&json!({"input": "Hello.", "voice": name})).await;
        response.headers()["x-voice"].to_str().expect("text").to_owned()
    };
    assert_eq!((voice_of("alloy").await, voice_of("echo").await), ("two".to_owned(), "one".to_owned()));
}

/// Without a key in the request, as Open WebUI asks: objects with `id` and `name` under `voices`.
#[tokio::test]
async fn open_webui_and_openreader_find_voices_and_models() {
    let app = super::fake().await;
    for path in ["/v1/audio/voices", "/audio/voices", "/v1/voices"] {
        let listed = app.get_json(path).await;
        assert_eq!(listed["object"], "list", "{path}");
        assert_eq!(listed["voices"], listed["data"], "{path}");
        let voices = listed["voices"].as_array().expect("voices");
        assert_eq!(voices.len(), 2, "{path}: {listed}");
        assert!(voices.iter().all(|voice| voice["id"].is_string() && voice["name"].is_string()), "{listed}");
    }
    for path in ["/v1/audio/models", "/audio/models"] {
        let listed = app.get_json(path).await;
        let models = listed["models"].as_array().expect("models");
        let ids: Vec<&Value> = models.iter().map(|model| &model["id"]).collect();
        assert!(ids.contains(&&json!("fake")) && ids.contains(&&json!("builtin")), "{listed}");
        assert!(!ids.contains(&&json!("kokoro")), "it is not installed: {listed}");
    }
}

#[tokio::test]
async fn clients_of_the_first_servers_get_plain_strings() {
    let app = super::fake().await;
    for path in ["/v1/audio/voices?legacy=true", "/v1/audio/voices?model=fake&legacy=1"] {
        assert_eq!(app.get_json(path).await, json!({"voices": ["one", "two"]}), "{path}");
    }
    let objects = app.get_json("/v1/audio/voices?legacy=false").await;
    assert!(objects["voices"][0].is_object(), "{objects}");
    let (status, error) = error_of(app.get("/v1/audio/voices?legacy=perhaps").await).await;
    assert_eq!((status, error["param"].as_str()), (400, Some("legacy")), "{error}");
}

/// llama-swap asks for the voices of one model; others ask for those of a model by OpenAI's name.
#[tokio::test]
async fn voices_are_listed_per_model_and_models_show_their_own() {
    let app = super::fake().await;
    let ids = |listed: &Value| -> Vec<String> {
        let voices = listed["voices"].as_array().expect("voices").iter();
        voices.map(|voice| voice["id"].as_str().expect("an id").to_owned()).collect()
    };
    let of = async |model: &str| app.get_json(&format!("/v1/audio/voices?model={model}")).await;
    assert_eq!(ids(&of("builtin").await), ["rms", "slt"]);
    for model in ["", "fake", "tts-1", "tts-1-hd", "gpt-4o-mini-tts", "gpt-4o-mini-tts-2025-12-15"] {
        assert_eq!(ids(&of(model).await), ["one", "two"], "{model}");
    }
    let (status, error) = error_of(app.get("/v1/audio/voices?model=nobody").await).await;
    assert_eq!((status, error["code"].as_str()), (404, Some("model_not_found")), "{error}");
    for model in ["fake", "gpt-4o-mini-tts"] {
        let detail = app.get_json(&format!("/v1/models/{model}")).await;
        assert_eq!(detail["voices"], json!([{"name": "one"}, {"name": "two"}]), "{detail}");
    }
}

/// A client's name for a voice is compared with known ones and opens nothing, whatever it looks like.
#[tokio::test]
async fn no_name_of_a_voice_is_taken_for_a_path_or_an_address() {
    let app =
        Setup::new(PROGRAM).with_fake_model().file("secret.wav", &a_recording()).keep_log().start().await;
    let secret = app.dir.path().join("secret.wav").display().to_string();
    let names = [
        "../../etc/passwd",
        "../secret.wav",
        "..\\secret.wav",
        "/etc/passwd",
        &secret,
        "file:///etc/passwd",
        "http://127.0.0.1:1/a.wav",
        "https://example.com/a.wav",
        "Emily\0.wav",
        "\0",
        "%2e%2e%2fsecret.wav",
        "．．／secret.wav",
        "\u{202e}vaw.terces",
        "🎙️",
    ];
    for name in names {
        for voice in [json!(name), json!({"id": name}), json!(format!("one+{name}"))] {
            let (status, error) = app.error(&json!({"input": "Hi.", "voice": voice})).await;
            assert_eq!((status, error["param"].as_str()), (400, Some("voice")), "{name:?}: {error}");
            assert_eq!(error["code"], "voice_not_found", "{name:?}");
        }
    }
    app.audio(&say("Hello.")).await;
}
