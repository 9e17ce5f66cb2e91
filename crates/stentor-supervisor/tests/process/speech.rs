//! Sessions that nothing disturbs, and those that their own text ends.

use crate::harness::{Bench, Outcome, chunk, ensure, halves, hear, model, ticket, trial};
use libtest_mimic::Trial;
use stentor_supervisor::{SessionEvent, SessionRequest, SpeechError};
use stentor_testkit::FakeOptions;
use stentor_types::{Language, SpokenText};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_request_is_spoken_in_order_and_whole", spoken_whole),
        trial("an_engine_error_ends_its_own_request_only", engine_errors),
        trial("a_chunk_that_is_too_long_is_cut_once_more", cut_once_more),
        trial("a_chunk_that_stays_too_long_is_an_error", stays_too_long),
        trial("endless_audio_is_given_up", endless_audio),
        trial("phonemes_can_be_asked_for", phonemes),
    ]
}

async fn spoken_whole() -> Outcome {
    let bench = Bench::new(FakeOptions { samples_per_step: 30_000, ..FakeOptions::default() })?;
    let texts = ["Hello there.", "This is the second of three.", "And this the last."];
    let heard = bench.hear(&texts).await?;
    bench.check(&heard, &texts)?;
    ensure(heard.words == 12, format!("{} word timings", heard.words))?;
    let counters = bench.counters()?;
    ensure(counters.chunks_done == 3 && counters.chunks_sent == 3, format!("{counters:?}"))?;
    ensure(counters.samples_received == 3 * 300_000, format!("{counters:?}"))?;
    ensure(counters.waiting == 0 && counters.running == 0, format!("{counters:?}"))?;
    ensure(bench.hear(&[]).await?.error.is_none(), "a session without chunks ends in peace")
}

async fn engine_errors() -> Outcome {
    let bench = Bench::new(FakeOptions::default())?;
    let rejected = bench.hear(&["fine", "then {reject at=2}", "never"]).await?;
    ensure(matches!(rejected.error, Some(SpeechError::Rejected(_))), format!("{:?}", rejected.error))?;
    ensure(rejected.ended == 1, "the chunk before the error is whole")?;
    let failed = bench.hear(&["{fail}"]).await?;
    ensure(matches!(failed.error, Some(SpeechError::Failed(_))), format!("{:?}", failed.error))?;
    bench.hear_true(&["all is well"]).await?;
    let counters = bench.counters()?;
    ensure(counters.restarts == 0 && counters.chunks_failed == 2, format!("{counters:?}"))
}

async fn cut_once_more() -> Outcome {
    let cut = |request: &mut SessionRequest| request.resplit = halves;
    let bench = Bench::new(FakeOptions { limit: 16, ..FakeOptions::default() })?;
    let heard = hear(bench.begin_as(ticket(), &["short", "sixteen letters and more", "end"], cut)?).await;
    bench.check(&heard, &["short", "sixteen letters ", "and more", "end"])?;
    let indices: Vec<u32> = heard.chunks.iter().map(|(chunk, _)| chunk.index).collect();
    ensure(indices == [0, 1, 1, 2], format!("{indices:?}"))
}

async fn stays_too_long() -> Outcome {
    let bench = Bench::new(FakeOptions { limit: 16, ..FakeOptions::default() })?;
    let heard = bench.hear(&["this is longer than the engine takes, and nobody cuts it"]).await?;
    ensure(matches!(heard.error, Some(SpeechError::Failed(_))), format!("{:?}", heard.error))?;
    bench.hear_true(&["short"]).await
}

async fn endless_audio() -> Outcome {
    let options = FakeOptions { samples_per_step: 2400, ..FakeOptions::default() };
    let bench = Bench::with(options, |config| config.max_chunk_seconds = 5)?;
    let heard = bench.hear(&["on and on {endless at=99}"]).await?;
    ensure(matches!(heard.error, Some(SpeechError::Failed(_))), format!("{:?}", heard.error))?;
    bench.hear_true(&["short"]).await?;
    ensure(bench.counters()?.restarts == 0, "the worker was cancelled, not killed")
}

async fn phonemes() -> Outcome {
    let bench = Bench::new(FakeOptions::default())?;
    let text = SpokenText { text: "hello".to_owned(), spans: Vec::new() };
    let trace = bench.supervisor.phonemize(&model(), text, Language::en_us()).await?;
    ensure(trace.phonemes == "HELLO", trace.phonemes)?;
    // Asked while a chunk is spoken, the answer does not disturb it.
    let mut session = bench.begin(&["one", "two"])?;
    let first = session.next().await.ok_or("no event")??;
    ensure(first == SessionEvent::ChunkStart(chunk(0, "one")), format!("{first:?}"))?;
    let text = SpokenText { text: "world".to_owned(), spans: Vec::new() };
    let trace = bench.supervisor.phonemize(&model(), text, Language::en_us()).await?;
    ensure(trace.phonemes == "WORLD", trace.phonemes)?;
    drop(session);
    bench.hear_true(&["after"]).await
}
