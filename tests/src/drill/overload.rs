//! More requests than the engine can serve: what is served stays as much as before, the rest is told so at once.

use super::{Plan, gauges_are_zero};
use crate::{
    TestApp,
    figures::{Report, median, percentile},
    load::{End, Load, Outcome},
    watch::Watch,
};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use stentor_testkit::FakeOptions;

/// Of capacity.
const LOADS: [f64; 4] = [0.5, 1.0, 2.0, 5.0];
/// Seconds after which a client wants to hear something, and says so.
const DEADLINE: u64 = 1;
/// It leaves after this long.
const PATIENCE: Duration = Duration::from_secs(2);
/// Goodput beyond capacity, as a share of that at capacity.
const LEAST_SHARE: f64 = 0.8;
const STEPS: u64 = 10;
/// A chunk then takes 50 ms, and every request is one chunk.
const STEP_MS: u64 = 5;

pub(super) async fn run(plan: &Plan, watch: &Watch) -> Report {
    let mut report = Report::new("overload");
    let options = FakeOptions { steps: STEPS, step_ms: STEP_MS, ..FakeOptions::default() };
    let app = plan.setup().with_fake(&options).start().await;
    let capacity = capacity(&app, watch, plan.times(200, 20)).await;
    report.figure("capacity, requests/s", format!("{capacity:.1}"));
    let time = plan.seconds(30.0, 3.0);
    let mut at_capacity = f64::NAN;
    for load in LOADS {
        let outcomes = offer(&app, watch, capacity * load, time).await;
        let goodput = goodput(&outcomes, time);
        let rejects = millis(&outcomes, End::Whole(429));
        let (good, late) = (millis(&outcomes, End::Whole(200)), millis(&outcomes, End::TimedOut));
        report.figure(
            format!("{load}x: sent / good / refused / late"),
            format!("{} / {} / {} / {}", outcomes.len(), good.len(), rejects.len(), late.len()),
        );
        report.figure(format!("{load}x: goodput, requests/s"), format!("{goodput:.1}"));
        report.figure(
            format!("{load}x: answer ms, median / p99"),
            format!("{:.0} / {:.0}", median(&good), percentile(&good, 99.0)),
        );
        if load == 1.0 {
            at_capacity = goodput;
        }
        if load > 1.0 {
            let least = LEAST_SHARE * at_capacity;
            report.bound(goodput >= least, format!("{load}x: goodput {goodput:.1} is less than {least:.1}"));
            report.bound(!rejects.is_empty(), format!("{load}x: nobody was refused"));
            // Client and server share a busy test machine, so a small drill gets ten times as long.
            let most = plan.bound(50.0, 10.0);
            report.at_most(&format!("{load}x: refusal p99 ms"), percentile(&rejects, 99.0), most);
        }
        let known = |outcome: &&Outcome| matches!(outcome.end, End::Whole(200 | 429) | End::TimedOut);
        let odd = outcomes.iter().find(|outcome| !known(outcome)).map(|outcome| outcome.end);
        report
            .bound(odd.is_none(), format!("{load}x: an answer that is neither speech nor refusal: {odd:?}"));
    }
    gauges_are_zero(&app, "fake", &mut report).await;
    report
}

/// Good answers a second, up to the last of them: a queue that is worked off afterwards is not for nothing.
fn goodput(outcomes: &[Outcome], time: Duration) -> f64 {
    let good = || outcomes.iter().filter(|outcome| outcome.is_ok());
    let first = outcomes.iter().map(|outcome| outcome.sent).min();
    let last = good().map(|outcome| outcome.sent + outcome.took).max();
    let span = last.zip(first).map_or(time, |(last, first)| time.max(last - first));
    good().count() as f64 / span.as_secs_f64()
}

/// Answers a second when somebody always waits.
async fn capacity(app: &TestApp, watch: &Watch, requests: usize) -> f64 {
    let load = Load::new(app, watch, |index| body("Warm-up", index));
    let begun = tokio::time::Instant::now();
    let outcomes = load.closed_loop(4, requests, &Arc::default()).await;
    assert!(outcomes.iter().all(Outcome::is_ok), "the server is not well before the load");
    requests as f64 / begun.elapsed().as_secs_f64()
}

async fn offer(app: &TestApp, watch: &Watch, rate: f64, time: Duration) -> Vec<Outcome> {
    let name = format!("At {rate:.1} a second");
    let load = Load::new(app, watch, move |index| body(&name, index));
    Load { patience: PATIENCE, deadline: Some(DEADLINE), ..load }.open_loop(rate, time).await
}

/// One short chunk, and no two alike.
fn body(name: &str, index: usize) -> serde_json::Value {
    let input = format!("{name}, request {index}.");
    json!({"model": "fake", "input": input, "response_format": "pcm", "cache": false, "normalize": false})
}

fn millis(outcomes: &[Outcome], end: End) -> Vec<f64> {
    outcomes.iter().filter(|outcome| outcome.end == end).map(Outcome::millis).collect()
}
