//! The server as its clients see it.

mod auth;
mod chatterbox;
mod connections;
mod contract;
mod deadlines;
mod errors;
mod fallback;
mod formats;
mod kokoro;
mod lexicon;
mod lifecycle;
mod long_texts;
mod metrics;
mod openapi;
mod page;
mod peers;
mod reload;
mod shapes;
mod sse;
mod ssml;
mod timestamps;
mod uploads;
mod voices;
mod wyoming;

use reqwest::Response;
use serde_json::{Value, json};
use stentor_tests::{TestApp, app::Setup};

const FORM: &str = "multipart/form-data; boundary=a-boundary";
const PROGRAM: &str = env!("CARGO_BIN_EXE_stentor-under-test");

/// A server whose default model is the built-in one.
async fn builtin() -> TestApp {
    Setup::new(PROGRAM).start().await
}

/// A server whose default model is the fake engine.
async fn fake() -> TestApp {
    Setup::new(PROGRAM).with_fake_model().start().await
}

/// Each sentence keeps the fake engine busy for half a second, in ten steps.
fn slow(sentences: usize) -> Value {
    json!({
        "input": "A slow sentence {slow n=50}.\n\n".repeat(sentences),
        "response_format": "wav",
        "normalize": false,
    })
}

/// The body of an upload, under the media type [`FORM`]. The file's own name and type are lies, which must not matter.
fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, content) in parts {
        let head = format!("--a-boundary\r\nContent-Disposition: form-data; name=\"{name}\"");
        body.extend(head.as_bytes());
        if *name == "audio_sample" {
            body.extend(b"; filename=\"../../../../etc/passwd\"\r\nContent-Type: image/png");
        }
        body.extend(b"\r\n\r\n");
        body.extend(*content);
        body.extend(b"\r\n");
    }
    body.extend(b"--a-boundary--\r\n");
    body
}

async fn send_form(app: &TestApp, body: Vec<u8>) -> Response {
    let url = format!("{}/v1/audio/voices", app.base);
    app.client.post(url).header("content-type", FORM).body(body).send().await.expect("an answer")
}

fn say(text: &str) -> Value {
    json!({ "input": text, "response_format": "wav" })
}
