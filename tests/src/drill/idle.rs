//! An idle model leaves the machine; probes stay good; the next request brings it back.

use super::Plan;
use crate::{figures::Report, probe::probe, watch::Watch};
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Seconds without use after which the model goes.
const IDLE: &str = "1";
/// Beyond those: a beat, a poll, the worker's way out.
const GRACE: Duration = Duration::from_secs(6);

pub(super) async fn run(plan: &Plan, watch: &Watch) -> Report {
    let mut report = Report::new("idle");
    let app = plan.setup().arg("--idle-timeout", IDLE).start().await;
    let body = json!({"input": "Here I am again.", "response_format": "pcm", "seed": 3, "cache": false});
    let first = app.audio(&body).await;

    let doing = watch.begin("waiting for the worker to leave");
    let idle_since = Instant::now();
    while !app.workers().is_empty() && idle_since.elapsed() < Duration::from_secs(1) + GRACE {
        sleep(Duration::from_millis(20)).await;
    }
    drop(doing);
    report.figure("gone after s", format!("{:.1}", idle_since.elapsed().as_secs_f64()));
    report.bound(app.workers().is_empty(), "the worker's process is still there");
    let state = app.get_json("/v1/models/builtin").await["state"].clone();
    report.bound(state == "unloaded", format!("its state is {state}"));

    let time = plan.seconds(60.0, 3.0);
    let pause = Duration::from_millis(100);
    let (live, ready) = {
        let _doing = watch.begin("probing the unloaded server");
        tokio::join!(
            probe(app.address(), "/livez", pause, time),
            probe(app.address(), "/readyz", pause, time)
        )
    };
    let probes = live.answer_ms.len() + ready.answer_ms.len();
    report.figure("probes / failed", format!("{probes} / {}", live.failed + ready.failed));
    report.bound(live.failed + ready.failed == 0, "a probe failed while the model was unloaded");
    report.bound(probes > 10, "hardly anything was probed");
    report.bound(app.workers().is_empty(), "a probe brought the model back");

    let _doing = watch.begin("the request that loads");
    let asked = Instant::now();
    let again = app.audio(&body).await;
    report.figure("load and speak s", format!("{:.1}", asked.elapsed().as_secs_f64()));
    report.bound(again == first, "it speaks otherwise than before");
    report
}
