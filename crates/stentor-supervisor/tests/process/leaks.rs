//! What is left behind when servers and workers die, which is nothing. Each server here is a process of its own,
//! so that nobody else opens files or starts children in it.

use crate::harness::{Bench, Outcome, TIME_LIMIT, ensure, kill, model, process_state, trial, until};
use libtest_mimic::{Failed, Trial};
use rustix::process::Signal;
use std::{
    io::Write,
    process::{ExitCode, Stdio},
    time::{Duration, Instant},
};
use stentor_supervisor::SessionEvent;
use stentor_testkit::{FakeOptions, LoadFault};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

pub(crate) const PARENT: &str = "parent";
pub(crate) const CRASHES: &str = "crashes";
const DEATHS: usize = 50;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_worker_in_a_step_that_never_ends_dies_with_its_server", || parent_death("hanging")),
        trial("a_worker_that_is_loading_dies_with_its_server", || parent_death("loading")),
        trial("an_idle_worker_dies_with_its_server", || parent_death("idle")),
        trial("fifty_deaths_leave_no_file_thread_or_process", fifty_deaths),
    ]
}

async fn parent_death(what: &'static str) -> Outcome {
    let mut parent = Command::new(std::env::current_exe()?)
        .args([PARENT, what])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let output = parent.stdout.take().ok_or("no output")?;
    let line = BufReader::new(output).lines().next_line().await?.ok_or("the parent said nothing")?;
    let worker: u32 = line.parse()?;
    ensure(process_state(worker).is_some(), "the worker lives")?;
    parent.kill().await?;
    let killed = Instant::now();
    // Whether its new parent reaps it is not ours to say.
    until("the worker is gone", || matches!(process_state(worker), None | Some('Z'))).await?;
    let took = killed.elapsed();
    ensure(took < Duration::from_secs(1), format!("the worker outlived its server by {took:?}"))
}

/// A server in a process of its own: brings its worker to where it is to be, says its id, and waits to be killed.
pub(crate) fn be_parent() -> ExitCode {
    in_own_runtime(async {
        let loading = std::env::args().nth(2).is_some_and(|what| what == "loading");
        let load = if loading { LoadFault::Slow(TIME_LIMIT.as_millis() as u64) } else { LoadFault::None };
        let options = FakeOptions { load, ..FakeOptions::default() };
        let bench = Bench::with(options, |config| config.stuck_min = TIME_LIMIT)?;
        let mut session = bench.begin(&["never {hang at=1}"])?;
        match std::env::args().nth(2).as_deref() {
            Some("hanging") => {
                // Speech begins, so the next step hangs.
                while !matches!(session.next().await, Some(Ok(SessionEvent::Pcm(_)))) {}
            }
            Some("loading") => {
                bench.supervisor.start(&model());
                until("it loads", || bench.pid().is_ok()).await?;
                // Past the handshake, in the midst of loading.
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            _ => bench.ready().await?,
        }
        writeln!(std::io::stdout(), "{}", bench.pid()?)?;
        tokio::time::sleep(TIME_LIMIT).await;
        Ok(())
    })
}

fn in_own_runtime(work: impl Future<Output = Outcome>) -> ExitCode {
    let Ok(runtime) = tokio::runtime::Runtime::new() else { return ExitCode::FAILURE };
    match runtime.block_on(work) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            // Nobody is left to tell when standard error is gone.
            let _ = writeln!(std::io::stderr(), "{}", failed.message().unwrap_or("failed"));
            ExitCode::FAILURE
        }
    }
}

async fn fifty_deaths() -> Outcome {
    let output = Command::new(std::env::current_exe()?).arg(CRASHES).kill_on_drop(true).output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure(output.status.success(), format!("{}: {said}", output.status))
}

/// A server whose worker dies many times; fails if anything has grown.
pub(crate) fn be_crashing() -> ExitCode {
    in_own_runtime(async {
        let bench = Bench::with(FakeOptions::default(), |config| config.backoff_max = config.backoff_first)?;
        let mut before = None;
        for death in 0..=DEATHS {
            bench.hear_true(&["all is well"]).await?;
            let pid = bench.pid()?;
            let held = settled(1).await?;
            // The first deaths may bring what is kept for good.
            if death == 2 {
                before = Some(held);
            }
            kill(pid, Signal::KILL)?;
            until("it is reaped", || process_state(pid).is_none()).await?;
        }
        bench.ready().await?;
        let after = settled(1).await?;
        let before = before.ok_or("nothing was counted")?;
        ensure(after.files <= before.files, format!("files: {before:?}, then {after:?}"))?;
        ensure(after.threads <= before.threads + 2, format!("threads: {before:?}, then {after:?}"))?;
        let restarts = bench.counters()?.restarts;
        ensure(restarts == DEATHS as u64 + 1, format!("{restarts} restarts"))?;
        let counted = bench.supervisor.status(&model()).ok_or("unknown")?.restarts;
        ensure(counted == restarts, format!("{counted} restarts by its state, {restarts} by its counters"))?;
        bench.supervisor.shutdown(Duration::from_secs(5)).await;
        settled(0).await.map(|_| ())
    })
}

#[derive(Debug, Clone, Copy)]
struct Holdings {
    files: usize,
    threads: usize,
}

/// What this process holds once it has exactly `children`, the dead that are not reaped among them.
async fn settled(children: usize) -> Result<Holdings, Failed> {
    until(&format!("there are {children} children"), || own_children() == children).await?;
    // Pipes are closed by tasks of their own.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let entries = |path| std::fs::read_dir(path).map(Iterator::count);
    Ok(Holdings { files: entries("/proc/self/fd")?, threads: entries("/proc/self/task")? })
}

fn own_children() -> usize {
    let own = std::process::id().to_string();
    let parent = |stat: String| Some(stat.rsplit_once(") ")?.1.split(' ').nth(1)? == own);
    let Ok(processes) = std::fs::read_dir("/proc") else { return usize::MAX };
    let stats = processes.filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("stat")).ok());
    stats.filter_map(parent).filter(|ours| *ours).count()
}
