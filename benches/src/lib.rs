//! What several benchmarks need: texts of any length, a listener that notes when the first sound came, and what server and
//! worker hold.

use anyhow::{Context as _, Result};
use futures_util::StreamExt as _;
use serde_json::json;
use std::path::Path;
use stentor_tests::{TestApp, app::Setup, process};
use tokio::time::{Duration, Instant, sleep};

/// Bytes of a WAV file before its first sample, and of one second of it.
const HEADER: usize = 44;
const SECOND: f64 = 48_000.0;

const WHO: [&str; 7] =
    ["The clockmaker", "A sailor", "Her brother", "The old nurse", "A stranger", "Nobody", "The baker"];
const DOES: [&str; 5] =
    ["walked down to", "was late again for", "dreamt of", "never spoke about", "went back to"];
const WHAT: [&str; 6] =
    ["the harbour", "a letter from home", "the long winter", "that broken bell", "the village", "her garden"];

/// `chars` characters of plain sentences, the same for the same `which` and others for another: a server keeps what it
/// has spoken, and must find none of it again.
pub fn text(chars: usize, which: usize) -> String {
    let mut text = String::with_capacity(chars + 100);
    for at in 0.. {
        if text.len() >= chars {
            break;
        }
        let turn = at + 3 * which;
        let (who, does) = (WHO[turn % WHO.len()], DOES[turn / 2 % DOES.len()]);
        let (what, day) = (WHAT[at % WHAT.len()], 31 * which + at);
        text.extend([who, " ", does, " ", what, ", and on day ", &day.to_string(), " it rained. "]);
    }
    text.truncate(chars);
    text
}

/// A server with the built-in model, on as many threads as there are cores, that keeps little on disk.
pub async fn server(program: &str) -> TestApp {
    let setup =
        Setup::new(program).arg("--threads", "0").arg("--cache-disk-mib", "64").arg("--max-waiting", "256");
    setup.keep_log().start().await
}

/// The program that the command line names, or the release build.
pub fn program(argument: Option<&str>) -> Result<String> {
    let path = argument.unwrap_or("target/release/stentor");
    let path = std::fs::canonicalize(Path::new(path)).with_context(|| path.to_owned())?;
    Ok(path.to_str().context("a UTF-8 path")?.to_owned())
}

/// One answer, heard to its end.
#[derive(Debug, Clone, Copy)]
pub struct Spoken {
    /// From the request to the first sample.
    pub first: Duration,
    pub audio_seconds: f64,
}

/// Speaks `input` as a WAV stream.
pub async fn speak(app: &TestApp, input: &str) -> Result<Spoken> {
    listen(app, input, "one", usize::MAX).await
}

/// As [`speak`], for the client with this key: a server without keys of its own takes any, and has clients take turns.
pub async fn speak_as(app: &TestApp, key: &str, input: &str) -> Result<Spoken> {
    listen(app, input, key, usize::MAX).await
}

/// How soon `input` is heard; what comes later is not waited for.
pub async fn first_audio(app: &TestApp, input: &str) -> Result<Duration> {
    let first = listen(app, input, "one", HEADER + 1).await?.first;
    // The engine is free again a quarter of a second after the client left.
    sleep(Duration::from_millis(500)).await;
    Ok(first)
}

/// Reads at least `enough` bytes, or all.
async fn listen(app: &TestApp, input: &str, key: &str, enough: usize) -> Result<Spoken> {
    let started = Instant::now();
    let request = app.client.post(format!("{}/v1/audio/speech", app.base)).bearer_auth(key);
    let response = request.json(&json!({"input": input, "response_format": "wav"})).send().await?;
    anyhow::ensure!(response.status().is_success(), "{}", response.text().await?);
    let (mut bytes, mut first) = (0, None);
    let mut body = response.bytes_stream();
    while let Some(piece) = body.next().await {
        bytes += piece?.len();
        if bytes > HEADER {
            first.get_or_insert_with(|| started.elapsed());
        }
        if bytes >= enough {
            break;
        }
    }
    Ok(Spoken {
        first: first.context("a sample")?,
        audio_seconds: bytes.saturating_sub(HEADER) as f64 / SECOND,
    })
}

/// Server and workers together.
#[derive(Debug, Clone, Copy, Default)]
pub struct Taken {
    pub rss_mib: f64,
    /// The sum of each one's highest.
    pub peak_mib: f64,
    pub cpu_seconds: f64,
}

impl Taken {
    pub fn by(app: &TestApp) -> Self {
        let mut taken = Self::default();
        for id in app.workers().into_iter().chain([app.pid()]) {
            taken.rss_mib += process::rss_kib(id) as f64 / 1024.0;
            taken.peak_mib += process::peak_rss_kib(id) as f64 / 1024.0;
            taken.cpu_seconds += process::cpu_seconds(id);
        }
        taken
    }
}
