//! Workers are killed at random moments under load: every request is answered as if nothing had happened.

use super::{Plan, gauges_are_zero, settled};
use crate::{
    TestApp,
    app::Setup,
    figures::{Report, median, percentile},
    load::{Load, Outcome},
    process::{Holdings, try_kill},
    random::Random,
    watch::Watch,
};
use bytes::Bytes;
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use stentor_testkit::FakeOptions;
use tokio::time::sleep;

const CLIENTS: usize = 8;
/// Requests that wait beyond those in the engine; the last check fills them all.
const WAITING: usize = 16;
/// Connections close and workers are waited for within this time.
const SETTLE: Duration = Duration::from_secs(20);

/// What is asked of one model.
struct Part {
    model: &'static str,
    requests: usize,
    kills: usize,
    bodies: Vec<Value>,
}

pub(super) async fn run(plan: &Plan, watch: &Watch) -> Report {
    let mut report = Report::new("kills");
    report.figure("seed", plan.seed);
    let fake = Part {
        model: "fake",
        requests: plan.times(1800, 40),
        kills: plan.times(180, 5),
        bodies: (0..24).map(|index| body("fake", index, 1 + index % 5)).collect(),
    };
    let builtin = Part {
        model: "builtin",
        requests: plan.times(200, 6),
        kills: plan.times(20, 2),
        bodies: (0..4).map(|index| body("builtin", index, 1 + index % 2)).collect(),
    };
    let options = FakeOptions { slots: 2, step_ms: 3, ..FakeOptions::default() };
    let waiting = WAITING.to_string();
    let setup = || plan.setup().arg("--max-waiting", &waiting);
    let (fake_report, builtin_report) = tokio::join!(
        drill(setup().with_fake(&options), fake, Random::new(plan.seed), watch),
        drill(setup(), builtin, Random::new(plan.seed ^ 1), watch)
    );
    report.join(fake_report);
    report.join(builtin_report);
    report
}

/// Nothing is kept, so that each request is synthesized; the seed makes each the same every time.
fn body(model: &str, index: usize, paragraphs: usize) -> Value {
    let paragraph = |part: usize| format!("This is part {part} of text {index}, and it goes on.\n\n");
    json!({
        "model": model,
        "input": (0..paragraphs).map(paragraph).collect::<String>(),
        "response_format": "pcm",
        "seed": index,
        "cache": false,
    })
}

/// One server and its one worker.
async fn drill(setup: Setup, part: Part, mut random: Random, watch: &Watch) -> Report {
    let Part { model, requests, kills, bodies } = part;
    let mut report = Report::new("kills");
    let app = setup.start().await;
    // The connection of these questions stays open.
    app.number(model, "worker_restarts").await;
    let before = Holdings::of(app.pid());
    let count = bodies.len();
    let load = Load::new(&app, watch, move |index| bodies[index % count].clone());
    let mut expected = Vec::new();
    for index in 0..count {
        let outcome = load.ask(index).await;
        assert!(outcome.is_ok(), "undisturbed: {outcome:?}");
        expected.push(outcome.body);
    }
    let done = Arc::new(AtomicUsize::new(0));
    let moments = random.distinct(kills, requests);
    let (outcomes, killed) = tokio::join!(
        load.closed_loop(CLIENTS, requests, &done),
        kill_at(&app, model, &moments, &done, (&mut random, watch))
    );
    judge(model, &outcomes, &expected, &mut report);
    report.figure(format!("{model}: workers killed"), format!("{killed} of {kills}"));
    // A moment may fall between two workers; of few kills, one such is more than a tenth.
    report.bound((killed + 1) * 10 >= kills * 9, format!("only {killed} workers could be killed"));
    report.figure(format!("{model}: restarts"), app.number(model, "worker_restarts").await);
    every_place_is_free(&load, model, &mut report).await;
    gauges_are_zero(&app, model, &mut report).await;
    let after = settled(&app, &before, SETTLE).await;
    report.figure(format!("{model}: server before"), format!("{before:?}"));
    report.figure(format!("{model}: server after"), format!("{after:?}"));
    report.bound(after.is_back_to(&before), format!("{model}: leaked: {before:?} became {after:?}"));
    report
}

/// Kills the one worker each time as many requests are done as a moment says. A worker that is still loading is fair
/// game, but not twice in a row: models whose workers die three times without having had work count as failed.
async fn kill_at(
    app: &TestApp,
    model: &str,
    moments: &[usize],
    done: &AtomicUsize,
    (random, watch): (&mut Random, &Watch),
) -> usize {
    let mut killed = 0;
    let mut was_ready = true;
    for moment in moments {
        let _doing = watch.begin(format!("waiting for {moment} answers before the next kill"));
        while done.load(Ordering::Relaxed) < *moment {
            sleep(Duration::from_millis(1)).await;
        }
        sleep(Duration::from_millis(random.below(40) as u64)).await;
        let ready = async || app.get_json(&format!("/v1/models/{model}")).await["state"] == "ready";
        let is_ready = ready().await;
        while !was_ready && !ready().await {
            sleep(Duration::from_millis(2)).await;
        }
        if app.workers().into_iter().any(|worker| try_kill(worker, "-KILL")) {
            killed += 1;
            was_ready = is_ready || !was_ready;
        }
    }
    killed
}

fn judge(model: &str, outcomes: &[Outcome], expected: &[Bytes], report: &mut Report) {
    let answered = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let same = outcomes.iter().filter(|outcome| outcome.body == expected[outcome.index % expected.len()]);
    let same = same.count();
    report.figure(
        format!("{model}: answered / identical / sent"),
        format!("{answered} / {same} / {}", outcomes.len()),
    );
    let wrong = outcomes.iter().find(|outcome| !outcome.is_ok());
    let wrong = wrong.map(|outcome| (outcome.index, outcome.end, String::from_utf8_lossy(&outcome.body)));
    report.bound(answered == outcomes.len(), format!("{model}: not answered, e.g. {wrong:?}"));
    report.bound(same == outcomes.len(), format!("{model}: {} answers differ", outcomes.len() - same));
    let millis: Vec<f64> = outcomes.iter().map(Outcome::millis).collect();
    let (median, p99) = (median(&millis), percentile(&millis, 99.0));
    report.figure(format!("{model}: answer ms, median / p99"), format!("{median:.0} / {p99:.0}"));
}

/// As many requests at once as there are places: a lost one would show as a refusal.
async fn every_place_is_free(load: &Load, model: &str, report: &mut Report) {
    let places = WAITING + 1;
    // One client alone does not get them all.
    let load = Load { keys: 4, ..load.clone() };
    let outcomes = load.closed_loop(places, places, &Arc::default()).await;
    let refused = outcomes.iter().filter(|outcome| !outcome.is_ok()).count();
    report.bound(refused == 0, format!("{model}: {refused} of {places} places are lost"));
}
