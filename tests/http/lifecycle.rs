//! Models that are loaded and unloaded, and a server that is told to stop.

use super::{PROGRAM, fake, say, slow};
use serde_json::json;
use std::time::Duration;
use stentor_tests::{
    app::{Setup, error_of},
    process::{is_alive, kill},
};
use tokio::time::{Instant, sleep};

#[tokio::test]
async fn a_model_is_loaded_on_request_and_says_what_it_is_like() {
    let app = fake().await;
    assert_eq!(app.get_json("/v1/models/builtin").await["state"], "unloaded");
    let response = app.post("/v1/models/load", &json!({"model": "builtin"})).await;
    assert_eq!(response.status(), 200);
    let model: serde_json::Value = response.json().await.unwrap();
    assert_eq!((&model["id"], &model["state"]), (&json!("builtin"), &json!("ready")));
    assert_eq!((&model["device"], &model["precision"]), (&json!("cpu"), &json!("f32")), "{model}");
    assert!(model["memory_bytes"].is_u64() && model["degraded"].is_null(), "{model}");
    assert_eq!(app.workers().len(), 2);
}

#[tokio::test]
async fn the_routes_refuse_what_they_cannot_do() {
    let app = fake().await;
    for (path, body, status, code) in [
        ("/v1/models/load", json!({"model": "nobody"}), 404, "model_not_found"),
        ("/v1/models/unload", json!({"model": "nobody"}), 404, "model_not_found"),
        ("/v1/models/load", json!({"model": "kokoro"}), 404, "model_not_installed"),
        ("/v1/models/load", json!({"name": "fake"}), 400, "invalid_value"),
        ("/v1/models/load", json!(["fake"]), 400, "invalid_json"),
        ("/v1/models/fake", json!({"model": "fake"}), 405, "method_not_allowed"),
    ] {
        let (got, error) = error_of(app.post(path, &body).await).await;
        assert_eq!((got, error["code"].as_str()), (status, Some(code)), "{path} {body}: {error}");
    }
    for path in ["/v1/models/load", "/v1/models/unload"] {
        let response = app.get(path).await;
        assert_eq!(response.headers()["allow"], "POST");
        let (status, error) = error_of(response).await;
        assert_eq!((status, error["code"].as_str()), (405, Some("method_not_allowed")), "{path}");
    }
}

#[tokio::test]
async fn a_model_that_speaks_is_not_unloaded() {
    let app = fake().await;
    let response = app.speech(&slow(40)).await;
    let (status, error) = error_of(app.post("/v1/models/unload", &json!({"model": "fake"})).await).await;
    assert_eq!((status, error["code"].as_str()), (409, Some("model_busy")), "{error}");
    drop(response);
}

#[tokio::test]
async fn an_unloaded_model_leaves_no_worker_stays_ready_and_loads_with_the_next_request() {
    let app = fake().await;
    let worker = app.workers()[0];
    let response = app.post("/v1/models/unload", &json!({"model": "fake"})).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.json::<serde_json::Value>().await.unwrap()["state"], "unloaded");
    assert!(!is_alive(worker));
    let ready = app.get("/readyz").await;
    assert_eq!(ready.status(), 200);
    let ready: serde_json::Value = ready.json().await.unwrap();
    assert_eq!((&ready["state"], &ready["detail"]), (&json!("unloaded"), &json!("asked")));
    app.audio(&say("Hello.")).await;
    assert_eq!(app.get_json("/v1/models/fake").await["state"], "ready");
}

#[tokio::test]
async fn an_idle_model_is_unloaded_and_no_probe_notices() {
    let app = Setup::new(PROGRAM).with_fake_model().arg("--idle-timeout", "1").start().await;
    app.wait_until("fake", |model| model["state"] == "unloaded").await;
    assert_eq!(app.workers(), Vec::<u32>::new());
    assert_eq!(app.get("/readyz").await.status(), 200);
    let probes = async {
        for _ in 0..40 {
            assert_eq!(app.get("/readyz").await.status(), 200, "while it loads");
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::join!(probes, async { drop(app.audio(&say("Hello.")).await) });
}

#[tokio::test]
async fn a_second_stop_signal_ends_everything_at_once() {
    let mut app = Setup::new(PROGRAM).with_fake_model().arg("--drain-delay", "60").keep_log().start().await;
    let _response = app.speech(&slow(200)).await;
    let worker = app.workers()[0];
    kill(app.pid(), "-TERM");
    app.wait_for("/readyz", |status, body| status == 503 && body["reason"] == "draining").await;
    assert_eq!(app.get("/livez").await.status(), 200, "it answers until the delay is over");
    let asked = Instant::now();
    kill(app.pid(), "-TERM");
    assert_eq!(app.ended().await.code(), Some(143));
    assert_eq!(app.logged(&["ERROR"]), Vec::<String>::new());
    // The drain would take minutes.
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    while is_alive(worker) {
        assert!(asked.elapsed() < Duration::from_secs(12), "the worker outlives its server");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn idle_connections_do_not_delay_the_end() {
    let mut app = fake().await;
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(tokio::net::TcpStream::connect(app.address()).await.expect("a connection"));
    }
    assert_eq!(app.get("/livez").await.status(), 200);
    let asked = Instant::now();
    kill(app.pid(), "-TERM");
    assert!(app.ended().await.success());
    // Far below the 75 s that an idle connection may last.
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn who_still_waits_at_the_end_of_the_drain_is_told_so() {
    let mut app = Setup::new(PROGRAM).with_fake_model().arg("--drain-timeout", "1").keep_log().start().await;
    let speaking = app.speech(&slow(400)).await;
    let url = format!("{}/v1/audio/speech", app.base);
    let waiting = app.client.post(url).json(&json!({"input": "Later {hang}.", "normalize": false})).send();
    let waiting = tokio::spawn(waiting);
    app.wait_until("fake", |model| model["requests_waiting"] == 1 || model["requests_running"] == 2).await;
    kill(app.pid(), "-TERM");
    let (status, error) = error_of(waiting.await.expect("a task").expect("an answer")).await;
    assert_eq!((status, error["code"].as_str()), (503, Some("model_unavailable")), "{error}");
    assert!(speaking.bytes().await.is_err(), "a stream that is cut does not look complete");
    assert!(app.ended().await.success());
    assert_eq!(app.logged(&["ERROR"]), Vec::<String>::new(), "who was cut off is no failure");
    assert_eq!(app.logged(&["WARN", "the audio ends early"]).len(), 1, "{}", app.log());
}
