//! Models that can't be loaded: how often they are tried, and what those who ask for them are told.

use crate::harness::{Bench, Outcome, WORKER, ensure, kill, model, trial, until};
use libtest_mimic::{Failed, Trial};
use rustix::process::Signal;
use std::{path::PathBuf, time::Duration};
use stentor_supervisor::{
    ModelOptions, ModelState, ModelStatus, SpeechError, SupervisorConfig, UnloadError, Unloaded,
};
use stentor_testkit::{FakeOptions, LoadFault};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_model_that_cannot_load_is_tried_for_those_who_ask_only", hopeless),
        trial("a_model_that_is_mended_is_ready_for_the_next_who_asks", mended),
        trial("a_model_that_dies_at_each_start_is_let_be", stillborn),
        trial("a_crashed_model_that_is_kept_comes_back_by_itself", kept),
        trial("a_model_that_crashes_when_its_idle_time_is_over_stays_away", idle_crash),
        trial("who_asks_for_a_model_that_cannot_load_is_told_to_come_back_late", told),
    ]
}

/// Long enough for a few more attempts, were there any.
const A_WHILE: Duration = Duration::from_millis(1200);

/// A bench whose workers leave a line in a file when they start.
struct Counted {
    bench: Bench,
    starts: PathBuf,
    folder: tempfile::TempDir,
}

impl Counted {
    fn new(options: FakeOptions, change: impl FnOnce(&mut SupervisorConfig)) -> Result<Self, Failed> {
        let folder = tempfile::tempdir()?;
        let starts = folder.path().join("starts");
        let file = starts.clone();
        let bench = Bench::with(options, |config| {
            let script = "echo started >> \"$0\"; exec \"$@\"";
            let program = std::mem::replace(&mut config.command.program, "/bin/sh".into());
            config.command.args =
                vec!["-c".into(), script.into(), file.into(), program.into(), WORKER.into()];
            change(config);
        })?;
        Ok(Self { bench, starts, folder })
    }

    fn starts(&self) -> usize {
        std::fs::read_to_string(&self.starts).map_or(0, |text| text.lines().count())
    }

    fn status(&self) -> Result<ModelStatus, Failed> {
        Ok(self.bench.supervisor.status(&model()).ok_or("unknown")?)
    }

    fn is(&self, state: ModelState) -> bool {
        self.status().is_ok_and(|status| status.state == state)
    }
}

fn failing() -> FakeOptions {
    FakeOptions { load: LoadFault::Fail, ..FakeOptions::default() }
}

async fn hopeless() -> Outcome {
    let counted = Counted::new(failing(), |_| {})?;
    let bench = &counted.bench;
    bench.supervisor.start(&model());
    until("it has failed", || counted.is(ModelState::Failed)).await?;
    tokio::time::sleep(A_WHILE).await;
    ensure(counted.starts() == 1, format!("{} attempts for nobody", counted.starts()))?;
    ensure(counted.is(ModelState::Failed), format!("{:?}", counted.status()))?;
    let asked = [bench.hear(&["anybody?"]).await?.error, bench.supervisor.ready(&model()).await.err()];
    let named = |error: &Option<SpeechError>| matches!(error, Some(SpeechError::Unavailable { reason, .. }) if reason.contains("fake.weight"));
    ensure(asked.iter().all(named), format!("{asked:?}"))?;
    until("it was tried for them", || counted.starts() >= 2).await?;
    tokio::time::sleep(A_WHILE).await;
    ensure(counted.starts() <= 3, format!("{} attempts for two who asked", counted.starts()))?;
    bench.supervisor.unload(&model()).await?;
    ensure(counted.is(ModelState::Unloaded), format!("{:?}", counted.status()))
}

async fn mended() -> Outcome {
    let counted = Counted::new(FakeOptions::default(), |_| {})?;
    let bench = &counted.bench;
    std::fs::write(counted.folder.path().join("fault"), "fail")?;
    let mut spec = FakeOptions::default().load_spec(model().as_str());
    spec.cache_dir = Some(counted.folder.path().to_owned());
    bench.supervisor.update_model(spec, ModelOptions::default());
    let failed = bench.supervisor.ready(&model()).await;
    ensure(failed.is_err(), "it can't be loaded")?;
    tokio::time::sleep(A_WHILE).await;
    std::fs::remove_file(counted.folder.path().join("fault"))?;
    let mended = bench.supervisor.ready(&model()).await;
    ensure(mended.is_ok(), format!("the failure of long ago is told: {mended:?}"))?;
    bench.hear_true(&["hello"]).await
}

async fn stillborn() -> Outcome {
    let options = FakeOptions { load: LoadFault::Exit, ..FakeOptions::default() };
    let counted = Counted::new(options, |_| {})?;
    counted.bench.supervisor.start(&model());
    until("it has failed", || counted.is(ModelState::Failed)).await?;
    tokio::time::sleep(A_WHILE).await;
    ensure(counted.starts() == 3, format!("{} attempts", counted.starts()))?;
    let restarts = (counted.status()?.restarts, counted.bench.counters()?.restarts);
    ensure(restarts == (0, 0), format!("{restarts:?} restarts of a worker that was never ready"))
}

async fn kept() -> Outcome {
    let counted = Counted::new(FakeOptions::default(), |_| {})?;
    counted.bench.ready().await?;
    for _ in 0..5 {
        let pid = counted.bench.pid()?;
        kill(pid, Signal::KILL)?;
        let back = || counted.is(ModelState::Ready) && counted.bench.pid().is_ok_and(|now| now != pid);
        until("another worker is ready, though nobody asks", back).await?;
    }
    ensure(counted.starts() == 6, format!("{} workers", counted.starts()))
}

async fn idle_crash() -> Outcome {
    let counted = Counted::new(FakeOptions::default(), |config| {
        (config.backoff_first, config.backoff_max) = (Duration::from_millis(600), Duration::from_millis(600));
    })?;
    let bench = &counted.bench;
    let options = ModelOptions { idle_timeout: Some(Duration::from_millis(200)), memory: 0 };
    bench.supervisor.update_model(FakeOptions::default().load_spec(model().as_str()), options);
    bench.ready().await?;
    kill(bench.pid()?, Signal::KILL)?;
    until("it is let go", || counted.is(ModelState::Unloaded)).await?;
    let status = counted.status()?;
    ensure(status.why_unloaded == Some(Unloaded::Idle) && status.reason.is_none(), format!("{status:?}"))?;
    tokio::time::sleep(A_WHILE).await;
    ensure(counted.starts() == 1, "it came back for nobody")?;
    let busy = bench.supervisor.unload(&model()).await;
    ensure(busy != Err(UnloadError::Busy), "nobody uses it")?;
    bench.hear_true(&["back on demand"]).await
}

async fn told() -> Outcome {
    let counted = Counted::new(failing(), |_| {})?;
    let bench = &counted.bench;
    for _ in 0..3 {
        let asked = [bench.supervisor.ready(&model()).await.err(), bench.hear(&["hello"]).await?.error];
        let late = |error: &Option<SpeechError>| {
            matches!(error, Some(SpeechError::Unavailable { retry_after_s: 30..=60, .. }))
        };
        ensure(asked.iter().all(late), format!("{asked:?}"))?;
    }
    Ok(())
}
