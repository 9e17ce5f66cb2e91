//! Lanes, turns of clients, deadlines.

use crate::harness::{Bench, Heard, Outcome, ensure, hear, kill, model, ticket, trial, until};
use libtest_mimic::Trial;
use rustix::process::Signal;
use std::time::Duration;
use stentor_supervisor::{AdmitError, ModelState, SpeechError, Ticket};
use stentor_testkit::{FakeOptions, LoadFault};
use stentor_types::{ClientId, Lane};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_greeting_overtakes_a_book_in_the_batch_lane", lanes),
        trial("a_greeting_is_not_kept_waiting_by_another_clients_book", turns),
        trial("a_client_that_floods_delays_only_itself", flood),
        trial("who_would_wait_beyond_the_deadline_is_told_at_once", late_at_admission),
        trial("a_model_that_has_to_load_counts_as_waiting", load_counts),
        trial("who_waits_beyond_the_deadline_is_told_and_gives_up_its_place", late_in_the_queue),
        trial("what_has_begun_before_the_deadline_goes_on_to_its_end", begun_in_time),
    ]
}

fn from(client: u64, lane: Lane) -> Ticket {
    Ticket { client: ClientId(client), lane, ..ticket() }
}

fn within(ticket: Ticket, ms: u64) -> Ticket {
    Ticket { deadline: Some(Duration::from_millis(ms)), ..ticket }
}

/// Somebody reads a book; another session is heard to its end before the book is.
async fn overtakes(book: Ticket, greeting: Ticket) -> Outcome {
    let bench = Bench::new(FakeOptions { step_ms: 3, ..FakeOptions::default() })?;
    bench.ready().await?;
    let mut reader = bench.begin_as(book, &["chapter"; 12], |_| {})?;
    let mut read = Heard::default();
    heard_chunks(&mut reader, &mut read, 1).await?;
    let greeting = hear(bench.begin_as(greeting, &["Hello!"], |_| {})?);
    let reading = heard_chunks(&mut reader, &mut read, 12);
    tokio::pin!(greeting, reading);
    tokio::select! {
        heard = &mut greeting => bench.check(&heard, &["Hello!"])?,
        _ = &mut reading => return Err("the greeting waited for the whole book".into()),
    }
    let spoken = bench.counters()?.chunks_done;
    ensure(spoken < 8, format!("the greeting waited for {spoken} chunks"))?;
    reading.await?;
    let ended = bench.counters()?.chunks_done;
    ensure(ended == 13, format!("{ended} chunks"))
}

/// Reads until `count` chunks have ended.
async fn heard_chunks(session: &mut stentor_supervisor::Session, heard: &mut Heard, count: usize) -> Outcome {
    while heard.ended < count {
        heard.take(session.next().await.ok_or("the session ended early")??);
    }
    Ok(())
}

async fn lanes() -> Outcome {
    overtakes(from(1, Lane::Batch), from(1, Lane::Interactive)).await
}

async fn turns() -> Outcome {
    overtakes(from(1, Lane::Batch), from(2, Lane::Batch)).await
}

async fn flood() -> Outcome {
    let bench = Bench::new(FakeOptions { step_ms: 3, ..FakeOptions::default() })?;
    bench.ready().await?;
    let many: Vec<_> = (0..20)
        .map(|_| {
            Ok(tokio::spawn(hear(bench.begin_as(from(1, Lane::Interactive), &["flood", "flood"], |_| {})?)))
        })
        .collect::<Result<_, libtest_mimic::Failed>>()?;
    until("the flood is there", || bench.counters().is_ok_and(|counters| counters.chunks_sent > 0)).await?;
    let before = bench.counters()?.chunks_sent;
    let heard = hear(bench.begin_as(from(2, Lane::Interactive), &["one", "two"], |_| {})?).await;
    bench.check(&heard, &["one", "two"])?;
    let meanwhile = bench.counters()?.chunks_sent - before;
    // Its own two, and one of the flood before each and after; generous for a reader that is slow to ask.
    ensure(meanwhile < 15, format!("{meanwhile} chunks were sent before it was done"))?;
    for session in many {
        bench.check(&session.await?, &["flood", "flood"])?;
    }
    Ok(())
}

