//! The drills: each tries to take the server down in one way, and reports figures and broken bounds.
//!
//! `stentor-soak` runs them at full scale, the tests in `tests/crash` at a small one. A drill prints its seed, and what
//! hangs when it is not done in time.

mod drain;
mod drainer;
mod eight;
mod idle;
mod kills;
mod overload;
mod probes;
mod slow_clients;

use crate::{TestApp, app::Setup, figures::Report, process::Holdings, watch::Watch};
use futures_util::future::{BoxFuture, FutureExt as _};
use serde_json::Value;
use std::{io::Write as _, time::Duration};
use tokio::time::{Instant, sleep};

/// How a drill is run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// `stentor-under-test`.
    pub program: String,
    /// 1 for the full drill; less makes it shorter, and its bounds on time more generous.
    pub scale: f64,
    pub seed: u64,
    /// Runs that a median is taken of, where a drill measures one.
    pub runs: usize,
    /// Minutes of one run of the probes, whatever the scale.
    pub minutes: Option<f64>,
}

impl Plan {
    /// A small drill for a test; the seed can be any number, and is printed.
    pub fn small(program: &str, scale: f64) -> Self {
        Self { program: program.to_owned(), scale, seed: 1, runs: 1, minutes: None }
    }

    /// `full` of something at full scale, and never fewer than `least`.
    fn times(&self, full: usize, least: usize) -> usize {
        ((full as f64 * self.scale).round() as usize).max(least)
    }

    /// `full` seconds at full scale, and never fewer than `least`.
    fn seconds(&self, full: f64, least: f64) -> Duration {
        Duration::from_secs_f64((full * self.scale).max(least))
    }

    fn is_full(&self) -> bool {
        self.scale >= 1.0
    }

    /// A bound of the full drill; a busy test machine gets `generous` times as much.
    fn bound(&self, full: f64, generous: f64) -> f64 {
        if self.is_full() { full } else { full * generous }
    }

    fn setup(&self) -> Setup {
        Setup::new(&self.program).arg("--log", "error")
    }
}

type Run = for<'a> fn(&'a Plan, &'a Watch) -> BoxFuture<'a, Report>;

/// One way to take the server down.
pub struct Drill {
    pub name: &'static str,
    run: Run,
    /// Seconds that it may take at full scale; a small one may take a minute and its share of that.
    limit: f64,
}

/// All of them, in the order in which `just soak` runs them.
pub const ALL: [Drill; 8] = [
    Drill { name: "kills", run: |plan, watch| kills::run(plan, watch).boxed(), limit: 1800.0 },
    Drill { name: "drainer", run: |plan, watch| drainer::run(plan, watch).boxed(), limit: 3600.0 },
    Drill { name: "idle", run: |plan, watch| idle::run(plan, watch).boxed(), limit: 600.0 },
    Drill {
        name: "the-eight-request-hang",
        run: |plan, watch| eight::run(plan, watch).boxed(),
        limit: 3600.0,
    },
    Drill { name: "probes", run: |plan, watch| probes::run(plan, watch).boxed(), limit: 6000.0 },
    Drill { name: "overload", run: |plan, watch| overload::run(plan, watch).boxed(), limit: 900.0 },
    Drill { name: "drain", run: |plan, watch| drain::run(plan, watch).boxed(), limit: 900.0 },
    Drill { name: "slow-clients", run: |plan, watch| slow_clients::run(plan, watch).boxed(), limit: 900.0 },
];

/// The drill of that name.
pub fn named(name: &str) -> Option<&'static Drill> {
    ALL.iter().find(|drill| drill.name == name)
}

impl Drill {
    /// Runs it within its time; panics with what still goes on when it hangs.
    pub async fn run(&self, plan: &Plan) -> Report {
        say(&format!("drill {} at scale {} with seed {}", self.name, plan.scale, plan.seed));
        let watch = Watch::default();
        let limit = Duration::from_secs_f64(60.0 + self.limit * plan.scale);
        let begun = Instant::now();
        let mut report = watch.within(limit, (self.run)(plan, &watch)).await;
        report.figure("seconds", format!("{:.0}", begun.elapsed().as_secs_f64()));
        report
    }
}

/// Runs the drill `name` at `scale` and asserts its bounds: what a test does.
///
/// Drills measure, so that they wait for each other.
pub async fn assert_small(name: &str, program: &str, scale: f64) {
    static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _alone = ONE_AT_A_TIME.lock().await;
    let drill = named(name).unwrap_or_else(|| panic!("no drill is called {name}"));
    drill.run(&Plan::small(program, scale)).await.assert();
}

fn say(line: &str) {
    // A drill goes on when nobody reads.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Waits until the server holds no more than `before`; what it holds then, or after `patience`.
async fn settled(app: &TestApp, before: &Holdings, patience: Duration) -> Holdings {
    let end = Instant::now() + patience;
    loop {
        let now = Holdings::of(app.pid());
        if now.is_back_to(before) || Instant::now() > end {
            return now;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Notes every gauge of `model` that is not zero once the load is over.
async fn gauges_are_zero(app: &TestApp, model: &str, report: &mut Report) {
    const GAUGES: [&str; 3] = ["requests_running", "requests_waiting", "chunks_active"];
    let end = Instant::now() + Duration::from_secs(10);
    let mut detail = Value::Null;
    while Instant::now() < end {
        detail = app.get_json(&format!("/v1/models/{model}")).await;
        if GAUGES.iter().all(|gauge| detail[gauge] == 0) {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    for gauge in GAUGES {
        report.bound(detail[gauge] == 0, format!("{gauge} of {model} is {} after the load", detail[gauge]));
    }
    for line in gauges_in_metrics(app).await {
        report.bound(line.ends_with(" 0") || line.ends_with(" 0.0"), format!("after the load: {line}"));
    }
}

/// Lines of `/metrics` about running and waiting requests; none where there is no such route.
async fn gauges_in_metrics(app: &TestApp) -> Vec<String> {
    let response = app.get("/metrics").await;
    if !response.status().is_success() {
        return Vec::new();
    }
    let text = response.text().await.expect("a body");
    let name = |line: &str| line.split(['{', ' ']).next().unwrap_or_default().to_owned();
    let gauge = |line: &&str| name(line).ends_with("_running") || name(line).ends_with("_waiting");
    text.lines().filter(|line| !line.starts_with('#')).filter(gauge).map(str::to_owned).collect()
}
