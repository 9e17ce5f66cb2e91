//! What a text costs by its length, and what clients wait by their number: time should grow in a line, memory not at all.
//!
//! `cargo build --release && cargo run --release -p stentor-benches --bin growth -- target/release/stentor`
//! `--longest 10000` leaves the longest texts out (200,000 characters are three hours and a half of speech), `--clients 16`
//! the most clients. Each row is a server of its own. `benches/NOTES.md` keeps the tables.

use anyhow::{Context as _, Result};
use futures_util::future::try_join_all;
use std::{env, io::Write as _, sync::Arc};
use stentor_benches::{Taken, program, server, speak, speak_as, text};
use stentor_tests::figures::percentile;
use tokio::time::Instant;

const LENGTHS: [usize; 8] = [10, 100, 300, 1000, 3000, 10_000, 50_000, 200_000];
const CLIENTS: [usize; 4] = [1, 4, 16, 64];
/// What each client says, in characters and times.
const SAYS: usize = 200;
const TIMES: usize = 3;

struct Limits {
    program: String,
    longest: usize,
    clients: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let limits = limits()?;
    let mut out = std::io::stdout();
    writeln!(out, "| characters | audio s | CPU s | CPU s per audio s | first audio ms | peak MiB |")?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    for chars in LENGTHS.into_iter().filter(|chars| *chars <= limits.longest) {
        writeln!(out, "{}", length(&limits.program, chars).await?)?;
    }
    writeln!(out, "\n| clients | audio s per s | CPU s per audio s | first audio p50, p95 ms | peak MiB |")?;
    writeln!(out, "|---|---|---|---|---|")?;
    for count in CLIENTS.into_iter().filter(|count| *count <= limits.clients) {
        writeln!(out, "{}", clients(&limits.program, count).await?)?;
    }
    Ok(())
}

fn limits() -> Result<Limits> {
    let mut limits = Limits { program: String::new(), longest: usize::MAX, clients: usize::MAX };
    let mut path = None;
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().context("a number").and_then(|text| Ok(text.parse()?));
        match argument.as_str() {
            "--longest" => limits.longest = number()?,
            "--clients" => limits.clients = number()?,
            _ => path = Some(argument),
        }
    }
    limits.program = program(path.as_deref())?;
    Ok(limits)
}

/// One text on a server that has said one sentence before.
async fn length(program: &str, chars: usize) -> Result<String> {
    let app = server(program).await;
    speak(&app, "This is what was said first.").await?;
    let before = Taken::by(&app).cpu_seconds;
    let spoken = speak(&app, &text(chars, 0)).await?;
    let taken = Taken::by(&app);
    let (audio, cpu) = (spoken.audio_seconds, taken.cpu_seconds - before);
    let first = spoken.first.as_secs_f64() * 1e3;
    let each = cpu / audio;
    Ok(format!("| {chars} | {audio:.1} | {cpu:.2} | {each:.4} | {first:.0} | {:.0} |", taken.peak_mib))
}

/// So many clients at once, each of which says something else again and again.
async fn clients(program: &str, count: usize) -> Result<String> {
    let app = Arc::new(server(program).await);
    speak(&app, "This is what was said first.").await?;
    let (before, started) = (Taken::by(&app).cpu_seconds, Instant::now());
    let client = |at: usize| {
        let (app, key) = (app.clone(), format!("client-{at}"));
        async move {
            let mut heard = Vec::new();
            for time in 0..TIMES {
                heard.push(speak_as(&app, &key, &text(SAYS, 1 + at * TIMES + time)).await?);
            }
            anyhow::Ok(heard)
        }
    };
    let heard = try_join_all((0..count).map(client)).await?.concat();
    let (wall, taken) = (started.elapsed().as_secs_f64(), Taken::by(&app));
    let audio: f64 = heard.iter().map(|spoken| spoken.audio_seconds).sum();
    let first: Vec<f64> = heard.iter().map(|spoken| spoken.first.as_secs_f64() * 1e3).collect();
    let (half, most) = (percentile(&first, 50.0), percentile(&first, 95.0));
    let (speed, each) = (audio / wall, (taken.cpu_seconds - before) / audio);
    Ok(format!("| {count} | {speed:.1} | {each:.4} | {half:.0}, {most:.0} | {:.0} |", taken.peak_mib))
}
