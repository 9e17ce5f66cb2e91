//! How soon a server that was just started can speak, how soon it is heard, and what it holds.
//!
//! `cargo build --release && cargo run --release -p stentor-benches --bin cold -- target/release/stentor`
//! Prints medians of eleven starts; `benches/NOTES.md` keeps them.

use anyhow::Result;
use std::{env, io::Write as _};
use stentor_benches::{Taken, first_audio, program, server, speak, text};
use stentor_tests::figures::{median, percentile};
use tokio::time::Instant;

const STARTS: usize = 11;
const LONG: usize = 10_000;

#[tokio::main]
async fn main() -> Result<()> {
    let program = program(env::args().nth(1).as_deref())?;
    // No mark lets anybody take a breath.
    let breathless = text(LONG, 1).replace([',', '.'], "");
    let (mut ready, mut first, mut second, mut unmarked) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut idle, mut last) = (Vec::new(), None);
    for _ in 0..STARTS {
        let started = Instant::now();
        let app = server(&program).await;
        ready.push(started.elapsed().as_secs_f64() * 1e3);
        idle.push(Taken::by(&app).rss_mib);
        first.push(first_audio(&app, &text(LONG, 2)).await?.as_secs_f64() * 1e3);
        second.push(first_audio(&app, &text(LONG, 3)).await?.as_secs_f64() * 1e3);
        unmarked.push(first_audio(&app, &breathless).await?.as_secs_f64() * 1e3);
        last = Some(app);
    }
    // The one that has spoken goes on, so that its peak is that of all it did.
    let mut spoken = None;
    if let Some(app) = &last {
        speak(app, &text(LONG, 5)).await?;
        spoken = Some(Taken::by(app));
    }
    let spoken = spoken.unwrap_or_default();
    let size = std::fs::metadata(&program)?.len() as f64 / 1e6;
    let mut out = std::io::stdout();
    writeln!(out, "| figure, median of {STARTS} starts | |\n|---|---|")?;
    writeln!(
        out,
        "| start to ready | {:.0} ms (slowest {:.0}) |",
        median(&ready),
        percentile(&ready, 100.0)
    )?;
    writeln!(out, "| first audio of the first request, {LONG} characters | {:.0} ms |", median(&first))?;
    writeln!(out, "| of a further one | {:.0} ms |", median(&second))?;
    writeln!(out, "| of one without a mark | {:.0} ms |", median(&unmarked))?;
    writeln!(out, "| server and worker, ready | {:.0} MiB |", median(&idle))?;
    writeln!(
        out,
        "| after {LONG} characters more | {:.0} MiB, peak {:.0} |",
        spoken.rss_mib, spoken.peak_mib
    )?;
    writeln!(out, "| program | {size:.1} MB |")?;
    Ok(())
}
