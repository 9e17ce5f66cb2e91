//! Models that lose their worker in peace, and get another one when they are used again.

use crate::harness::{Bench, Outcome, ensure, hear, model, process_state, ticket, trial, until};
use libtest_mimic::{Failed, Trial};
use std::time::{Duration, Instant};
use stentor_supervisor::{
    ModelOptions, ModelState, ModelStatus, SessionEvent, SpeechError, UnloadError, Unloaded,
};
use stentor_testkit::{FakeOptions, LoadFault};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("an_idle_model_is_unloaded_and_loaded_again_on_demand", idle_unload),
        trial("a_model_in_use_is_never_idle", long_use),
        trial("a_model_in_use_is_not_unloaded", busy),
        trial("a_model_is_unloaded_when_asked_and_nothing_is_left", asked),
        trial("a_load_that_nobody_waits_for_can_be_given_up", given_up),
        trial("an_unload_in_the_midst_of_requests_is_not_heard", in_the_midst),
        trial("a_chunk_that_nobody_waits_for_does_not_outlive_its_worker", left_behind),
        trial("new_options_count_at_once_and_a_new_spec_with_the_next_start", update),
        trial("a_failed_model_answers_at_once_while_it_is_tried_again", failed),
    ]
}

fn status(bench: &Bench) -> Result<ModelStatus, Failed> {
    Ok(bench.supervisor.status(&model()).ok_or("the model is unknown")?)
}

fn idle_after(bench: &Bench, options: FakeOptions, timeout: Option<Duration>) {
    let kept = ModelOptions { idle_timeout: timeout, memory: 0 };
    bench.supervisor.update_model(options.load_spec(model().as_str()), kept);
}

async fn idle_unload() -> Outcome {
    let bench = Bench::new(FakeOptions::default())?;
    idle_after(&bench, FakeOptions::default(), Some(Duration::from_millis(250)));
    bench.hear_true(&["hello"]).await?;
    let first = bench.pid()?;
    let ready = status(&bench)?;
    ensure(ready.state == ModelState::Ready && ready.idle_for.is_some(), format!("{ready:?}"))?;
    ensure(ready.load_seconds.is_some_and(|took| took > 0.0), format!("{:?}", ready.load_seconds))?;
    ensure(ready.memory.is_some(), "its memory is known")?;
    until("it is unloaded", || bench.pid().is_err()).await?;
    until("it says so", || status(&bench).is_ok_and(|now| now.state == ModelState::Unloaded)).await?;
    let now = status(&bench)?;
    ensure((&now.reason, now.why_unloaded) == (&None, Some(Unloaded::Idle)), format!("{now:?}"))?;
    ensure(now.memory.is_none() && now.descriptor.is_some(), format!("{now:?}"))?;
    ensure(now.idle_for.is_some_and(|idle| idle >= Duration::from_millis(250)), format!("{now:?}"))?;
    ensure(process_state(first).is_none(), "the worker is gone and reaped")?;
    tokio::time::sleep(Duration::from_millis(400)).await;
    ensure(status(&bench)?.state == ModelState::Unloaded, "nothing starts it again unasked")?;
    bench.hear_true(&["hello again"]).await?;
    ensure(bench.pid()? != first, "another worker")?;
    let now = status(&bench)?;
    ensure(now.restarts == 0 && now.why_unloaded.is_none(), format!("no worker died: {now:?}"))
}

async fn long_use() -> Outcome {
    // A second and more of speech, and a session that waits as long before it is read.
    let options = FakeOptions { steps: 50, step_ms: 20, ..FakeOptions::default() };
    let bench = Bench::new(options)?;
    idle_after(&bench, options, Some(Duration::from_millis(200)));
    bench.ready().await?;
    let pid = bench.pid()?;
    let session = bench.begin(&["as long as a second"])?;
    tokio::time::sleep(Duration::from_millis(600)).await;
    bench.check(&hear(session).await, &["as long as a second"])?;
    ensure(bench.pid()? == pid, "the same worker")?;
    until("it is unloaded", || bench.pid().is_err()).await
}

async fn busy() -> Outcome {
    let options = FakeOptions { steps: 20, step_ms: 20, ..FakeOptions::default() };
    let bench = Bench::new(options)?;
    bench.ready().await?;
    let pid = bench.pid()?;
    let permit = bench.supervisor.admit(&model(), ticket())?;
    let refused = bench.supervisor.unload(&model()).await;
    ensure(refused == Err(UnloadError::Busy), format!("admitted: {refused:?}"))?;
    drop(permit);
    let session = tokio::spawn(hear(bench.begin(&["it speaks"])?));
    until("it speaks", || bench.counters().is_ok_and(|counters| counters.running == 1)).await?;
    let refused = bench.supervisor.unload(&model()).await;
    ensure(refused == Err(UnloadError::Busy), format!("speaking: {refused:?}"))?;
    bench.check(&session.await?, &["it speaks"])?;
    ensure(bench.pid()? == pid, "the same worker")?;
    let unknown = bench.supervisor.unload(&"nobody".into()).await;
    ensure(unknown == Err(UnloadError::UnknownModel("nobody".into())), format!("{unknown:?}"))
}

