//! Configuration, voices and models that change under a running server.

use super::{PROGRAM, say};
use serde_json::json;
use std::fs;
use stentor_tests::{
    TestApp,
    app::{FAKE_MANIFEST, Setup},
    process::kill,
};

const RECORDING: &[u8] = b"RIFF, or whatever: the fake engine does not listen";

async fn start(config: &str) -> TestApp {
    Setup::new(PROGRAM).with_fake_model().file("stentor.toml", config.as_bytes()).keep_log().start().await
}

fn write(app: &TestApp, path: &str, bytes: &[u8]) {
    fs::write(app.dir.path().join(path), bytes).expect("a file");
}

/// The status of a request whose text has 100 bytes.
async fn status_of_100_bytes(app: &TestApp) -> u16 {
    app.speech(&say(&"a".repeat(100))).await.status().as_u16()
}

/// Sends SIGHUP and waits until a 100-byte text is answered `status`.
async fn reread_until(app: &TestApp, status: u16) {
    kill(app.pid(), "-HUP");
    for _ in 0..500 {
        if status_of_100_bytes(app).await == status {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the configuration was not taken over");
}

#[tokio::test]
async fn a_hangup_takes_the_configuration_over_and_a_mistake_in_it_changes_nothing() {
    let app = start("max_input_bytes = 1000").await;
    assert_eq!(status_of_100_bytes(&app).await, 200);
    write(&app, "stentor.toml", b"max_input_bytes = 50");
    reread_until(&app, 413).await;

    for mistake in
        ["max_input_bytes = \"many\"", "max_input_bytes = 0", "[per_model.nobody]\ndevice = \"cpu\""]
    {
        write(&app, "stentor.toml", mistake.as_bytes());
        kill(app.pid(), "-HUP");
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        assert_eq!(status_of_100_bytes(&app).await, 413, "{mistake}");
    }
    write(&app, "stentor.toml", b"max_input_bytes = 1000");
    reread_until(&app, 200).await;
}

#[tokio::test]
async fn what_needs_a_restart_is_named_as_long_as_it_differs_from_the_start() {
    const RULE: &str = "after a restart only: max_waiting";
    let app = start("max_waiting = 10\nmax_input_bytes = 1000").await;
    let hangup = async |config: &str, times: usize| {
        write(&app, "stentor.toml", config.as_bytes());
        kill(app.pid(), "-HUP");
        app.wait_for_log(&["the configuration was read again"], times).await;
    };
    hangup("max_waiting = 20\nmax_input_bytes = 1000", 1).await;
    assert_eq!(app.logged(&[RULE]).len(), 1);
    hangup("max_waiting = 20\nmax_input_bytes = 500", 2).await;
    assert_eq!(app.logged(&[RULE]).len(), 2, "it is still not in force");
    hangup("max_waiting = 10\nmax_input_bytes = 500", 3).await;
    assert_eq!(app.logged(&[RULE]).len(), 2, "it is as it was at the start");
}

#[tokio::test]
async fn a_hangup_finds_new_voices_and_new_models() {
    let app = start("").await;
    let emily = json!({"input": "Hello.", "voice": "Emily"});
    assert_eq!(app.speech(&emily).await.status(), 400);
    write(&app, "voices/Emily.wav", RECORDING);
    write(&app, "models/second.toml", FAKE_MANIFEST.as_bytes());
    kill(app.pid(), "-HUP");
    app.wait_for("/v1/models/second", |status, model| status == 200 && model["state"] == "unloaded").await;
    assert_eq!(app.speech(&emily).await.status(), 200);
    let response = app.speech(&json!({"input": "Hello.", "model": "second"})).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-model"]),
        (200, &"second".parse().unwrap())
    );
    let ready = app.get_json("/readyz").await;
    assert_eq!((&ready["status"], &ready["model"]), (&json!("ready"), &json!("fake")));
}

#[tokio::test]
async fn a_voice_that_is_put_into_the_folder_is_found_without_being_asked_and_a_bad_file_costs_nothing() {
    let app = start("").await;
    let has_emily = |_: u16, voices: &serde_json::Value| {
        voices["data"].as_array().is_some_and(|all| all.iter().any(|voice| voice["id"] == "Emily"))
    };
    write(&app, "voices/Emily.wav", RECORDING);
    app.wait_for("/v1/audio/voices", has_emily).await;
    write(&app, "voices/voices.toml", b"this is not TOML [");
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert!(has_emily(200, &app.get_json("/v1/audio/voices").await));
    app.wait_for_log(&["stay as they were", "voices.toml"], 1).await;
    let starts_with_its_time = |line: &str| line.starts_with("20");
    assert!(app.log().lines().all(starts_with_its_time), "each message is one line: {}", app.log());
    fs::remove_file(app.dir.path().join("voices/voices.toml")).expect("it is there");
    fs::remove_file(app.dir.path().join("voices/Emily.wav")).expect("it is there");
    app.wait_for("/v1/audio/voices", |status, voices| !has_emily(status, voices)).await;
}

#[tokio::test]
async fn check_shows_every_option_as_what_it_is() {
    let config = br#"
        idle_timeout = 300
        fallback = ["builtin"]
        [per_model.builtin]
        threads = 2
    "#;
    let setup = Setup::new(PROGRAM)
        .with_fake_model()
        .file("stentor.toml", config)
        .arg("--device", "builtin=cpu,auto");
    let output = setup.run(&["check", "--json"]).await;
    let check: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let settings = &check["settings"];
    assert_eq!(
        (&settings["idle_timeout"], &settings["fallback"]),
        (&json!(300), &json!(["builtin"])),
        "{check}"
    );
    assert_eq!((&settings["max_waiting"], &settings["device"]), (&json!(64), &json!("auto")));
    assert_eq!(settings["per_model"]["builtin"]["threads"], 2);
    assert_eq!(settings["per_model"]["builtin"]["device"], "cpu");
    assert_eq!(settings["per_model"]["builtin"]["idle_timeout"], 300);
}
