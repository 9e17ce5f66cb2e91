//! Another model speaks when the one that was meant can't.

use super::{PROGRAM, say};
use serde_json::json;
use stentor_tests::{
    TestApp,
    app::{FAKE_MANIFEST, Setup},
};

/// A model whose engine no worker has.
const BROKEN: &[u8] = br#"
engine = "no-such-engine"
title = "A model that can't be loaded"
licence = "MIT"
languages = ["en-us"]
rank = -2
voice_kinds = ["preset"]
[voices]
default = "only"
[voices.names]
en-us = ["only"]
"#;

fn broken() -> Setup {
    Setup::new(PROGRAM).with_fake_model().file("models/broken.toml", BROKEN).arg("--model", "broken")
}

async fn start() -> TestApp {
    broken().arg("--fallback", "kokoro,fake,builtin").start().await
}

#[tokio::test]
async fn a_default_model_that_cannot_load_is_stood_in_for_and_the_probe_says_so() {
    let app = start().await;
    let response = app.get("/readyz").await;
    assert_eq!(response.status(), 200);
    let ready: serde_json::Value = response.json().await.unwrap();
    assert_eq!(ready["status"], "degraded", "{ready}");
    assert_eq!((&ready["model"], &ready["serving"]), (&json!("broken"), &json!("fake")));
    assert!(
        ready["reason"].is_string() && ready["detail"].as_str().unwrap().contains("no-such-engine"),
        "{ready}"
    );

    for body in [say("Hello."), json!({"input": "Hello.", "model": "tts-1", "voice": "only"})] {
        let response = app.speech(&body).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["x-model"], "fake");
        assert_eq!(response.headers()["x-fallback-from"], "broken");
        assert_eq!(response.headers()["x-voice"], "one", "a voice that it lacks becomes its own");
    }
    let (status, error) = app.error(&json!({"input": "Hello.", "voice": "nobody at all"})).await;
    assert_eq!((status, error["code"].as_str()), (400, Some("voice_not_found")), "{error}");
}

#[tokio::test]
async fn a_model_that_is_named_is_not_stood_in_for_unless_that_is_allowed() {
    let named = json!({"input": "Hello.", "model": "broken"});
    let app = start().await;
    let (status, error) = app.error(&named).await;
    assert_eq!((status, error["code"].as_str()), (503, Some("model_unavailable")), "{error}");
    drop(app);
    let app = broken().arg("--fallback", "fake").arg("--fallback-for-named", "true").start().await;
    let response = app.speech(&named).await;
    assert_eq!((response.status().as_u16(), &response.headers()["x-model"]), (200, &"fake".parse().unwrap()));
}

#[tokio::test]
async fn a_model_that_cannot_be_fetched_does_not_keep_its_fallback_from_speaking() {
    let app = Setup::new(PROGRAM)
        .with_fake_model()
        .variable("HF_HUB_OFFLINE", "1")
        .arg("--model", "kokoro")
        .arg("--fallback", "fake")
        .start()
        .await;
    let ready = app.get_json("/readyz").await;
    assert_eq!((&ready["status"], &ready["serving"]), (&json!("degraded"), &json!("fake")), "{ready}");
    let response = app.speech(&say("Hello.")).await;
    assert_eq!(response.headers()["x-fallback-from"], "kokoro");
}

#[tokio::test]
async fn a_default_model_that_hangs_while_it_loads_keeps_nobody_waiting() {
    let setup = Setup::new(PROGRAM).with_fake_model().load_fault("fake", "hang").arg("--fallback", "builtin");
    let asked = tokio::time::Instant::now();
    let app = setup.start().await;
    let ready = app.get_json("/readyz").await;
    assert_eq!((&ready["status"], &ready["serving"]), (&json!("degraded"), &json!("builtin")), "{ready}");
    let response = app.speech(&say("Hello.")).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-model"]),
        (200, &"builtin".parse().unwrap())
    );
    // The supervisor would give the hanging worker minutes, and a request waits for two.
    assert!(asked.elapsed() < std::time::Duration::from_secs(60), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn without_anybody_who_speaks_an_early_port_answers_503_with_a_reason() {
    let app = broken().arg("--listen-when", "immediately").keep_log().start().await;
    app.wait_for("/readyz", |status, body| status == 503 && body["state"] == "failed").await;
    assert_eq!(app.get("/livez").await.status(), 200);
    let response = app.speech(&say("Hello.")).await;
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    // What is wrong with the model is its supervisor's line; a request that meets it is not a failure more.
    app.wait_for_log(&["model_unavailable"], 1).await;
    assert_eq!(app.logged(&["ERROR"]), Vec::<String>::new());
    assert_eq!(app.logged(&["not ready:"]), Vec::<String>::new(), "{}", app.log());
}

#[tokio::test]
async fn a_model_whose_files_nobody_can_fetch_is_not_said_to_be_on_its_way() {
    let sum = "0".repeat(64);
    let files = format!("[[files]]\nrole = \"weights\"\npath = \"w.pth\"\nsha256 = \"{sum}\"\n[voices]");
    let manifest = FAKE_MANIFEST.replace("[voices]\n", &format!("{files}\n"));
    let setup = Setup::new(PROGRAM).file("models/mine.toml", manifest.as_bytes()).arg("--model", "mine");
    let app = setup.arg("--listen-when", "immediately").keep_log().start().await;
    let (status, error) = app.error(&say("Hello.")).await;
    assert_eq!((status, error["code"].as_str()), (404, Some("model_not_installed")), "{error}");
    assert!(error["message"].as_str().unwrap().contains("by hand"), "{error}");
    // Three attempts, each of them a second or two after the one before.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    assert_eq!(app.logged(&["not ready"]).len(), 1, "{}", app.log());
    assert_eq!(app.logged(&["fetch"]), Vec::<String>::new());
}

#[tokio::test]
async fn a_chain_of_a_single_model_is_its_own_and_unknown_names_are_mistakes() {
    let config = br#"
        fallback = ["kokorro"]
        [per_model.fake]
        fallback = ["nobody"]
        [per_model.fakke]
        device = "cpu"
    "#;
    let setup = Setup::new(PROGRAM).with_fake_model().file("stentor.toml", config);
    let output = setup.run(&["check"]).await;
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    for name in ["kokorro", "nobody", "fakke"] {
        assert!(message.contains(&format!("no model `{name}`")), "{message}");
    }
}

#[tokio::test]
async fn a_device_that_is_not_there_is_the_cpu_and_the_probe_says_why() {
    // The ninetieth card of no machine.
    let app = Setup::new(PROGRAM).arg("--device", "cuda:89").start().await;
    let response = app.get("/readyz").await;
    assert_eq!(response.status(), 200);
    let ready: serde_json::Value = response.json().await.unwrap();
    assert_eq!((&ready["status"], &ready["serving"]), (&json!("degraded"), &json!("builtin")), "{ready}");
    let model = app.get_json("/v1/models/builtin").await;
    assert_eq!((&model["device"], &model["degraded"]), (&json!("cpu"), &ready["reason"]), "{model}");
    app.audio(&say("Hello.")).await;
}
