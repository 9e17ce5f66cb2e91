//! Headers, listings, probes, determinism.

use super::{builtin, fake, say};
use serde_json::json;

/// What a request may have beside its text.
const FIELDS: [&str; 15] = [
    "model",
    "voice",
    "instructions",
    "response_format",
    "speed",
    "stream_format",
    "language",
    "lang_code",
    "seed",
    "sample_rate",
    "normalize",
    "stream",
    "timestamps",
    "priority",
    "cache",
];

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
async fn the_text_alone_is_a_request() {
    let app = fake().await;
    let response = app.speech(&json!({"input": "Hi."})).await;
    assert_eq!(response.status(), 200);
    let headers = response.headers();
    assert_eq!(
        (&headers["x-model"], &headers["x-voice"]),
        (&"fake".parse().unwrap(), &"one".parse().unwrap())
    );
    assert_eq!(headers["content-type"], "audio/mpeg");
    assert!(!headers.contains_key("x-ignored-params"));
}

#[tokio::test]
async fn null_is_absent_for_every_field() {
    let app = fake().await;
    let plain = app.audio(&json!({"input": "Hi."})).await;
    let mut all = json!({"input": "Hi."});
    for field in FIELDS.into_iter().chain(["temperature", "a_field_of_nobody"]) {
        all[field] = json!(null);
        let response = app.speech(&json!({"input": "Hi.", field: null})).await;
        assert_eq!(response.status(), 200, "{field}");
        assert!(!response.headers().contains_key("x-ignored-params"), "{field} is named");
        assert!(response.bytes().await.unwrap() == plain, "{field}");
    }
    assert!(app.audio(&all).await == plain);
    let (status, error) = app.error(&json!({"input": null})).await;
    assert_eq!((status, &error["code"], &error["param"]), (400, &json!("missing_field"), &json!("input")));
}

/// Whatever stands in a field, it is taken or refused by its name; nothing of it is a failure of the server.
#[tokio::test]
async fn every_field_takes_its_value_or_names_itself() {
    let app = fake().await;
    let values = json!([true, 7, -1, 0.5, 1e300, 18_446_744_073_709_551_615_u64, "", "x", "\u{0}", "🎉", [], {},
        [null], ["word"], {"id": 1}, {"id": "x"}, [[[]]]]);
    for field in FIELDS {
        let mut refused = 0;
        for value in values.as_array().unwrap() {
            let response = app.speech(&json!({"input": "Hi.", field: value})).await;
            if response.status() != 200 {
                let (status, error) = stentor_tests::app::error_of(response).await;
                assert!(status == 400 || (status, field) == (404, "model"), "{field}: {value}: {status}");
                assert_eq!(error["param"], field, "{value}: {error}");
                refused += 1;
            }
        }
        assert!(refused > 0, "{field} takes anything");
    }
    app.audio(&say("Still here.")).await;
}

#[tokio::test]
async fn each_model_name_of_openai_means_the_default_model() {
    let app = fake().await;
    let plain = app.audio(&say("Hi.")).await;
    for model in ["", "tts-1", "tts-1-hd", "gpt-4o-mini-tts", "gpt-4o-mini-tts-2025-12-15", "TTS-1"] {
        let mut body = say("Hi.");
        body["model"] = json!(model);
        let response = app.speech(&body).await;
        assert_eq!(response.headers()["x-model"], "fake", "{model}");
        assert!(response.bytes().await.unwrap() == plain, "{model}");
    }
}

#[tokio::test]
async fn a_voice_is_a_name_or_an_object_with_an_id() {
    let app = fake().await;
    let with = |voice: serde_json::Value| json!({"input": "Hi.", "response_format": "wav", "voice": voice});
    let two = app.audio(&with(json!("two"))).await;
    assert!(two == app.audio(&with(json!({"id": "two"}))).await);
    assert_ne!(two, app.audio(&with(json!(""))).await, "no name means the model's own voice");
    for absent in [json!({}), json!({"id": null})] {
        assert!(app.audio(&with(json!(""))).await == app.audio(&with(absent.clone())).await, "{absent}");
    }
    for bad in [json!({"id": "two", "name": "x"}), json!(["two"]), json!(2), json!({"id": 2})] {
        let (status, error) = app.error(&with(bad.clone())).await;
        assert_eq!((status, &error["param"]), (400, &json!("voice")), "{bad}");
    }
    let (status, error) = app.error(&with(json!({"id": "nobody"}))).await;
    assert_eq!((status, &error["code"]), (400, &json!("voice_not_found")));
}

#[tokio::test]
async fn instructions_are_text_of_4096_characters_and_told_to_be_ignored() {
    let app = fake().await;
    let with = |text: serde_json::Value| json!({"input": "Hi.", "instructions": text});
    for text in ["None", "", &"ä".repeat(4096)] {
        let response = app.speech(&with(json!(text))).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["x-ignored-params"], "instructions");
    }
    for bad in [json!("ä".repeat(4097)), json!(7), json!(["x"])] {
        let (status, error) = app.error(&with(bad)).await;
        assert_eq!((status, &error["param"]), (400, &json!("instructions")));
    }
}

#[tokio::test]
async fn the_limit_of_4096_characters_is_not_ours() {
    let app = fake().await;
    let audio = app.audio(&say(&"A word or two. ".repeat(1000))).await;
    assert!(audio.len() > 100_000, "{} bytes", audio.len());
}

#[tokio::test]
async fn a_language_may_be_named_as_other_servers_name_it() {
    let app = builtin().await;
    let response = app.speech(&json!({"input": "Hi.", "lang_code": "a"})).await;
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key("x-ignored-params"));
    let both = app.speech(&json!({"input": "Hi.", "language": "en-US", "lang_code": "f"})).await;
    assert_eq!(both.headers()["x-ignored-params"], "lang_code");
    let (status, error) = app.error(&json!({"input": "Hi.", "lang_code": "nonsense!"})).await;
    assert_eq!((status, &error["param"]), (400, &json!("lang_code")));
}

#[tokio::test]
async fn a_base_url_without_v1_speaks_too() {
    let app = fake().await;
    let response = app.post("/audio/speech", &say("Hi.")).await;
    assert_eq!(response.status(), 200);
    assert!(response.bytes().await.unwrap() == app.audio(&say("Hi.")).await);
}

/// SDKs send a 5xx again, twice, unless they are told that it would only fail again.
#[tokio::test]
async fn what_would_fail_again_is_marked_and_what_would_not_is_not() {
    let app = stentor_tests::app::Setup::new(super::PROGRAM)
        .with_fake_model()
        .arg("--max-waiting", "1")
        .start()
        .await;
    let failed = app.speech(&json!({"input": "Wrong {fail}.", "normalize": false})).await;
    assert_eq!(
        (failed.status().as_u16(), failed.headers()["x-should-retry"].to_str().unwrap()),
        (500, "false")
    );
    let (_first, _second) = (app.speech(&super::slow(40)).await, app.speech(&super::slow(40)).await);
    let busy = app.speech(&say("Hello.")).await;
    assert_eq!(busy.status(), 429);
    assert!(busy.headers().contains_key("retry-after") && !busy.headers().contains_key("x-should-retry"));
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