async fn late_at_admission() -> Outcome {
    let bench = Bench::new(FakeOptions { step_ms: 20, ..FakeOptions::default() })?;
    let own = from(1, Lane::Interactive);
    let unmeasured = bench.supervisor.admit(&model(), within(own, 1));
    ensure(unmeasured.is_ok(), "nothing was measured, so nothing is known")?;
    drop(unmeasured);
    let text = "twenty characters or";
    bench.hear_true(&[text]).await?;
    let queue: Vec<_> = (0..10)
        .map(|_| Ok(tokio::spawn(hear(bench.begin_as(own, &[text], |_| {})?))))
        .collect::<Result<_, libtest_mimic::Failed>>()?;
    // Until each of them has offered its chunk.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let refused = bench.supervisor.admit(&model(), within(own, 400));
    let Err(AdmitError::Late { wait_s, retry_after_s }) = refused else {
        return Err(format!("two seconds of work are ahead: {refused:?}").into());
    };
    ensure(
        (1..60).contains(&wait_s) && (1..60).contains(&retry_after_s),
        format!("{wait_s} {retry_after_s}"),
    )?;
    ensure(retry_after_s <= wait_s, format!("{retry_after_s} of {wait_s} s"))?;
    let other = bench.supervisor.admit(&model(), within(from(2, Lane::Interactive), 20_000));
    ensure(other.is_ok(), "another client waits for a few chunks only")?;
    let mut patient = bench.begin_as(within(own, 50_000), &[text], |_| {})?;
    ensure(patient.queued().is_none(), "it waits")?;
    while patient.next().await.is_some() {}
    let queued = patient.queued().ok_or("it was spoken")?;
    ensure(queued > Duration::from_millis(400), format!("the refusal was wrong: {queued:?}"))?;
    for session in queue {
        bench.check(&session.await?, &[text])?;
    }
    let counters = bench.counters()?;
    ensure(counters.rejected_late == 1 && counters.late == 0, format!("{counters:?}"))
}

async fn load_counts() -> Outcome {
    let options = FakeOptions { load: LoadFault::Slow(900), ..FakeOptions::default() };
    let bench = Bench::with(options, |config| config.backoff_first = Duration::from_secs(3))?;
    bench.hear_true(&["loaded once"]).await?;
    kill(bench.pid()?, Signal::KILL)?;
    let gone = || bench.supervisor.status(&model()).is_some_and(|status| status.state == ModelState::Backoff);
    until("the worker is gone", gone).await?;
    let hasty = bench.supervisor.admit(&model(), within(ticket(), 300));
    ensure(matches!(hasty, Err(AdmitError::Late { wait_s: 1.., .. })), format!("{hasty:?}"))?;
    let known = bench.supervisor.descriptor(&model()).is_some_and(|descriptor| descriptor.name == "fake");
    ensure(known, "what the engine can do stays known")?;
    let heard = hear(bench.begin_as(within(ticket(), 30_000), &["loaded again"], |_| {})?).await;
    bench.check(&heard, &["loaded again"])
}

async fn late_in_the_queue() -> Outcome {
    let bench = Bench::new(FakeOptions { steps: 100, step_ms: 20, ..FakeOptions::default() })?;
    let long = tokio::spawn(hear(bench.begin(&["two seconds"])?));
    until("it speaks", || bench.counters().is_ok_and(|counters| counters.running == 1)).await?;
    let waits = bench.begin_as(within(from(2, Lane::Interactive), 200), &["too late"], |_| {})?;
    let heard = hear(waits).await;
    ensure(heard.error == Some(SpeechError::Late { waited_s: 0 }), format!("{:?}", heard.error))?;
    let counters = bench.counters()?;
    ensure((counters.late, counters.waiting, counters.running) == (1, 0, 1), format!("{counters:?}"))?;
    bench.check(&long.await?, &["two seconds"])?;
    ensure(bench.counters()?.chunks_sent == 1, "what was too late was never spoken")
}

async fn begun_in_time() -> Outcome {
    let bench = Bench::new(FakeOptions { steps: 20, step_ms: 30, ..FakeOptions::default() })?;
    bench.ready().await?;
    let heard = hear(bench.begin_as(within(ticket(), 400), &["longer than", "its deadline"], |_| {})?).await;
    bench.check(&heard, &["longer than", "its deadline"])
}
