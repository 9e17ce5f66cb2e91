//! How long a request would wait, by its headers, and what it is told when that is not enough.

use super::{PROGRAM, fake, say, slow};
use serde_json::json;
use std::time::Duration;
use stentor_tests::{
    TestApp,
    app::{Setup, error_of},
};
use tokio::time::Instant;

async fn with_header(app: &TestApp, name: &str, value: &str) -> reqwest::Response {
    let url = format!("{}/v1/audio/speech", app.base);
    app.client.post(url).header(name, value).json(&say("Hello.")).send().await.expect("an answer")
}

#[tokio::test]
async fn a_header_that_cannot_be_read_is_named() {
    let app = fake().await;
    let rows = [("x-request-timeout", "soon"), ("x-request-timeout", "0"), ("x-priority", "now")];
    for (name, value) in rows {
        let (status, error) = error_of(with_header(&app, name, value).await).await;
        assert_eq!((status, error["code"].as_str()), (400, Some("invalid_value")), "{name}: {value}");
        assert_eq!(error["param"], json!(name));
        assert!(error["message"].as_str().unwrap().contains(name), "{error}");
    }
    for (name, value) in
        [("x-request-timeout", "30"), ("prefer", "respond-async, wait=30"), ("x-priority", "batch")]
    {
        assert_eq!(with_header(&app, name, value).await.status(), 200, "{name}: {value}");
    }
}

/// As RFC 7240 has it: a preference is no demand.
#[tokio::test]
async fn a_preference_that_makes_no_sense_is_passed_over() {
    let app = fake().await;
    for value in ["wait=-1", "wait=soon", "wait", "wait=", "respond-async; wait", "=,;\"", "wait=1e99"] {
        let name = "prefer";
        assert_eq!(with_header(&app, name, value).await.status(), 200, "{name}: {value}");
    }
}

#[tokio::test]
async fn a_queue_that_is_too_long_is_told_at_once_with_the_time_to_come_back() {
    let app = fake().await;
    // What the forecast goes by: this engine speaks some thirty characters in half a second.
    let known = app.audio(&slow(4)).await;
    assert!(!known.is_empty());
    let _first =
        app.speech(&json!({"input": slow(40)["input"], "normalize": false, "cache": false, "seed": 1})).await;
    for (name, value) in [("x-request-timeout", "0.1"), ("prefer", "wait=0.1")] {
        let asked = Instant::now();
        let response = with_header(&app, name, value).await;
        let took = asked.elapsed();
        assert_eq!(response.status(), 429, "{name}");
        let header = |name: &str| response.headers()[name].to_str().unwrap().parse::<u32>().unwrap();
        let seconds = header("retry-after");
        assert!((1..=60).contains(&seconds), "{seconds}");
        assert_eq!(header("retry-after-ms"), seconds * 1000);
        // Far above the milliseconds that it takes, far below the queue.
        assert!(took < Duration::from_secs(2), "{took:?}");
        let (_, error) = error_of(response).await;
        assert_eq!(error["code"], "deadline_unreachable", "{error}");
        assert!(error["message"].as_str().unwrap().contains(" s"), "the predicted wait is told: {error}");
    }
}

#[tokio::test]
async fn a_deadline_that_passes_while_the_model_loads_is_503_with_a_time_to_come_back() {
    // It never loads within a millisecond, so the one second of the server's own default is what ends the wait.
    let app = Setup::new(PROGRAM).with_fake_model().start().await;
    let url = format!("{}/v1/audio/speech", app.base);
    let body = json!({"input": "Hello.", "model": "builtin"});
    let response =
        app.client.post(url).header("x-request-timeout", "0.001").json(&body).send().await.unwrap();
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    let (_, error) = error_of(response).await;
    assert_eq!(error["code"], "deadline_passed", "{error}");
}
