//! Clients that take all the time in the world: the server stays within bounds and serves others as before.

use super::{Plan, gauges_are_zero, settled};
use crate::{
    TestApp, clients,
    figures::{Report, median},
    load::{Load, Outcome},
    process::Holdings,
    watch::Watch,
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use stentor_testkit::FakeOptions;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

/// KiB that the server may take on top for them and for a thousand connections.
const MEMORY: f64 = 64.0 * 1024.0;
/// Files on top of one for each connection.
const FILES: usize = 40;

pub(super) async fn run(plan: &Plan, watch: &Watch) -> Report {
    let mut report = Report::new("slow-clients");
    let options = FakeOptions { slots: 2, step_ms: 2, samples_per_step: 1200, ..FakeOptions::default() };
    // The server starts with the limits that a user's shell gives it; this process takes what it may.
    let app = plan.setup().with_fake(&options).start().await;
    clients::raise_file_limit();
    let requests = plan.times(200, 30);
    let before = Holdings::of(app.pid());
    let alone = latency(&app, watch, requests, "alone").await;

    let idle = clients::idle(app.address(), plan.times(1000, 100)).await;
    report.figure("idle connections", idle.len());
    report.bound(idle.len() == plan.times(1000, 100), "idle connections were refused");
    let slow = slow_clients(&app, plan.times(10, 3)).await;
    let filled = buffers_are_full(&app, watch).await;
    report.figure("slow readers' buffers full after s", format!("{:.1}", filled.as_secs_f64()));
    let during = Holdings::of(app.pid());
    let beside = latency(&app, watch, requests, "beside").await;
    report.figure("median ms alone / beside", format!("{alone:.0} / {beside:.0}"));
    // The median of a small drill on a busy machine tells only being held up from not being held up.
    let (times, slack) = if plan.is_full() { (1.5, 10.0) } else { (3.0, 100.0) };
    report.at_most("others wait, ms", beside, alone * times + slack);
    let connections = idle.len() + slow.len();
    report.at_most("files", during.files as f64, (before.files + connections + FILES) as f64);
    let growth = during.rss_kib.saturating_sub(before.rss_kib);
    report.at_most("memory, KiB more", growth as f64, MEMORY);
    let threads = during.threads.saturating_sub(before.threads);
    report.at_most("threads more", threads as f64, 16.0);

    drop(idle);
    slow.iter().for_each(JoinHandle::abort);
    let after = settled(&app, &before, Duration::from_secs(20)).await;
    report.figure("server before", format!("{before:?}"));
    report.figure("server after", format!("{after:?}"));
    report.bound(after.is_back_to(&before), format!("{before:?} became {after:?} when they had left"));
    gauges_are_zero(&app, "fake", &mut report).await;
    report
}

/// Until then the slow readers' stories are spoken like any other: the kernel takes some megabytes for each.
async fn buffers_are_full(app: &TestApp, watch: &Watch) -> Duration {
    let _doing = watch.begin("waiting until the slow readers' buffers are full");
    let begun = Instant::now();
    let mut quiet = 0;
    while quiet < 5 {
        sleep(Duration::from_millis(300)).await;
        quiet = if app.number("fake", "chunks_active").await == 0 { quiet + 1 } else { 0 };
    }
    begun.elapsed()
}

/// `each` of every kind.
async fn slow_clients(app: &TestApp, each: usize) -> Vec<JoinHandle<()>> {
    let second = Duration::from_secs(1);
    let mut slow = Vec::new();
    for index in 0..each {
        let (long, short) = (story(index), body("slow", index));
        let reader = clients::slow_reader(app.address(), &long, second / 10);
        let writer = clients::slow_writer(app.address(), &short, second);
        let half = clients::half_open(app.address(), &short);
        for client in [reader.await, writer.await, half.await] {
            slow.push(client.expect("a connection"));
        }
    }
    slow
}

/// Median milliseconds of a short request.
async fn latency(app: &TestApp, watch: &Watch, requests: usize, name: &'static str) -> f64 {
    let load = Load::new(app, watch, move |index| body(name, index));
    let outcomes = load.closed_loop(2, requests, &Arc::default()).await;
    assert!(outcomes.iter().all(Outcome::is_ok), "{name}: a request was not answered");
    median(&outcomes.iter().map(Outcome::millis).collect::<Vec<_>>())
}

fn body(name: &str, index: usize) -> Value {
    json!({
        "model": "fake",
        "input": format!("A short request, {name}, number {index}."),
        "response_format": "pcm",
        "cache": false,
    })
}

/// Far more than the kernel holds for a client that does not read.
fn story(index: usize) -> Value {
    let paragraph = |part: usize| format!("Paragraph {part} of story {index}.\n\n");
    json!({
        "model": "fake",
        "input": (0..5000).map(paragraph).collect::<String>(),
        "response_format": "pcm",
        "cache": false,
    })
}
