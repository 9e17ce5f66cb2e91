//! Workers that die or hang in the middle of speech.

use crate::harness::{Bench, Outcome, ensure, hear, kill, model, trial, until};
use libtest_mimic::Trial;
use rustix::process::Signal;
use std::time::Duration;
use stentor_supervisor::SpeechError;
use stentor_testkit::FakeOptions;
use stentor_types::{Language, SpokenText};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_death_in_mid_chunk_is_not_heard", death_is_not_heard),
        trial("a_chunk_that_kills_twice_is_quarantined", quarantine),
        trial("a_hung_engine_is_killed_and_the_chunk_replayed", hang),
        trial("a_chunk_that_always_hangs_is_quarantined", always_hangs),
        trial("a_question_that_hangs_the_engine_is_answered", hung_question),
        trial("kills_from_outside_are_not_held_against_a_chunk", outside_kills),
        trial("the_neighbour_of_a_killer_is_heard", neighbour),
        trial("every_queued_request_is_answered_through_many_deaths", many_deaths),
    ]
}

async fn death_is_not_heard() -> Outcome {
    let bench = Bench::new(FakeOptions { steps: 20, ..FakeOptions::default() })?;
    for (deaths, fault) in (1..).zip(["abort", "panic", "exit", "lost", "garbage"]) {
        let mark = bench.mark(fault);
        let bad = format!("bad {{{fault} at=7 mark={}}} luck", mark.display());
        bench.hear_true(&["before", &bad, "after"]).await?;
        let counters = bench.counters()?;
        ensure(counters.restarts == deaths, format!("{fault}: {counters:?}"))?;
        ensure(counters.chunks_replayed == deaths, format!("{fault}: {counters:?}"))?;
    }
    bench.hear_true(&["and the next request"]).await
}

async fn quarantine() -> Outcome {
    let bench = Bench::new(FakeOptions { step_ms: 10, ..FakeOptions::default() })?;
    let heard = bench.hear(&["fine", "poison {abort at=3}", "never"]).await?;
    ensure(matches!(heard.error, Some(SpeechError::Quarantined(_))), format!("{:?}", heard.error))?;
    ensure(heard.ended == 1, "the chunk before the poison is whole")?;
    // How much of it left the worker before it died is a matter of luck.
    let spoken = heard.chunks.get(1).map_or(&[][..], |(_, samples)| samples);
    let expected = bench.expected("poison ");
    ensure(
        spoken.len() <= 3 * 240 && expected.starts_with(spoken),
        "what came before the death is heard once",
    )?;
    bench.hear_true(&["the next request"]).await?;
    let counters = bench.counters()?;
    ensure(counters.restarts == 2 && counters.chunks_failed == 1, format!("{counters:?}"))
}

async fn hang() -> Outcome {
    let bench = Bench::new(FakeOptions::default())?;
    let text = format!("wait {{hang at=4 mark={}}} here", bench.mark("hang").display());
    bench.hear_true(&[&text, "after"]).await?;
    let counters = bench.counters()?;
    ensure(counters.restarts == 1 && counters.chunks_replayed == 1, format!("{counters:?}"))
}

async fn always_hangs() -> Outcome {
    let bench = Bench::with(FakeOptions::default(), |config| config.stuck_min = Duration::from_millis(400))?;
    let heard = bench.hear(&["forever {hang}"]).await?;
    let Some(SpeechError::Quarantined(why)) = heard.error else {
        return Err(format!("{:?}", heard.error).into());
    };
    ensure(why.contains("stuck"), why)?;
    bench.hear_true(&["the next request"]).await
}

async fn hung_question() -> Outcome {
    let bench = Bench::with(FakeOptions::default(), |config| config.stuck_min = Duration::from_millis(400))?;
    let text = SpokenText { text: "forever {hang}".to_owned(), spans: Vec::new() };
    let answer = bench.supervisor.phonemize(&model(), text, Language::en_us()).await;
    ensure(matches!(answer, Err(SpeechError::Unavailable { .. })), format!("{answer:?}"))?;
    bench.hear_true(&["the next request"]).await
}

async fn outside_kills() -> Outcome {
    let bench = Bench::new(FakeOptions { steps: 100, step_ms: 5, ..FakeOptions::default() })?;
    let session = tokio::spawn(hear(bench.begin(&["a chunk of half a second"])?));
    for kills in 1..=3 {
        let sent = |count| move |bench: &Bench| bench.counters().is_ok_and(|c| c.chunks_sent == count);
        until("the chunk is in a worker", || sent(kills)(&bench)).await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
        kill(bench.pid()?, Signal::KILL)?;
    }
    bench.check(&session.await?, &["a chunk of half a second"])?;
    ensure(bench.counters()?.restarts == 3, format!("{:?}", bench.counters()?))
}

async fn neighbour() -> Outcome {
    let bench = Bench::new(FakeOptions { slots: 2, step_ms: 10, ..FakeOptions::default() })?;
    bench.ready().await?;
    let killer = tokio::spawn(hear(bench.begin(&["killer {abort at=5}"])?));
    let innocent = tokio::spawn(hear(bench.begin(&["innocent", "and calm"])?));
    let killer = killer.await?;
    ensure(matches!(killer.error, Some(SpeechError::Quarantined(_))), format!("{:?}", killer.error))?;
    bench.check(&innocent.await?, &["innocent", "and calm"])
}

async fn many_deaths() -> Outcome {
    let bench = Bench::new(FakeOptions { slots: 2, step_ms: 1, ..FakeOptions::default() })?;
    let mut sessions = Vec::new();
    for index in 0..12 {
        let text = match index % 4 {
            0 => format!("dies {{abort at={index} mark={}}}", bench.mark(&format!("m{index}")).display()),
            1 => "kills {exit at=2}".to_owned(),
            _ => format!("peace {index}"),
        };
        sessions.push((tokio::spawn(hear(bench.begin(&["first", &text])?)), text));
    }
    for (session, text) in sessions {
        let heard = session.await?;
        if text.starts_with("kills") {
            ensure(matches!(heard.error, Some(SpeechError::Quarantined(_))), format!("{:?}", heard.error))?;
        } else {
            bench.check(&heard, &["first", &text])?;
        }
    }
    let counters = bench.counters()?;
    ensure(counters.waiting == 0 && counters.running == 0, format!("{counters:?}"))
}
