//! Many requests with many voices on few cores: nothing hangs, and memory stays what it was.
//!
//! Servers of this kind have been seen to stop for ever at the eighth request or so, and to grow with each voice.

use super::{Plan, gauges_are_zero};
use crate::{
    figures::{Report, median, slope},
    load::{Load, Outcome},
    process::rss_kib,
    watch::Watch,
};
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep};

const CLIENTS: usize = 8;
const VOICES: usize = 200;
/// A request that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(120);
/// KiB that the server, or the worker, may grow by over the second half; four times as much where that half is short.
const GROWTH: f64 = 8.0 * 1024.0;

pub(super) async fn run(plan: &Plan, watch: &Watch) -> Report {
    let mut report = Report::new("the-eight-request-hang");
    // As many again as are counted: the heap is touched page by page long after the last voice was made.
    let requests = plan.times(2000, 24);
    // One thread per core, as the server starts by default.
    let app = plan.setup().arg("--threads", "0").start().await;
    let load = Load { patience: PATIENCE, ..Load::new(&app, watch, body) };
    let done = Arc::new(AtomicUsize::new(0));
    let (outcomes, samples) = {
        let work = load.closed_loop(CLIENTS, requests, &done);
        tokio::pin!(work);
        let mut samples = Vec::new();
        loop {
            tokio::select! {
                outcomes = &mut work => break (outcomes, samples),
                () = sleep(Duration::from_millis(100)) => {
                    let worker: u64 = app.workers().into_iter().map(rss_kib).sum();
                    let count = done.load(Ordering::Relaxed) as f64;
                    samples.push((count, rss_kib(app.pid()) as f64, worker as f64));
                }
            }
        }
    };
    let failed = outcomes.iter().find(|outcome| !outcome.is_ok());
    let failed = failed.map(|outcome| (outcome.index, outcome.end));
    report.bound(failed.is_none(), format!("not answered, e.g. {failed:?}"));
    report.figure("requests / voices", format!("{requests} / {}", VOICES.min(requests)));
    let millis: Vec<f64> = outcomes.iter().map(Outcome::millis).collect();
    report.figure("median answer ms", format!("{:.0}", median(&millis)));
    memory(&samples, requests as f64, plan.bound(GROWTH, 4.0), &mut report);
    report.figure("worker restarts", app.number("builtin", "worker_restarts").await);
    report.bound(app.number("builtin", "worker_restarts").await == 0, "a worker was lost");
    gauges_are_zero(&app, "builtin", &mut report).await;
    let asked = Instant::now();
    app.audio(&json!({"input": "And on we go."})).await;
    report.figure("one more, ms", asked.elapsed().as_millis());
    report
}

/// Each request has a voice and a text of its own, and nothing is kept of it.
fn body(index: usize) -> serde_json::Value {
    let voice = index % VOICES;
    json!({
        "input": format!("Request {index}, spoken by voice {voice}."),
        "voice": format!("rms({})+slt({})", voice + 1, VOICES - voice),
        "response_format": "wav",
        "cache": false,
    })
}

/// Slopes over the second half, when voices, threads and buffers have all been made once.
fn memory(samples: &[(f64, f64, f64)], requests: f64, most: f64, report: &mut Report) {
    let warm: Vec<_> = samples.iter().filter(|(done, ..)| *done >= requests / 2.0).collect();
    for (name, of) in [("server", 1), ("worker", 2)] {
        let point = |sample: &&(f64, f64, f64)| (sample.0, if of == 1 { sample.1 } else { sample.2 });
        let points: Vec<_> = warm.iter().map(point).collect();
        let slope = slope(&points);
        let last = points.last().map_or(0.0, |point| point.1);
        report.figure(format!("{name}: RSS MiB at the end"), format!("{:.1}", last / 1024.0));
        report.figure(format!("{name}: KiB per 100 requests"), format!("{:.1}", slope * 100.0));
        report.at_most(&format!("{name}: growth over the second half, KiB"), slope * requests / 2.0, most);
    }
}
