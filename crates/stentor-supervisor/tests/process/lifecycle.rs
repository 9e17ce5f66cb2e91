//! Starting, failing to start, ending; what is left behind, which is nothing.

use crate::harness::{self, Bench, Outcome, ensure, hear, kill, model, process_state, ticket, trial, until};
use libtest_mimic::Trial;
use rustix::process::Signal;
use std::time::Duration;
use stentor_supervisor::{AdmitError, ModelState, SpeechError};
use stentor_testkit::{FakeOptions, LoadFault};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_model_starts_on_first_use_and_says_so", lazy_start),
        trial("a_model_that_cannot_load_is_named", cannot_load),
        trial("a_worker_that_exits_at_load_does_not_keep_requests_waiting", exits_at_load),
        trial("another_build_is_refused_with_advice", other_build),
        trial("shutdown_lets_requests_finish_and_leaves_no_process", graceful_shutdown),
        trial("shutdown_answers_who_does_not_finish_in_time", hasty_shutdown),
        trial("a_dropped_supervisor_leaves_no_process", dropped),
        trial("a_worker_is_reaped_and_ignores_what_is_meant_for_the_server", signals),
        trial("a_worker_started_by_hand_says_what_it_is", by_hand),
        trial("compute_threads_yield_and_the_answering_thread_does_not", priority),
    ]
}

async fn lazy_start() -> Outcome {
    let bench = Bench::new(FakeOptions { load: LoadFault::Slow(300), ..FakeOptions::default() })?;
    let mut status = bench.supervisor.watch(&model()).ok_or("unknown")?;
    ensure(status.borrow().state == ModelState::Unloaded, "nothing starts unasked")?;
    let session = tokio::spawn(hear(bench.begin(&["hello"])?));
    status.wait_for(|status| status.state == ModelState::Starting).await?;
    let ready = status.wait_for(|status| status.state == ModelState::Ready).await?.clone();
    ensure(ready.descriptor.is_some_and(|descriptor| descriptor.name == "fake"), "the descriptor is known")?;
    bench.check(&session.await?, &["hello"])
}

async fn cannot_load() -> Outcome {
    let bench = Bench::new(FakeOptions { load: LoadFault::Fail, ..FakeOptions::default() })?;
    let heard = bench.hear(&["hello"]).await?;
    let Some(SpeechError::Unavailable { reason, retry_after_s }) = heard.error else {
        return Err(format!("{:?}", heard.error).into());
    };
    ensure(reason.contains("fake.weight") && retry_after_s >= 1, reason)?;
    let ready = bench.supervisor.ready(&model()).await;
    ensure(matches!(ready, Err(SpeechError::Unavailable { .. })), format!("{ready:?}"))
}

async fn exits_at_load() -> Outcome {
    let bench = Bench::new(FakeOptions { load: LoadFault::Exit, ..FakeOptions::default() })?;
    let heard = bench.hear(&["hello"]).await?;
    let Some(SpeechError::Unavailable { reason, .. }) = heard.error else {
        return Err(format!("{:?}", heard.error).into());
    };
    ensure(reason.contains("exit status: 3"), reason)
}

async fn other_build() -> Outcome {
    let change = |config: &mut stentor_supervisor::SupervisorConfig| "newer".clone_into(&mut config.build_id);
    let bench = Bench::with(FakeOptions::default(), change)?;
    let Err(SpeechError::Unavailable { reason, .. }) = bench.supervisor.ready(&model()).await else {
        return Err("a worker of another build was taken".into());
    };
    let told = ["newer", harness::BUILD_ID, "rebuild"].iter().all(|part| reason.contains(part));
    ensure(told, reason)
}

async fn graceful_shutdown() -> Outcome {
    let bench = Bench::new(FakeOptions { step_ms: 10, ..FakeOptions::default() })?;
    bench.ready().await?;
    let pid = bench.pid()?;
    let session = tokio::spawn(hear(bench.begin(&["to the", "end"])?));
    until("it speaks", || bench.counters().is_ok_and(|counters| counters.running == 1)).await?;
    let supervisor = bench.supervisor.clone();
    let shutdown = tokio::spawn(async move { supervisor.shutdown(Duration::from_secs(20)).await });
    let draining = || bench.supervisor.status(&model()).is_some_and(|s| s.state == ModelState::Draining);
    until("it drains", draining).await?;
    let late = bench.supervisor.admit(&model(), ticket());
    ensure(matches!(late, Err(AdmitError::ShuttingDown)), format!("{late:?}"))?;
    bench.check(&session.await?, &["to the", "end"])?;
    shutdown.await?;
    ensure(process_state(pid).is_none(), "the worker is gone and reaped")
}

async fn hasty_shutdown() -> Outcome {
    let bench = Bench::new(FakeOptions { steps: 1000, step_ms: 20, ..FakeOptions::default() })?;
    let permit = bench.begin(&["waits for its session"])?;
    let session = tokio::spawn(hear(bench.begin(&["twenty seconds"])?));
    until("it speaks", || bench.counters().is_ok_and(|counters| counters.running == 1)).await?;
    bench.supervisor.shutdown(Duration::from_millis(50)).await;
    let heard = session.await?;
    ensure(matches!(heard.error, Some(SpeechError::Unavailable { .. })), format!("{:?}", heard.error))?;
    let late = hear(permit).await;
    ensure(matches!(late.error, Some(SpeechError::Unavailable { .. })), format!("{:?}", late.error))
}

async fn dropped() -> Outcome {
    let bench = Bench::new(FakeOptions::default())?;
    bench.ready().await?;
    let pid = bench.pid()?;
    drop(bench);
    until("the worker is gone and reaped", || process_state(pid).is_none()).await
}

async fn signals() -> Outcome {
    let bench = Bench::new(FakeOptions::default())?;
    bench.ready().await?;
    let pid = bench.pid()?;
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        kill(pid, signal)?;
    }
    bench.hear_true(&["still here"]).await?;
    ensure(bench.pid()? == pid, "the same worker")?;
    kill(pid, Signal::KILL)?;
    until("the dead worker is reaped", || process_state(pid).is_none()).await?;
    bench.hear_true(&["a new one"]).await?;
    ensure(bench.pid()? != pid, "another worker")
}

async fn priority() -> Outcome {
    let bench = Bench::new(FakeOptions::default())?;
    bench.hear_true(&["hello"]).await?;
    let pid = bench.pid()?;
    let nice = |stat: String| -> Option<i64> {
        let stat = std::fs::read_to_string(stat).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(16)?.parse().ok()
    };
    let own = nice("/proc/self/stat".to_owned()).ok_or("no /proc")?;
    let of = |task: &str| nice(format!("/proc/{pid}/task/{task}/stat"));
    ensure(of(&pid.to_string()) == Some(own), "the thread that answers the server keeps its priority")?;
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"))?;
    let names = tasks.filter_map(|task| task.ok()?.file_name().into_string().ok());
    let yielding = names.filter(|name| of(name) == Some((own + 10).min(19))).count();
    ensure(yielding >= 2, format!("{yielding} threads yield; the engine's and its pool's should"))
}

async fn by_hand() -> Outcome {
    let output = tokio::process::Command::new(std::env::current_exe()?)
        .arg(harness::WORKER)
        .stdin(std::process::Stdio::null())
        .output()
        .await?;
    let said = String::from_utf8(output.stderr)?;
    ensure(!output.status.success() && said.contains("not the server's socket"), said)
}