async fn asked() -> Outcome {
    let bench = Bench::new(FakeOptions::default())?;
    bench.supervisor.unload(&model()).await?;
    bench.hear_true(&["spoken before"]).await?;
    let progress = || bench.supervisor.progress(&model()).unwrap_or_default();
    until("the worker has said what it did", || progress().samples > 0).await?;
    let pid = bench.pid()?;
    bench.supervisor.unload(&model()).await?;
    ensure(process_state(pid).is_none(), "the worker is gone when it is said to be")?;
    ensure(progress() == stentor_supervisor::WorkerProgress::default(), format!("{:?}", progress()))?;
    let now = status(&bench)?;
    ensure(
        now.state == ModelState::Unloaded && now.why_unloaded == Some(Unloaded::Asked),
        format!("{now:?}"),
    )?;
    tokio::time::sleep(Duration::from_millis(100)).await;
    ensure(bench.pid().is_err(), "what was wanted once is not wanted any more")?;
    bench.ready().await?;
    bench.hear_true(&["back again"]).await
}

async fn given_up() -> Outcome {
    let bench = Bench::new(FakeOptions { load: LoadFault::Slow(30_000), ..FakeOptions::default() })?;
    bench.supervisor.start(&model());
    until("it loads", || bench.pid().is_ok()).await?;
    let pid = bench.pid()?;
    let waiting = tokio::time::timeout(Duration::from_millis(50), bench.supervisor.ready(&model())).await;
    ensure(waiting.is_err(), "it loads for half a minute")?;
    bench.supervisor.unload(&model()).await?;
    ensure(process_state(pid).is_none(), "the worker is gone")?;
    ensure(status(&bench)?.state == ModelState::Unloaded, format!("{:?}", status(&bench)?))
}

async fn in_the_midst() -> Outcome {
    let bench = Bench::new(FakeOptions::default())?;
    let (id, mut unloaded) = (model(), 0);
    for _ in 0..30 {
        bench.ready().await?;
        let (unload, heard) =
            tokio::join!(bench.supervisor.unload(&id), bench.hear_true(&["whatever", "happens"]));
        heard?;
        unloaded += u32::from(unload.is_ok());
        // A model can also be asked for while its worker goes.
        let (ready, _) = tokio::join!(bench.ready(), bench.supervisor.unload(&id));
        ready?;
    }
    ensure(bench.counters()?.restarts == 0, "no worker died")?;
    ensure(bench.counters()?.chunks_done == 60, format!("{:?}, unloaded {unloaded} times", bench.counters()?))
}

async fn left_behind() -> Outcome {
    // A step is long enough for the unload to come before the cancelled chunk is answered.
    let bench = Bench::new(FakeOptions { step_ms: 300, steps: 2, ..FakeOptions::default() })?;
    let mut session = bench.begin(&["soon forgotten"])?;
    // The second of its two steps runs.
    while !matches!(session.next().await, Some(Ok(SessionEvent::Pcm(_)))) {}
    drop(session);
    bench.supervisor.unload(&model()).await?;
    bench.hear_true(&["the engine has a slot for this"]).await?;
    ensure(bench.counters()?.restarts == 0, "the next worker was not taken for stuck")
}

async fn update() -> Outcome {
    let bench = Bench::new(FakeOptions::default())?;
    bench.ready().await?;
    let pid = bench.pid()?;
    let wider = FakeOptions { slots: 3, ..FakeOptions::default() };
    idle_after(&bench, wider, None);
    bench.hear_true(&["still the old one"]).await?;
    ensure(bench.pid()? == pid, "nothing is restarted for a new spec")?;
    idle_after(&bench, wider, Some(Duration::from_millis(50)));
    until("it is unloaded by its new options", || bench.pid().is_err()).await?;
    idle_after(&bench, wider, None);
    let descriptor = bench.supervisor.ready(&model()).await?;
    ensure(descriptor.max_slots == 3, format!("{} slots", descriptor.max_slots))
}

async fn failed() -> Outcome {
    // Each attempt takes as long as a load may, and fails.
    let limit = Duration::from_millis(900);
    let options = FakeOptions { load: LoadFault::Slow(60_000), ..FakeOptions::default() };
    let bench = Bench::with(options, |config| config.start_timeout = limit)?;
    bench.supervisor.start(&model());
    until("it has failed", || status(&bench).is_ok_and(|now| now.state == ModelState::Failed)).await?;
    let mut tried = std::collections::BTreeSet::new();
    while tried.len() < 3 {
        tried.extend(bench.pid());
        let asked = Instant::now();
        let heard = bench.hear(&["anybody there?"]).await?;
        let waited = asked.elapsed();
        let Some(SpeechError::Unavailable { reason, .. }) = heard.error else {
            return Err(format!("{:?}", heard.error).into());
        };
        ensure(reason.contains("not loaded within"), reason)?;
        ensure(waited < limit / 2, format!("answered after {waited:?}"))?;
        ensure(status(&bench)?.state == ModelState::Failed, "it stays failed while it is tried again")?;
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    bench.supervisor.unload(&model()).await?;
    ensure(status(&bench)?.state == ModelState::Unloaded, "it can be given up")
}
