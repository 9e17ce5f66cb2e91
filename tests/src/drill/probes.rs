//! Probes while both cores synthesize: an orchestrator must never take a busy server for a dead one.

use super::Plan;
use crate::{
    TestApp,
    figures::{Report, median, percentile},
    load::Load,
    probe::{Probes, probe},
    watch::Watch,
};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;

const STORIES: usize = 4;
const PAUSE: Duration = Duration::from_millis(20);
const STORY: &str = "Once upon a time, in a village by the sea, there lived a clockmaker who was always late. \
    His clocks were the best in the land, and yet he never knew what time it was. ";

pub(super) async fn run(plan: &Plan, watch: &Watch) -> Report {
    let mut report = Report::new("probes");
    let busy_time = plan
        .minutes
        .map_or_else(|| plan.seconds(600.0, 5.0), |minutes| Duration::from_secs_f64(minutes * 60.0));
    let idle_time = busy_time.min(Duration::from_secs(60));
    let app = plan.setup().arg("--threads", "0").start().await;
    let (mut idle, mut busy) = (Vec::new(), Vec::new());
    for run in 1..=plan.runs {
        let _doing = watch.begin(format!("run {run} of {}", plan.runs));
        idle.push(probe(app.address(), "/livez", PAUSE, idle_time).await);
        busy.push(while_speaking(&app, watch, busy_time).await);
    }
    report.figure("runs / minutes each", format!("{} / {:.1}", plan.runs, busy_time.as_secs_f64() / 60.0));
    let p99 = |all: &[Probes], of: fn(&Probes) -> &Vec<f64>| {
        median(&all.iter().map(|probes| percentile(of(probes), 99.0)).collect::<Vec<_>>())
    };
    report.figure("connect p99 ms, idle", format!("{:.2}", p99(&idle, |probes| &probes.connect_ms)));
    report.figure("/livez p99 ms, idle", format!("{:.2}", p99(&idle, |probes| &probes.answer_ms)));
    // Others share a test machine: there the bound only tells a server that answers from one that waits.
    let most = plan.bound(10.0, 15.0);
    report.at_most("connect p99 ms, busy", p99(&busy, |probes| &probes.connect_ms), most);
    report.at_most("/livez p99 ms, busy", p99(&busy, |probes| &probes.answer_ms), most);
    let slowest = busy.iter().flat_map(|probes| &probes.answer_ms).copied().fold(0.0, f64::max);
    report.figure("/livez slowest ms, busy", format!("{slowest:.2}"));
    let failed: usize = idle.iter().chain(&busy).map(|probes| probes.failed).sum();
    report.bound(failed == 0, format!("{failed} probes failed"));
    report
}

/// Probes while several long texts are spoken from the first probe to the last.
async fn while_speaking(app: &TestApp, watch: &Watch, time: Duration) -> Probes {
    let load = Load { patience: time * 2, ..Load::new(app, watch, story) };
    let done = Arc::default();
    let speaking = load.closed_loop(STORIES, usize::MAX, &done);
    let work = async {
        app.wait_until("builtin", |model| model["chunks_active"] != 0).await;
        let probes = probe(app.address(), "/livez", PAUSE, time).await;
        let active = app.number("builtin", "chunks_active").await;
        assert!(active > 0, "the engine was idle when the probes ended");
        probes
    };
    let probes = tokio::select! {
        probes = work => probes,
        _ = speaking => unreachable!("there is always another story"),
    };
    // The engine lets go of what nobody hears.
    sleep(Duration::from_millis(500)).await;
    probes
}

/// Hours of speech, each time of another text.
fn story(index: usize) -> serde_json::Value {
    let text = format!("Story {index}. {}", STORY.repeat(400));
    json!({"input": text, "response_format": "pcm", "cache": false})
}
