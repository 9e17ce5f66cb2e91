//! Chunks that several sessions wait for, and those that were spoken before.

use crate::harness::{Bench, Heard, Outcome, ensure, halves, hear, model, ticket, trial, until};
use libtest_mimic::{Failed, Trial};
use stentor_jobs::{ChunkStore, ChunkStoreConfig, KeyBase};
use stentor_supervisor::{ModelState, SessionEvent};
use stentor_testkit::FakeOptions;
use stentor_types::{ParamValue, Params};

const STORY: [&str; 4] = ["Once upon a time", "there was a story", "of four chunks,", "and here it ends."];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("two_identical_requests_at_once_share_one_synthesis", shared),
        trial("a_follower_hears_everything_when_the_leader_leaves", leader_leaves),
        trial("a_death_in_a_shared_chunk_is_not_heard_by_anybody", shared_death),
        trial("the_same_request_again_is_served_without_a_worker", again),
        trial("what_was_spoken_before_an_interruption_is_not_spoken_again", resumed),
        trial("pieces_of_a_chunk_that_was_cut_are_kept", pieces),
        trial("a_session_that_keeps_nothing_shares_nothing", opted_out),
        trial("a_later_chunk_that_is_spoken_otherwise_is_another_than_the_first", otherwise_later),
    ]
}

fn store(bench: &tempfile::TempDir) -> Result<ChunkStore, Failed> {
    let directory = bench.path().to_owned();
    Ok(ChunkStore::open(ChunkStoreConfig { memory_bytes: 1 << 24, disk_bytes: 1 << 24, directory })?)
}

fn bench(options: FakeOptions, store: &ChunkStore) -> Result<Bench, Failed> {
    Bench::with(options, |config| config.store = Some(store.clone()))
}

fn slow() -> FakeOptions {
    FakeOptions { step_ms: 5, ..FakeOptions::default() }
}

async fn shared() -> Outcome {
    let folder = tempfile::tempdir()?;
    let bench = bench(slow(), &store(&folder)?)?;
    let sessions = [bench.begin_kept(&STORY)?, bench.begin_kept(&STORY)?].map(|s| tokio::spawn(hear(s)));
    for session in sessions {
        bench.check(&session.await?, &STORY)?;
    }
    let counters = bench.counters()?;
    ensure(counters.chunks_sent == 4 && counters.chunks_done == 4, format!("{counters:?}"))?;
    ensure(counters.chunks_shared + counters.chunks_reused == 4, format!("{counters:?}"))?;
    ensure(counters.chunks_shared > 0, format!("they ran at the same time: {counters:?}"))
}

async fn leader_leaves() -> Outcome {
    let bench = Bench::new(slow())?;
    let mut leader = bench.begin_kept(&STORY)?;
    while !matches!(leader.next().await, Some(Ok(SessionEvent::Pcm(_)))) {}
    let mut follower = bench.begin_kept(&STORY)?;
    let mut heard = Heard::default();
    heard.take(follower.next().await.ok_or("no event")??);
    drop(leader);
    while let Some(event) = follower.next().await {
        heard.take(event?);
    }
    bench.check(&heard, &STORY)?;
    let counters = bench.counters()?;
    ensure(counters.chunks_sent == 4 && counters.cancels == 0, format!("{counters:?}"))
}

async fn shared_death() -> Outcome {
    let folder = tempfile::tempdir()?;
    let bench = bench(slow(), &store(&folder)?)?;
    let deadly = format!("dies {{abort at=5 mark={}}} here", bench.mark("abort").display());
    let texts = ["first", &deadly, "last"];
    let sessions = [bench.begin_kept(&texts)?, bench.begin_kept(&texts)?].map(|s| tokio::spawn(hear(s)));
    for session in sessions {
        bench.check(&session.await?, &texts)?;
    }
    let counters = bench.counters()?;
    ensure(counters.chunks_done == 3 && counters.restarts == 1, format!("{counters:?}"))?;
    // The replay was exact, so what it made is kept.
    bench.check(&hear(bench.begin_kept(&texts)?).await, &texts)?;
    ensure(bench.counters()?.chunks_done == 3, "spoken again")
}

