//! A client with little patience and a long story: it gives up, sends the identical call again, and gets it all.

use super::Plan;
use crate::{
    TestApp,
    figures::Report,
    load::{End, Load},
    watch::Watch,
};
use serde_json::{Value, json};
use std::time::Duration;
use stentor_testkit::FakeOptions;

/// The story's synthesis takes this many times the client's patience.
const TIMES: f64 = 5.0;
const CALLS: usize = 7;
const STEPS: u64 = 10;

pub(super) async fn run(plan: &Plan, watch: &Watch) -> Report {
    let mut report = Report::new("drainer");
    let patience = plan.seconds(120.0, 1.5);
    let chunk = Duration::from_millis(100).max(patience / 60);
    let chunks = (TIMES * patience.as_secs_f64() / chunk.as_secs_f64()).ceil() as usize;
    let story = story(chunks);
    let options =
        FakeOptions { steps: STEPS, step_ms: chunk.as_millis() as u64 / STEPS, ..FakeOptions::default() };

    let quick = plan.setup().with_fake(&FakeOptions { step_ms: 0, ..options }).start().await;
    let (undisturbed, made) = speak_once(&quick, watch, &story).await;
    drop(quick);

    let app = plan.setup().with_fake(&options).start().await;
    let before = app.number("fake", "chunks_done").await;
    let load = Load { patience, ..Load::new(&app, watch, move |_| story.clone()) };
    let mut calls = 0;
    let mut heard = None;
    while heard.is_none() && calls < CALLS {
        calls += 1;
        let outcome = load.ask(calls).await;
        report.figure(format!("bytes of call {calls}"), outcome.body.len());
        match outcome.end {
            End::Whole(200) => heard = Some(outcome.body),
            End::TimedOut => {}
            end => report.bound(false, format!("call {calls} ended with {end:?}")),
        }
    }
    let done = app.number("fake", "chunks_done").await - before;
    report.figure(
        "patience s / story s",
        format!("{:.1} / {:.1}", patience.as_secs_f64(), TIMES * patience.as_secs_f64()),
    );
    report.figure("calls", calls);
    report.figure("chunks / completed", format!("{made} / {done}"));
    report.bound(heard.is_some(), format!("the story is not finished after {CALLS} calls"));
    report.bound(done == made, format!("{made} chunks were completed {done} times"));
    report.bound(heard.is_none_or(|heard| heard == undisturbed), "the audio differs from an undisturbed run");
    report
}

fn story(chunks: usize) -> Value {
    let paragraph = |index: usize| format!("Paragraph number {index} of a long story.\n\n");
    let text: String = (0..chunks).map(paragraph).collect();
    json!({"model": "fake", "input": text, "response_format": "pcm", "seed": 5, "normalize": false})
}

/// The story's audio, and the number of its chunks.
async fn speak_once(app: &TestApp, watch: &Watch, story: &Value) -> (bytes::Bytes, u64) {
    let before = app.number("fake", "chunks_done").await;
    let story = story.clone();
    let outcome = Load::new(app, watch, move |_| story.clone()).ask(0).await;
    assert!(outcome.is_ok(), "undisturbed: {:?}", outcome.end);
    (outcome.body, app.number("fake", "chunks_done").await - before)
}
