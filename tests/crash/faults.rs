//! Every way in which an engine can fail, called for in the text of a request to the real built-in model: the request
//! gets its documented answer or is replayed without a trace, and the next one is served.

use super::PROGRAM;
use serde_json::{Value, json};
use std::{path::Path, time::Duration};
use stentor_tests::{
    TestApp,
    app::Setup,
    process::{is_alive, kill},
};
use tokio::time::{Instant, sleep};

async fn start() -> TestApp {
    Setup::new(PROGRAM).start().await
}

/// Nothing is kept, so that each request reaches the engine.
fn body(text: &str) -> Value {
    json!({"input": text, "response_format": "pcm", "normalize": false, "cache": false, "seed": 4})
}

/// A text whose fault strikes once.
fn once(fault: &str, at: u64, folder: &Path) -> Value {
    let mark = folder.join(format!("{fault}-{at}"));
    body(&format!("One two three four {{{fault} at={at} mark={}}} five.", mark.display()))
}

async fn restarts(app: &TestApp) -> u64 {
    app.number("builtin", "worker_restarts").await
}

/// The same request twice: the first one loses its worker, the second finds the mark and is left alone.
async fn is_replayed(app: &TestApp, fault: &str, at: u64) {
    let request = once(fault, at, app.dir.path());
    let before = restarts(app).await;
    let disturbed = app.audio(&request).await;
    assert_eq!(restarts(app).await, before + 1, "{fault} at {at} took its worker down");
    let undisturbed = app.audio(&request).await;
    assert_eq!(restarts(app).await, before + 1, "{fault} at {at} strikes once");
    assert!(undisturbed.len() > 24_000, "{} bytes", undisturbed.len());
    assert!(disturbed == undisturbed, "{fault} at {at}: the replay differs");
}

#[tokio::test]
async fn what_kills_the_worker_once_is_not_heard() {
    let app = start().await;
    for fault in ["abort", "segfault", "panic", "exit", "oom", "lost", "garbage"] {
        is_replayed(&app, fault, 0).await;
    }
}

#[tokio::test]
async fn what_kills_the_worker_in_the_middle_of_a_chunk_is_not_heard() {
    let app = start().await;
    for fault in ["abort", "segfault", "garbage"] {
        is_replayed(&app, fault, 5).await;
    }
}

/// The engine must stand still for ten seconds before it counts as stuck.
#[tokio::test]
async fn a_hang_is_ended_and_not_heard() {
    let app = start().await;
    let request = once("hang", 0, app.dir.path());
    let asked = Instant::now();
    let (disturbed, ()) = tokio::join!(app.audio(&request), async {
        sleep(Duration::from_secs(2)).await;
        assert_eq!(app.get("/livez").await.status(), 200);
    });
    assert!(asked.elapsed() > Duration::from_secs(9), "it did hang");
    assert_eq!(restarts(&app).await, 1);
    assert!(disturbed == app.audio(&request).await, "the replay differs");
}

#[tokio::test]
async fn what_spoils_one_chunk_is_an_error_and_leaves_the_worker_alone() {
    let app = start().await;
    let worker = app.workers();
    let cases = [
        ("fail", 500, "synthesis_failed"),
        ("nan", 500, "synthesis_failed"),
        ("nan at=3", 500, "synthesis_failed"),
        ("toolong at=3 n=9", 500, "synthesis_failed"),
        ("endless", 500, "synthesis_failed"),
    ];
    for (fault, status, code) in cases {
        let (got, error) = app.error(&body(&format!("One two three {{{fault}}} four."))).await;
        assert_eq!((got, error["code"].as_str()), (status, Some(code)), "{fault}: {error}");
        app.audio(&body("And the next one is served.")).await;
    }
    let (status, error) = app.error(&body("One two three {reject} four.")).await;
    assert_eq!(status, 400, "{error}");
    assert_eq!(app.workers(), worker, "no worker was lost");
}

