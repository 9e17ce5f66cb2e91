//! Each metric is moved by what it counts.

use super::{PROGRAM, fake, say, slow};
use serde_json::json;
use std::{collections::BTreeSet, time::Duration};
use stentor_tests::{TestApp, app::Setup, process::kill};
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    time::{sleep, timeout},
};

/// The value of the line that begins with `series`, or zero.
async fn value(app: &TestApp, series: &str) -> f64 {
    let page = app.get("/metrics").await.text().await.expect("text");
    let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.map_or(0.0, |value| value.parse().expect("a number"))
}

/// The value of what counts whole things.
async fn count(app: &TestApp, series: &str) -> u64 {
    value(app, series).await as u64
}

async fn wait_for(app: &TestApp, series: &str, wanted: u64) {
    let waiting = async {
        while count(app, series).await < wanted {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(30), waiting)
        .await
        .unwrap_or_else(|_| panic!("{series} does not reach {wanted}"));
}

#[tokio::test]
async fn a_request_is_counted_with_its_times_its_text_and_its_sound() {
    let app = fake().await;
    // What the server had its model speak before is no request.
    assert!(value(&app, "tts_audio_seconds_total{model=\"fake\"}").await < 1e-9);
    app.audio(&say("Hello.")).await;
    app.error(&json!({"input": ""})).await;
    let one = |status: u16, model: &str, format: &str| {
        format!("tts_requests_total{{model=\"{model}\",format=\"{format}\",status=\"{status}\"}}")
    };
    assert_eq!(count(&app, &one(200, "fake", "wav")).await, 1);
    assert_eq!(count(&app, &one(400, "none", "none")).await, 1);
    assert_eq!(count(&app, "tts_input_chars_total{model=\"fake\"}").await, 6);
    assert!(value(&app, "tts_audio_seconds_total{model=\"fake\"}").await > 0.05);
    for histogram in ["tts_queue_seconds", "tts_ttfa_seconds", "tts_request_seconds"] {
        assert_eq!(count(&app, &format!("{histogram}_count{{model=\"fake\"}}")).await, 1, "{histogram}");
    }
    assert_eq!(count(&app, "tts_model_loaded{model=\"fake\"}").await, 1);
    assert_eq!(count(&app, "tts_model_state{model=\"fake\",state=\"ready\"}").await, 1);
    assert_eq!(count(&app, "tts_model_state{model=\"builtin\",state=\"unloaded\"}").await, 1);
    assert_eq!(count(&app, "tts_slots_capacity{model=\"fake\"}").await, 1);
}

#[tokio::test]
async fn what_runs_waits_is_refused_and_is_cancelled_is_counted() {
    let app = Setup::new(PROGRAM).with_fake_model().arg("--max-waiting", "1").start().await;
    let (first, second) = (app.speech(&slow(400)).await, app.speech(&slow(401)).await);
    assert_eq!(app.speech(&say("Hello.")).await.status(), 429);
    assert_eq!(count(&app, "tts_rejected_total{reason=\"queue_full\"}").await, 1);
    assert_eq!(count(&app, "tts_requests_running{model=\"fake\"}").await, 2);
    drop((first, second));
    wait_for(&app, "tts_cancelled_total{model=\"fake\"}", 2).await;
    assert_eq!(count(&app, "tts_requests_running{model=\"fake\"}").await, 0);
    assert_eq!(count(&app, "tts_requests_waiting{model=\"fake\"}").await, 0);
}

#[tokio::test]
async fn a_client_that_leaves_while_it_sends_is_499_and_one_that_sends_wrong_chunks_is_400() {
    let app = fake().await;
    let of =
        |status: u16| format!("tts_requests_total{{model=\"none\",format=\"none\",status=\"{status}\"}}");
    let send = async |rest: &str| {
        let mut client = TcpStream::connect(app.address()).await.expect("a connection");
        let head = format!("POST /v1/audio/speech HTTP/1.1\r\nhost: x\r\n{rest}");
        client.write_all(head.as_bytes()).await.expect("it is open");
        client
    };
    drop(send("content-length: 1000\r\n\r\n{\"input").await);
    wait_for(&app, &of(499), 1).await;
    let _open = send("transfer-encoding: chunked\r\n\r\nthis is no length\r\n").await;
    wait_for(&app, &of(400), 1).await;
    assert_eq!(count(&app, &of(499)).await, 1);
}

#[tokio::test]
async fn a_dead_worker_is_a_restart_and_a_replay() {
    let app = fake().await;
    let response = app.speech(&slow(6)).await;
    kill(app.workers()[0], "-KILL");
    response.bytes().await.expect("the whole body");
    assert_eq!(count(&app, "tts_engine_restarts_total{model=\"fake\"}").await, 1);
    assert!(count(&app, "tts_chunk_replays_total{model=\"fake\"}").await >= 1);
}

#[tokio::test]
async fn a_request_sent_again_comes_from_the_store_and_one_that_opts_out_does_not() {
    let app = fake().await;
    let hits = "tts_chunk_store_hits_total{tier=\"memory\"}";
    let first = app.audio(&say("Hello there.")).await;
    assert_eq!(count(&app, hits).await, 0);
    assert_eq!(count(&app, "tts_chunk_store_stored_total").await, 1);
    assert_eq!(app.audio(&say("Hello there.")).await, first);
    assert_eq!(count(&app, hits).await, 1);
    for (field, value_of) in [("cache", json!(false)), ("seed", json!("random"))] {
        let mut body = say("Hello there.");
        body[field] = value_of;
        app.audio(&body).await;
        assert_eq!(count(&app, hits).await, 1, "{field}");
    }
    assert_eq!(count(&app, "tts_chunk_store_stored_total").await, 1);
}

#[tokio::test]
async fn no_word_of_a_client_becomes_a_label() {
    let app = fake().await;
    app.error(
        &json!({"input": "x", "model": "wild-model", "voice": "wild-voice", "response_format": "wild"}),
    )
    .await;
    app.error(&json!({"input": "x", "model": "wild-model"})).await;
    let response = app.get("/metrics").await;
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    let page = response.text().await.unwrap();
    assert!(!page.contains("wild"), "{page}");
    assert!(page.contains("build_info{version=") && page.ends_with("# EOF\n"), "{page}");
}

#[tokio::test]
async fn every_metric_is_explained_and_nothing_else_is() {
    let app = fake().await;
    // Some are there only once they have counted something.
    drop(app.speech(&slow(40)).await);
    app.error(&json!({"input": "Hello.", "model": "kokoro"})).await;
    let url = format!("{}/v1/audio/speech", app.base);
    let hurried = json!({"input": "Hello.", "model": "builtin"});
    app.client.post(url).header("x-request-timeout", "0.001").json(&hurried).send().await.expect("an answer");
    wait_for(&app, "tts_cancelled_total{model=\"fake\"}", 1).await;

    let shown = app.get("/metrics").await.text().await.expect("text");
    let page = include_str!("../../docs/METRICS.md");
    let documented: BTreeSet<_> = page
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| `")?.split(['`', '{']).next()?.to_owned()))
        .collect();
    let exported: BTreeSet<_> = shown
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(name, kind)| match kind {
            "counter" => format!("{name}_total"),
            "info" => format!("{name}_info"),
            _ => name.to_owned(),
        })
        .collect();
    assert_eq!(documented, exported);
}
