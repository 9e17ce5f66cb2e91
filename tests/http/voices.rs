//! Voices by stem or file name, and only those that a model can use.

use super::{PROGRAM, say};
use serde_json::json;
use stentor_tests::app::Setup;

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
