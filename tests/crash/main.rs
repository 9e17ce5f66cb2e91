//! Workers that die, in the middle of real requests to a real server.

mod drain;
mod drainer;
mod faults;
mod idle;
mod kills;
mod overload;
mod probes;
mod slow_clients;
mod soak;

use serde_json::json;
use std::time::Duration;
use stentor_tests::{
    TestApp,
    app::Setup,
    process::{is_alive, kill},
};
use tokio::time::{Instant, sleep};

const PROGRAM: &str = env!("CARGO_BIN_EXE_stentor-under-test");

async fn start() -> TestApp {
    Setup::new(PROGRAM).start().await
}

#[tokio::test]
async fn a_killed_worker_costs_nothing_but_time() {
    let app = start().await;
    let text = "This is a sentence of some length, to be spoken while things go wrong. ".repeat(60);
    let body = json!({"input": text, "response_format": "wav", "cache": false});
    let undisturbed = app.audio(&body).await;

    let worker = app.workers()[0];
    let (disturbed, ()) = tokio::join!(app.audio(&body), async {
        app.wait_until("builtin", |model| model["chunks_active"] != 0).await;
        kill(worker, "-KILL");
        assert_eq!(app.get("/livez").await.status(), 200);
    });
    assert!(!is_alive(worker));
    assert_eq!(disturbed, undisturbed, "the replay is bit-identical");
    assert_ne!(app.workers(), [worker]);
    app.audio(&json!({"input": "And on we go."})).await;
    let detail = app.get_json("/v1/models/builtin").await;
    assert_eq!(detail["worker_restarts"], 1);
}

#[tokio::test]
async fn a_server_that_is_killed_leaves_no_worker() {
    let app = start().await;
    let worker = app.workers()[0];
    kill(app.pid(), "-KILL");
    let killed = Instant::now();
    while is_alive(worker) {
        assert!(killed.elapsed() < Duration::from_secs(2), "the worker outlives its server");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_stop_signal_lets_a_running_request_finish() {
    let mut app = start().await;
    let text = "A sentence that is still being spoken. ".repeat(30);
    let response = app.speech(&json!({"input": text, "response_format": "pcm"})).await;
    let worker = app.workers()[0];
    kill(app.pid(), "-TERM");
    let bytes = response.bytes().await.expect("the whole body");
    assert!(bytes.len() > 48_000 * 30, "{} bytes", bytes.len());
    assert!(app.ended().await.success());
    assert!(!is_alive(worker));
}

#[tokio::test]
async fn a_text_that_always_kills_its_worker_is_given_up_and_others_are_served() {
    let app = Setup::new(PROGRAM).with_fake_model().start().await;
    let (status, error) = app.error(&json!({"input": "Now {abort} dies.", "normalize": false})).await;
    assert_eq!((status, error["code"].as_str()), (500, Some("chunk_quarantined")), "{error}");
    app.audio(&json!({"input": "Hello."})).await;
}
