//! The server as its clients see it.

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
mod page;
mod quirks;
mod reload;
mod sse;
mod ssml;
mod timestamps;
mod voices;

use serde_json::{Value, json};
use stentor_tests::{TestApp, app::Setup};

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

fn say(text: &str) -> Value {
    json!({ "input": text, "response_format": "wav" })
}
