//! Bad input of every kind gets a clear error of OpenAI's shape, and the server goes on.

use super::{PROGRAM, fake, say, slow};
use reqwest::StatusCode;
use serde_json::json;
use stentor_tests::app::{Setup, error_of};

#[tokio::test]
async fn bad_requests_name_the_field_at_fault() {
    let app = fake().await;
    let rows = [
        (json!({}), 400, "missing_field", "input"),
        (json!({"input": ""}), 400, "missing_field", "input"),
        (json!({"input": "Hi.", "speed": 9}), 400, "invalid_value", "speed"),
        (json!({"input": "Hi.", "response_format": "ogg"}), 400, "invalid_value", "response_format"),
        (json!({"input": "Hi.", "stream_format": "ndjson"}), 400, "invalid_value", "stream_format"),
        (json!({"input": "Hi.", "voice": "nobody"}), 400, "voice_not_found", "voice"),
        (json!({"input": "Hi.", "voice": "../../etc/passwd"}), 400, "voice_not_found", "voice"),
        (json!({"input": "Hi.", "model": "kokorro"}), 404, "model_not_found", "model"),
        (json!({"input": "Hi.", "model": "kokoro"}), 404, "model_not_installed", "model"),
        (json!({"input": "Bonjour.", "language": "tlh"}), 400, "language_not_supported", "language"),
        (json!({"input": "🎉🎉🎉"}), 400, "input_not_speakable", "input"),
        (json!({"input": "a\u{0}b"}), 400, "invalid_value", "input"),
    ];
    for (body, status, code, param) in rows {
        let (got, error) = app.error(&body).await;
        assert_eq!(
            (got, &error["code"], &error["param"]),
            (status, &json!(code), &json!(param)),
            "{body}: {error}"
        );
    }
    app.audio(&say("Still here.")).await;
}

#[tokio::test]
async fn what_is_not_json_is_answered_400() {
    let app = fake().await;
    let bodies: [&[u8]; 6] =
        [b"", b"{", b"[1]", b"{\"input\":\"\\ud800\"}", b"{\"input\":\"a\0b\"}", b"{\"input\":\"\xff\xfe\"}"];
    for body in bodies {
        let url = format!("{}/v1/audio/speech", app.base);
        let response = app.client.post(url).body(body).send().await.unwrap();
        let (status, error) = error_of(response).await;
        assert_eq!((status, error["code"].as_str()), (400, Some("invalid_json")), "{body:?}");
    }
}

#[tokio::test]
async fn unknown_routes_and_methods_have_the_same_shape() {
    let app = fake().await;
    let (status, error) = error_of(app.get("/v1/nothing").await).await;
    assert_eq!((status, error["code"].as_str()), (404, Some("not_found")));
    let (status, error) = error_of(app.get("/v1/audio/speech").await).await;
    assert_eq!((status, error["code"].as_str()), (405, Some("method_not_allowed")));
    for response in [app.get("/v1/models/%FF%FE").await, app.post("/v1/models/%FF%FE", &json!({})).await] {
        let (status, error) = error_of(response).await;
        assert_eq!((status, error["code"].as_str()), (400, Some("invalid_value")));
        assert_eq!(error["message"], "the model's name in the path is not UTF-8");
    }
}

#[tokio::test]
async fn too_much_text_is_413_and_the_limit_is_told() {
    let app = fake().await;
    let (status, error) = app.error(&say(&"word ".repeat(420_000))).await;
    assert_eq!((status, error["code"].as_str()), (413, Some("input_too_large")));
    assert!(error["message"].as_str().unwrap().contains("1048576"), "{error}");
    let (status, error) = app.error(&say(&"word ".repeat(1_200_000))).await;
    assert_eq!((status, error["code"].as_str()), (413, Some("body_too_large")));
    let whole = json!({"input": "word ".repeat(10_000), "stream": false});
    let (status, error) = app.error(&whole).await;
    assert_eq!((status, error["param"].as_str()), (413, Some("stream")));
}

#[tokio::test]
async fn an_unknown_voice_is_answered_with_the_nearest_ones() {
    let app = super::builtin().await;
    let (status, error) = app.error(&json!({"input": "Hi.", "voice": "rsm"})).await;
    assert_eq!(status, 400);
    assert!(error["message"].as_str().unwrap().contains("rms"), "{error}");
}

