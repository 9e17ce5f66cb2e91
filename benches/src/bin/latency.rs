//! How soon the first sound comes, and how soon a probe is answered while four long texts are spoken.
//!
//! `cargo build --release && cargo run --release -p stentor-benches --bin latency -- target/release/stentor`
//! Prints the median of five runs of each figure; `benches/NOTES.md` keeps them.

use anyhow::{Context as _, Result};
use futures_util::StreamExt as _;
use serde_json::json;
use std::{env, io::Write as _};
use stentor_tests::{TestApp, app::Setup};
use tokio::time::{Duration, Instant, sleep};

const RUNS: usize = 5;
const PROBES: usize = 300;
const STORY: &str = "Once upon a time, in a village by the sea, there lived a clockmaker who was always late. \
    His clocks were the best in the land, and yet he never knew what time it was. ";

#[tokio::main]
async fn main() -> Result<()> {
    let program = env::args().nth(1).unwrap_or_else(|| "target/release/stentor".to_owned());
    let program = std::fs::canonicalize(&program).with_context(|| program.clone())?;
    let app = Setup::new(program.to_str().context("a UTF-8 path")?).arg("--threads", "0").start().await;

    let mut first_byte = Vec::new();
    let (mut idle, mut busy, mut ratio) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        first_byte.push(first_byte_ms(&app).await?);
        let quiet = probe_p99_ms(&app).await?;
        let loud = probe_p99_while_speaking_ms(&app).await?;
        idle.push(quiet);
        busy.push(loud);
        ratio.push(loud / quiet);
    }
    let mut out = std::io::stdout();
    writeln!(out, "| figure, median of {RUNS} | ms |\n|---|---|")?;
    writeln!(out, "| first audio byte, long story, idle server | {:.0} |", median(&mut first_byte))?;
    writeln!(out, "| /livez p99, idle | {:.2} |", median(&mut idle))?;
    writeln!(out, "| /livez p99, four long syntheses | {:.2} |", median(&mut busy))?;
    writeln!(out, "| ratio busy / idle | {:.1} |", median(&mut ratio))?;
    Ok(())
}

async fn first_byte_ms(app: &TestApp) -> Result<f64> {
    let started = Instant::now();
    let mut body = speak(app).await?.bytes_stream();
    body.next().await.context("a first byte")??;
    let ms = started.elapsed().as_secs_f64() * 1e3;
    drop(body);
    sleep(Duration::from_millis(500)).await;
    Ok(ms)
}

async fn probe_p99_while_speaking_ms(app: &TestApp) -> Result<f64> {
    let mut readers = Vec::new();
    for _ in 0..4 {
        let mut body = speak(app).await?.bytes_stream();
        readers.push(tokio::spawn(async move { while body.next().await.is_some() {} }));
    }
    let result = probe_p99_ms(app).await;
    for reader in readers {
        anyhow::ensure!(!reader.is_finished(), "a story ended before the probes did");
        reader.abort();
    }
    sleep(Duration::from_millis(500)).await;
    result
}

async fn speak(app: &TestApp) -> Result<reqwest::Response> {
    let body = json!({"input": STORY.repeat(400), "response_format": "wav"});
    let response = app.speech(&body).await;
    anyhow::ensure!(response.status().is_success(), "{}", response.text().await?);
    Ok(response)
}

/// A new connection for each probe, as an orchestrator makes it.
async fn probe_p99_ms(app: &TestApp) -> Result<f64> {
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build()?;
    let url = format!("{}/livez", app.base);
    let mut times = Vec::with_capacity(PROBES);
    for _ in 0..PROBES {
        let started = Instant::now();
        client.get(&url).send().await?.error_for_status()?.bytes().await?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
        sleep(Duration::from_millis(10)).await;
    }
    times.sort_by(f64::total_cmp);
    Ok(times[PROBES * 99 / 100])
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
