//! Headers, listings, probes, determinism.

use super::{builtin, fake, say};
use serde_json::json;

#[tokio::test]
async fn fields_without_effect_are_named_in_a_header() {
    let app = fake().await;
    let body =
        json!({"input": "Hi.", "model": "tts-1", "voice": "alloy", "instructions": "None", "colour": 3});
    let response = app.speech(&body).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-ignored-params"], "colour, instructions");
    assert_eq!(response.headers()["x-model"], "fake");
    assert_eq!(response.headers()["x-watermark"], "none");
    assert_eq!(response.headers()["content-type"], "audio/mpeg");
}

#[tokio::test]
async fn a_request_id_is_echoed_or_minted_and_a_wild_one_replaced() {
    let app = fake().await;
    let ask = |id: &str| app.client.get(format!("{}/v1/models", app.base)).header("x-request-id", id).send();
    assert_eq!(ask("abc-123").await.unwrap().headers()["x-request-id"], "abc-123");
    let long = ask(&"x".repeat(500)).await.unwrap();
    assert!(long.headers()["x-request-id"].to_str().unwrap().starts_with("req_"));
    let first = app.get("/livez").await.headers()["x-request-id"].clone();
    assert_ne!(first, app.get("/livez").await.headers()["x-request-id"]);
}

#[tokio::test]
async fn listings_have_the_shapes_that_clients_read() {
    let app = builtin().await;
    let voices = app.get_json("/v1/audio/voices").await;
    assert_eq!(voices["voices"], voices["data"]);
    let ids: Vec<_> = voices["voices"].as_array().unwrap().iter().map(|v| v["id"].clone()).collect();
    assert_eq!(ids, [json!("rms"), json!("slt")]);
    let models = app.get_json("/v1/models").await;
    assert_eq!(models["object"], "list");
    let builtin = &models["data"].as_array().unwrap().iter().find(|m| m["id"] == "builtin").unwrap();
    assert_eq!((&builtin["object"], &builtin["installed"]), (&json!("model"), &json!(true)));
    assert!(builtin["created"].is_u64() && builtin["owned_by"].is_string());
    let one = app.get_json("/v1/models/builtin").await;
    assert_eq!((&one["id"], &one["state"]), (&json!("builtin"), &json!("ready")));
}

#[tokio::test]
async fn probes_answer_and_readiness_names_the_model() {
    let app = builtin().await;
    for path in ["/livez", "/healthz", "/readyz", "/health"] {
        assert_eq!(app.get(path).await.status(), 200, "{path}");
    }
    let ready = app.get_json("/readyz").await;
    assert_eq!((&ready["status"], &ready["model"]), (&json!("ready"), &json!("builtin")));
    assert_eq!(app.get("/v1/readyz").await.status(), 404);
}

#[tokio::test]
async fn the_same_request_gives_the_same_bytes_unless_a_random_seed_is_asked_for() {
    let app = builtin().await;
    let text = "A quiet sentence for the test.";
    let first = app.audio(&say(text)).await;
    assert_eq!(first, app.audio(&say(text)).await);
    let seeded = |seed| json!({"input": text, "response_format": "wav", "seed": seed});
    assert_eq!(app.audio(&seeded(json!(7))).await, app.audio(&seeded(json!(7))).await);
    assert_ne!(app.audio(&seeded(json!(7))).await, app.audio(&seeded(json!(8))).await);
    assert_ne!(app.audio(&seeded(json!("random"))).await, app.audio(&seeded(json!("random"))).await);
}

#[tokio::test]
async fn cues_reach_the_model_that_knows_them_and_no_other() {
    let app = fake().await;
    let say = |text: &str| json!({"input": text, "response_format": "wav", "seed": 1});
    let giggled = app.audio(&say("Oh [giggle] well.")).await;
    assert_eq!(giggled, app.audio(&say("Oh [Giggle] well.")).await);
    assert_ne!(giggled, app.audio(&say("Oh (giggle) well.")).await, "the cue came as plain words");
    assert_eq!(app.audio(&say("Oh [sigh] well.")).await, app.audio(&say("Oh well.")).await);
    assert_eq!(app.error(&say("[sigh]")).await.1["code"], "input_not_speakable");
}

#[tokio::test]
async fn speed_changes_how_long_it_takes() {
    let app = builtin().await;
    let length = async |speed: f64| {
        let body =
            json!({"input": "One two three four five six seven.", "response_format": "pcm", "speed": speed});
        app.audio(&body).await.len() as f64
    };
    let (slow, normal, fast) = (length(0.5).await, length(1.0).await, length(2.0).await);
    assert!((1.6..2.4).contains(&(slow / normal)), "half speed is {} times as long", slow / normal);
    assert!((0.35..0.7).contains(&(fast / normal)), "double speed is {} times as long", fast / normal);
}
