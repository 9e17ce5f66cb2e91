//! Starts the given program, speaks a sentence in each format, decodes it, checks length and loudness.
//!
//! `stentor-smoke target/release/stentor`

use anyhow::{Context as _, Result};
use serde_json::json;
use std::{env, fs, io::Write as _};
use stentor_tests::{
    app::Setup,
    measure::{assert_is_speech, hear},
};
use stentor_types::AudioFormat;

const SENTENCE: &str = "Dr. Smith paid $2.5 million on May 5th, and it wasn’t a lot.";

#[tokio::main]
async fn main() -> Result<()> {
    let program = env::args().nth(1).context("usage: stentor-smoke PROGRAM")?;
    let program = fs::canonicalize(&program).with_context(|| program.clone())?;
    let app = Setup::new(program.to_str().context("a UTF-8 path")?).start().await;
    let mut out = std::io::stdout();
    writeln!(out, "format voice  bytes  seconds  level dB  peak")?;
    for format in AudioFormat::ALL {
        for voice in ["rms", "slt"] {
            let body = json!({"input": SENTENCE, "voice": voice, "response_format": format.name()});
            let bytes = app.audio(&body).await;
            let heard = hear(format, &bytes);
            let name = format.name();
            let (seconds, level, peak) = (heard.seconds, heard.level_db, heard.peak);
            writeln!(out, "{name:6} {voice:5} {:6} {seconds:8.2} {level:9.1} {peak:5.2}", bytes.len())?;
            assert_is_speech(heard, SENTENCE.len());
        }
    }
    anyhow::ensure!(app.get("/livez").await.status().is_success(), "/livez");
    Ok(())
}