/// The first chunk is on its way when the second one is spoilt.
#[tokio::test]
async fn a_stream_that_turns_into_no_numbers_ends_early_and_holds_none() {
    let app = start().await;
    let text = "This is the first paragraph, and it is good.\n\nThe second one {nan} is not.";
    let response = app.speech(&body(text)).await;
    assert_eq!(response.status(), 200);
    assert!(response.bytes().await.is_err(), "an incomplete body");
    app.audio(&body("And the next one is served.")).await;
}

#[tokio::test]
async fn a_text_that_always_kills_is_quarantined() {
    let app = start().await;
    let (status, error) = app.error(&body("One {segfault} two.")).await;
    assert_eq!((status, error["code"].as_str()), (500, Some("chunk_quarantined")), "{error}");
    app.audio(&body("And the next one is served.")).await;
}

/// SDKs send a request whose answer was cut again, twice or more.
#[tokio::test]
async fn a_text_that_always_kills_does_so_once_however_often_it_is_sent() {
    let app = start().await;
    let mut deadly = body("A fine beginning.\n\nAnd then {segfault} the end.");
    deadly["cache"] = json!(true);
    let mut cost = None;
    for _ in 0..4 {
        let response = app.speech(&deadly).await;
        assert!(response.bytes().await.is_err(), "an incomplete body");
        // The next worker is there when somebody else has been served.
        app.audio(&body("And the next one is served.")).await;
        let lost = restarts(&app).await;
        assert!(lost >= 2, "it kills: {lost}");
        assert_eq!(lost, *cost.get_or_insert(lost), "only the first time cost workers");
    }
    let (status, error) =
        app.error(&json!({"input": "And then {segfault} the end.", "normalize": false, "seed": 4})).await;
    assert_eq!((status, error["code"].as_str()), (500, Some("chunk_quarantined")), "{error}");
    app.audio(&body("And the next one is served.")).await;
    assert_eq!(Some(restarts(&app).await), cost);
}

#[tokio::test]
async fn a_slow_load_answers_probes_and_speaks_in_the_end() {
    let setup = Setup::new(PROGRAM).load_fault("builtin", "slow n=2500");
    let app = setup.arg("--listen-when", "immediately").start().await;
    assert_eq!(app.get("/livez").await.status(), 200);
    assert_eq!(app.get("/readyz").await.status(), 503);
    app.audio(&body("It was worth the wait.")).await;
    app.wait_until("builtin", |model| model["state"] == "ready").await;
}

#[tokio::test]
async fn loading_is_tried_again() {
    for fault in ["exit", "segfault", "fail"] {
        let setup = Setup::new(PROGRAM);
        let mark = setup.path().join("mark");
        let app = setup.load_fault("builtin", &format!("{fault} times=2 mark={}", mark.display()));
        // The port opens when the model has spoken.
        let app = app.start().await;
        app.audio(&body("The third time it went well.")).await;
        assert!(app.dir.path().join("mark.1").exists(), "{fault} struck twice");
    }
}

#[tokio::test]
async fn a_load_that_hangs_can_be_stopped() {
    let setup = Setup::new(PROGRAM).load_fault("builtin", "hang");
    let mut app = setup.arg("--listen-when", "immediately").start().await;
    let begun = Instant::now();
    while app.workers().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(10), "no worker was started");
        sleep(Duration::from_millis(20)).await;
    }
    let workers = app.workers();
    assert_eq!(app.get("/livez").await.status(), 200);
    assert_eq!(app.get("/readyz").await.status(), 503);
    kill(app.pid(), "-TERM");
    let told = Instant::now();
    assert!(app.ended().await.success());
    assert!(told.elapsed() < Duration::from_secs(10), "a hanging load delays the end: {:?}", told.elapsed());
    assert!(!workers.into_iter().any(is_alive), "the worker outlives its server");
}