async fn again() -> Outcome {
    let folder = tempfile::tempdir()?;
    let store = store(&folder)?;
    let first = bench(FakeOptions::default(), &store)?;
    let fresh = hear(first.begin_kept(&STORY)?).await;
    first.check(&fresh, &STORY)?;
    let later = bench(FakeOptions::default(), &store)?;
    let session = later.begin_kept(&STORY)?;
    let heard = hear(session).await;
    later.check(&heard, &STORY)?;
    ensure(heard.words == fresh.words && heard.words > 0, "the timings are kept too")?;
    let counters = later.counters()?;
    ensure((counters.chunks_sent, counters.chunks_reused) == (0, 4), format!("{counters:?}"))?;
    let state = later.supervisor.status(&model()).map(|status| status.state);
    ensure(state == Some(ModelState::Unloaded), format!("no worker was needed: {state:?}"))
}

async fn resumed() -> Outcome {
    let folder = tempfile::tempdir()?;
    let bench = bench(slow(), &store(&folder)?)?;
    let mut session = bench.begin_kept(&STORY)?;
    while !matches!(session.next().await, Some(Ok(SessionEvent::ChunkEnd { .. }))) {}
    drop(session);
    let idle = || bench.supervisor.progress(&model()).is_some_and(|progress| progress.active == 0);
    until("the engine has nothing to do", idle).await?;
    let before = bench.counters()?.chunks_done;
    bench.check(&hear(bench.begin_kept(&STORY)?).await, &STORY)?;
    let counters = bench.counters()?;
    ensure(
        counters.chunks_done == 4,
        format!("each is spoken to its end once: {before}, then {counters:?}"),
    )?;
    ensure(counters.chunks_reused >= 1, format!("{counters:?}"))
}

async fn pieces() -> Outcome {
    let folder = tempfile::tempdir()?;
    let bench = bench(FakeOptions { limit: 16, ..FakeOptions::default() }, &store(&folder)?)?;
    for sent in [3, 4] {
        let session = bench.begin_as(ticket(), &["sixteen letters and more"], |request| {
            request.keep = Some(KeyBase::new(&[b"test"]));
            request.resplit = halves;
        })?;
        bench.check(&hear(session).await, &["sixteen letters ", "and more"])?;
        let counters = bench.counters()?;
        // Only the engine can say that a chunk is too long for it; its pieces are known the second time.
        ensure(counters.chunks_sent == sent && counters.chunks_done == 2, format!("{counters:?}"))?;
    }
    Ok(())
}

async fn otherwise_later() -> Outcome {
    let folder = tempfile::tempdir()?;
    let bench = bench(FakeOptions::default(), &store(&folder)?)?;
    let twice = ["The same.", "The same."];
    let later = || Params::from([("pieces".to_owned(), ParamValue::Integer(0))]);
    // Spoken in one way, the second is the first; spoken in two, it is another; and each is known when it comes again.
    for (later, sent) in [(Params::new(), 1), (later(), 2), (later(), 2), (Params::new(), 2)] {
        let session = bench.begin_as(ticket(), &twice, |request| {
            request.keep = Some(KeyBase::new(&[b"test"]));
            request.later = later.clone();
        })?;
        bench.check(&hear(session).await, &twice)?;
        let counters = bench.counters()?;
        ensure(counters.chunks_sent == sent, format!("{later:?}: {counters:?}"))?;
    }
    Ok(())
}

async fn opted_out() -> Outcome {
    let folder = tempfile::tempdir()?;
    let bench = bench(slow(), &store(&folder)?)?;
    let sessions = [bench.begin(&STORY)?, bench.begin(&STORY)?].map(|s| tokio::spawn(hear(s)));
    for session in sessions {
        bench.check(&session.await?, &STORY)?;
    }
    bench.hear_true(&STORY).await?;
    let counters = bench.counters()?;
    ensure(counters.chunks_sent == 12, format!("{counters:?}"))?;
    ensure(counters.chunks_shared + counters.chunks_reused == 0, format!("{counters:?}"))
}
