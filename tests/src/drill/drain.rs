//! SIGTERM at random moments under load: what has begun is finished, then the server is gone.

use super::Plan;
use crate::{
    figures::Report,
    load::{End, Load, Outcome},
    process::{is_alive, kill},
    random::Random,
    watch::Watch,
};
use bytes::Bytes;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use stentor_testkit::FakeOptions;
use tokio::time::{Instant, sleep};

const CLIENTS: usize = 4;
/// Seconds between the signal and the end of accepting: what was on its way to the server gets in.
const DELAY: &str = "1";
/// Seconds after that for what is being spoken.
const BUDGET: u64 = 30;

pub(super) async fn run(plan: &Plan, watch: &Watch) -> Report {
    let mut report = Report::new("drain");
    report.figure("seed", plan.seed);
    let mut random = Random::new(plan.seed);
    let mut totals = [0; 4];
    let mut slowest = Duration::ZERO;
    let rounds = plan.times(20, 2);
    for round in 0..rounds {
        let _doing = watch.begin(format!("round {round} of {rounds}"));
        let moment = Duration::from_millis(200 + random.below(1500) as u64);
        let (round, took) = once(plan, watch, moment, &mut report).await;
        totals.iter_mut().zip(round).for_each(|(total, count)| *total += count);
        slowest = slowest.max(took);
    }
    let [whole, cut, wrong, unanswered] = totals;
    report.figure("rounds", rounds);
    report.figure("whole / cut / wrong / unanswered", format!("{whole} / {cut} / {wrong} / {unanswered}"));
    report.figure("slowest end s", format!("{:.1}", slowest.as_secs_f64()));
    report.bound(cut == 0, format!("{cut} streams were cut"));
    report.bound(wrong == 0, format!("{wrong} bodies differ from an undisturbed run"));
    report.bound(unanswered == 0, format!("{unanswered} requests from before the signal got no answer"));
    report.bound(whole >= rounds, "hardly anything was under way");
    report
}

/// Counts of streams from one server's life, and how long it took to end.
async fn once(plan: &Plan, watch: &Watch, moment: Duration, report: &mut Report) -> ([usize; 4], Duration) {
    let options = FakeOptions { slots: 2, step_ms: 4, ..FakeOptions::default() };
    let app = plan.setup().with_fake(&options).arg("--drain-delay", DELAY);
    let mut app = app.arg("--drain-timeout", &BUDGET.to_string()).start().await;
    let load = Load::new(&app, watch, story);
    let expected = load.ask(0).await;
    assert!(expected.is_ok(), "undisturbed: {:?}", expected.end);
    let worker = app.workers();
    let flood = async move { load.closed_loop(CLIENTS, 200, &Arc::default()).await };
    let flood = tokio::spawn(flood);
    sleep(moment).await;
    kill(app.pid(), "-TERM");
    let told = Instant::now();
    let status = app.ended().await;
    let took = told.elapsed();
    report.bound(status.success(), format!("the server ended with {status}"));
    report.bound(took < Duration::from_secs(BUDGET + 5), format!("the end took {took:?}"));
    report.bound(!worker.into_iter().any(is_alive), "a worker outlives its server");
    let outcomes = flood.await.expect("the clients end");
    (count(&outcomes, &expected.body, told), took)
}

fn count(outcomes: &[Outcome], expected: &Bytes, told: Instant) -> [usize; 4] {
    let of = |is: &dyn Fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| is(outcome)).count();
    let cut = |end: End| matches!(end, End::Cut(_) | End::TimedOut);
    [
        of(&|outcome| outcome.is_ok()),
        of(&|outcome| cut(outcome.end)),
        of(&|outcome| outcome.is_ok() && outcome.body != *expected),
        of(&|outcome| outcome.end == End::Unanswered && outcome.sent < told),
    ]
}

/// Ten chunks of 40 ms, synthesized anew each time.
fn story(_: usize) -> Value {
    let paragraph = |index: usize| format!("Paragraph {index}, which goes on for a while.\n\n");
    let text: String = (0..10).map(paragraph).collect();
    json!({"model": "fake", "input": text, "response_format": "pcm", "seed": 9, "cache": false})
}