#[tokio::test]
async fn a_full_queue_is_429_with_retry_after_and_readiness_stays() {
    let app = stentor_tests::app::Setup::new(super::PROGRAM)
        .with_fake_model()
        .arg("--max-waiting", "1")
        .start()
        .await;
    // The engine speaks one at a time and one may wait.
    let (first, second) = (app.speech(&slow(40)).await, app.speech(&slow(40)).await);
    assert_eq!((first.status(), second.status()), (StatusCode::OK, StatusCode::OK));
    let refused = app.speech(&say("Hello.")).await;
    let wait: u32 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait));
    let (status, error) = error_of(refused).await;
    assert_eq!((status, error["type"].as_str()), (429, Some("rate_limit_error")));
    assert_eq!(app.get("/readyz").await.status(), 200);
}

#[tokio::test]
async fn one_paragraph_in_unreadable_signs_does_not_end_the_story() {
    let app = super::builtin().await;
    let seconds = async |input: &str| {
        let body = json!({"input": input, "response_format": "pcm"});
        app.audio(&body).await.len() as f64 / 48_000.0
    };
    let plain = seconds("Hello there, first.\n\nAnd the end.").await;
    let mixed = seconds("Hello there, first.\n\n⠓⠑⠇⠇⠕\n\nAnd the end.").await;
    assert!(mixed > plain - 0.1, "{mixed} s with the signs, {plain} s without");
}

#[tokio::test]
async fn many_unknown_fields_leave_a_header_that_clients_can_read() {
    let app = fake().await;
    let mut body = say("Hi.");
    for i in 0..5000 {
        body[format!("fünf{i}")] = json!(i);
    }
    let response = app.speech(&body).await;
    assert_eq!(response.status(), 200);
    let header = response.headers()["x-ignored-params"].to_str().unwrap().to_owned();
    assert!(header.len() < 2000 && header.contains("more"), "{header}");
}

#[tokio::test]
async fn pauses_cannot_fill_the_memory_of_a_whole_file() {
    let app = fake().await;
    let body = json!({"input": "Hi. [pause:10s] ".repeat(400), "stream": false});
    let (status, error) = app.error(&body).await;
    assert_eq!((status, error["param"].as_str()), (413, Some("stream")), "{error}");
}

/// Whatever a route is for, nobody makes it hold more than it needs.
#[tokio::test]
async fn every_route_has_a_limit_on_its_body() {
    let setup = Setup::new(PROGRAM).with_fake_model().arg("--max-input-bytes", "1000");
    let app = setup.arg("--max-voice-mib", "1").start().await;
    let send = |method: reqwest::Method, path: &str, bytes: usize| {
        let request = app.client.request(method, format!("{}{path}", app.base));
        let request = request.header("content-type", "multipart/form-data; boundary=x");
        request.body(vec![b' '; bytes]).send()
    };
    for (path, fits) in [
        ("/v1/audio/speech", 4 * 1000 + 64 * 1024),
        ("/v1/audio/voices", (1 << 20) + 64 * 1024),
        ("/v1/models/load", 16 * 1024),
        ("/v1/models/unload", 16 * 1024),
    ] {
        let (status, _) = error_of(send(reqwest::Method::POST, path, fits).await.expect("an answer")).await;
        assert_eq!(status, 400, "{path}: it is read and makes no sense");
        let more = send(reqwest::Method::POST, path, fits + 1).await.expect("an answer");
        let (status, error) = error_of(more).await;
        assert_eq!((status, error["code"].as_str()), (413, Some("body_too_large")), "{path}");
    }
    for path in ["/v1/models", "/v1/audio/voices", "/livez", "/metrics"] {
        let answer = send(reqwest::Method::GET, path, 1000).await.expect("an answer");
        assert_eq!(answer.status(), 200, "{path}: a body that nobody wants is not looked at");
    }
}

/// Whoever reads the log must be able to trust that each line is the server's own.
#[tokio::test]
async fn a_name_with_line_breaks_writes_no_line_of_its_own_into_the_log() {
    let app = Setup::new(PROGRAM).with_fake_model().keep_log().start().await;
    let forged = "x\r\n2026-01-01T00:00:00Z ERROR all is lost\u{0}\u{7}";
    let (status, error) = app.error(&json!({"input": "Hello.", "voice": forged})).await;
    assert_eq!((status, error["code"].as_str()), (400, Some("voice_not_found")));
    let log = app.log();
    assert!(log.contains("ERROR all is lost"), "the name is in the log: {log}");
    assert!(!log.lines().any(|line| line.starts_with("2026-01-01T00:00:00Z")), "{log}");
    assert!(!log.contains(['\0', '\u{7}', '\r']), "{log}");
}
