//! Several sessions on one worker: turns, credit, admission, cancellation.

use crate::harness::{Bench, Heard, Outcome, ensure, model, ticket, trial, until};
use libtest_mimic::Trial;
use std::time::{Duration, Instant};
use stentor_supervisor::{AdmitError, SessionEvent, Ticket};
use stentor_testkit::FakeOptions;
use stentor_types::ClientId;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_client_that_does_not_read_holds_up_nobody", slow_client),
        trial("more_sessions_than_places_are_refused", admission),
        trial("one_client_does_not_take_all_places", flood),
        trial("a_herd_that_is_turned_away_is_told_to_come_back_one_by_one", herd),
        trial("a_dropped_session_frees_the_engine_at_once", cancel),
        trial("a_session_that_is_dropped_while_it_waits_is_never_spoken", cancel_waiting),
    ]
}

async fn slow_client() -> Outcome {
    let bench = Bench::new(FakeOptions::default())?;
    let book = ["one", "two", "three", "four", "five", "six"];
    let mut slow = bench.begin(&book)?;
    let mut heard = Heard::default();
    heard.take(slow.next().await.ok_or("no event")??);
    bench.hear_true(&book).await?;
    let counters = bench.counters()?;
    ensure(counters.chunks_sent == 2 + 6, format!("two chunks ahead and no more: {counters:?}"))?;
    while let Some(event) = slow.next().await {
        heard.take(event?);
    }
    bench.check(&heard, &book)
}

async fn admission() -> Outcome {
    let bench = Bench::with(FakeOptions::default(), |config| config.max_waiting = 2)?;
    let mut permits: Vec<_> =
        (0..3).map(|_| bench.supervisor.admit(&model(), ticket())).collect::<Result<_, _>>()?;
    ensure(bench.counters()?.waiting == 3, "three are waiting")?;
    let refused = bench.supervisor.admit(&model(), ticket());
    let Err(AdmitError::Busy { retry_after_s }) = refused else { return Err(format!("{refused:?}").into()) };
    ensure((1..=60).contains(&retry_after_s), retry_after_s.to_string())?;
    permits.pop();
    bench.hear_true(&["there is a place again"]).await?;
    let unknown = bench.supervisor.admit(&"nobody".into(), ticket());
    ensure(matches!(unknown, Err(AdmitError::UnknownModel(_))), format!("{unknown:?}"))
}

async fn flood() -> Outcome {
    let bench = Bench::with(FakeOptions::default(), |config| config.max_waiting = 4)?;
    let from = |client| bench.supervisor.admit(&model(), Ticket { client: ClientId(client), ..ticket() });
    let held: Vec<_> = (0..4).map(|_| from(1)).collect::<Result<_, _>>()?;
    ensure(
        matches!(from(1), Err(AdmitError::Busy { .. })),
        "the last place is not for whoever holds the rest",
    )?;
    let other = from(2)?;
    ensure(matches!(from(3), Err(AdmitError::Busy { .. })), "now all places are taken")?;
    drop((held, other));
    from(1).map(drop)?;
    Ok(())
}

async fn herd() -> Outcome {
    let bench = Bench::with(FakeOptions::default(), |config| config.max_waiting = 1)?;
    let held: Vec<_> =
        (0..2).map(|_| bench.supervisor.admit(&model(), ticket())).collect::<Result<_, _>>()?;
    let told = |_| match bench.supervisor.admit(&model(), ticket()) {
        Err(AdmitError::Busy { retry_after_s }) => retry_after_s,
        other => panic!("{other:?}"),
    };
    let told: Vec<u32> = (0..70).map(told).collect();
    ensure(told.windows(2).all(|pair| pair[0] <= pair[1]) && told[0] < told[9], format!("{told:?}"))?;
    ensure(told.iter().all(|seconds| (1..=60).contains(seconds)), format!("{told:?}"))?;
    drop(held);
    Ok(())
}

async fn cancel() -> Outcome {
    // A chunk of twenty seconds in steps of 40 ms.
    let bench = Bench::new(FakeOptions { steps: 500, step_ms: 40, ..FakeOptions::default() })?;
    let mut session = bench.begin(&["long", "longer"])?;
    let mut heard = Heard::default();
    while !matches!(heard.chunks.first(), Some((_, samples)) if !samples.is_empty()) {
        heard.take(session.next().await.ok_or("no event")??);
    }
    drop(session);
    let start = Instant::now();
    let mut next = bench.begin(&["next"])?;
    while !matches!(next.next().await, Some(Ok(SessionEvent::Pcm(_)))) {}
    let waited = start.elapsed();
    // The rest of one step, and the first step of the next chunk.
    ensure(waited < Duration::from_millis(250), format!("the engine was free after {waited:?}"))?;
    drop(next);
    let counters = bench.counters()?;
    ensure(counters.cancels == 2 && counters.chunks_sent == 2, format!("{counters:?}"))?;
    let idle = || bench.supervisor.progress(&model()).is_some_and(|progress| progress.active == 0);
    until("the worker has nothing to do", idle).await?;
    ensure(bench.counters()?.restarts == 0, "no worker was killed for it")
}

async fn cancel_waiting() -> Outcome {
    let bench = Bench::new(FakeOptions { step_ms: 10, ..FakeOptions::default() })?;
    let mut first = bench.begin(&["first"])?;
    let begun = first.next().await.ok_or("no event")??;
    let mut second = bench.begin(&["second"])?;
    // Offers its chunk, and is dropped while it waits for its turn.
    let early = tokio::time::timeout(Duration::from_millis(20), second.next()).await;
    ensure(early.is_err(), format!("spoken out of turn: {early:?}"))?;
    drop(second);
    let mut heard = Heard::default();
    heard.take(begun);
    while let Some(event) = first.next().await {
        heard.take(event?);
    }
    bench.check(&heard, &["first"])?;
    let counters = bench.counters()?;
    ensure(counters.chunks_sent == 1 && counters.cancels == 0, format!("{counters:?}"))
}
