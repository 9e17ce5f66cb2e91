//! The bookkeeping without processes: whose turn it is, what a replay skips, when a chunk is given up.

use super::*;
use crate::slot::Death;
use std::time::Duration;
use stentor_engine::{ChunkStats, EngineError};
use stentor_jobs::ChunkStoreConfig;
use stentor_types::WordTiming;

fn manner() -> Arc<Manner> {
    Arc::new(Manner {
        voice: VoiceSource::Preset { name: "one".to_owned() },
        voice_digest: String::new(),
        language: Language::en_us(),
        speed: Speed::NORMAL,
        seed: 1,
        params: Params::new(),
    })
}

pub(super) fn chunk(index: u32, text: &str) -> Chunk {
    Chunk {
        index,
        spoken: SpokenText { text: text.to_owned(), spans: Vec::new() },
        pause_ms: 0,
        style: 0,
        goes_on: false,
    }
}

pub(super) fn offer(chunk: Chunk) -> Offer {
    Offer { manner: manner(), chunk, key: None, found: None }
}

/// A chunk that is shared with whoever says the same.
pub(super) fn keyed(chunk: Chunk) -> Offer {
    let key = stentor_jobs::KeyBase::new(&[]).chunk(&chunk.spoken);
    Offer { key: Some(key), ..offer(chunk) }
}

fn board() -> Board {
    Board::new(1000, None)
}

fn enter(board: &mut Board, client: u64, lane: Lane) -> u64 {
    board.enter((ClientId(client), lane), 0, Arc::new(Notify::new()))
}

/// A session of a client of its own.
fn open(board: &mut Board, texts: &[&str]) -> u64 {
    let client = board.ids;
    open_as(board, (client, Lane::Interactive), texts, offer)
}

fn open_as(board: &mut Board, who: (u64, Lane), texts: &[&str], offer: fn(Chunk) -> Offer) -> u64 {
    let talk = enter(board, who.0, who.1);
    for (index, text) in (0..).zip(texts) {
        board.offer(talk, offer(chunk(index, text)), Instant::now());
    }
    talk
}

/// A session whose chunks are shared.
fn open_shared(board: &mut Board, texts: &[&str]) -> u64 {
    let client = board.ids;
    open_as(board, (client, Lane::Interactive), texts, keyed)
}

fn done(board: &mut Board, chunk: ChunkId, samples: u64) {
    board.done(chunk, ChunkStats { samples, units: 0 }, Instant::now());
}

fn failed(board: &mut Board, chunk: ChunkId, error: EngineError) {
    board.failed(chunk, error, Instant::now());
}

fn send(board: &mut Board, slots: usize) -> Vec<(ChunkId, String)> {
    std::iter::from_fn(|| board.next_job(slots, Instant::now()))
        .map(|job| (job.chunk, job.text.text))
        .collect()
}

/// Sends what may be sent, which must be one chunk of this text.
fn send_one(board: &mut Board, text: &str) -> ChunkId {
    match send(board, 1).as_slice() {
        [(chunk, sent)] if sent == text => *chunk,
        other => panic!("{other:?} instead of {text}"),
    }
}

fn events(board: &mut Board, talk: u64) -> Vec<SessionEvent> {
    let mut events = Vec::new();
    while let Taken::Event(event) = board.take(talk) {
        events.push(event);
    }
    events
}

fn samples(events: &[SessionEvent]) -> Vec<f32> {
    let pcm = |event: &SessionEvent| match event {
        SessionEvent::Pcm(samples) => samples.clone(),
        _ => Vec::new(),
    };
    events.iter().flat_map(pcm).collect()
}

fn crash() -> Death {
    Death { reason: "it fell over".to_owned(), external: false }
}

#[test]
fn clients_take_turns_and_no_session_runs_further_ahead_than_its_credit() {
    let mut board = board();
    let first = open(&mut board, &["a1", "a2", "a3"]);
    open(&mut board, &["b1", "b2", "b3"]);
    let sent: Vec<_> = send(&mut board, 9).into_iter().map(|(_, text)| text).collect();
    assert_eq!(sent, ["a1", "b1", "a2", "b2"], "two each, in turns, though there are slots for more");
    let flying = board.flights.keys().copied().next().expect("in flight");
    done(&mut board, flying, 0);
    assert!(send(&mut board, 9).is_empty(), "finished is not consumed");
    assert_eq!(events(&mut board, first).len(), 2, "start and end");
    assert_eq!(send(&mut board, 9)[0].1, "a3");
}

#[test]
fn a_replay_continues_in_the_middle_of_a_frame() {
    let mut board = board();
    let talk = open(&mut board, &["text"]);
    let words = [WordTiming { text: 0..4, samples: 0..6 }];
    let first = send_one(&mut board, "text");
    board.timing(first, &words);
    board.pcm(first, &[1.0, 2.0, 3.0]);
    assert_eq!(samples(&events(&mut board, talk)), [1.0, 2.0, 3.0]);
    assert!(board.worker_died(&crash()));
    let second = send_one(&mut board, "text");
    assert_ne!(first, second);
    board.pcm(first, &[9.0]);
    board.timing(second, &words);
    board.pcm(second, &[1.0, 2.0]);
    assert!(events(&mut board, talk).is_empty(), "nothing new, nothing heard twice");
    board.pcm(second, &[3.0, 4.0, 5.0, 6.0]);
    done(&mut board, second, 6);
    let rest = events(&mut board, talk);
    assert_eq!(samples(&rest), [4.0, 5.0, 6.0]);
    assert!(!rest.iter().any(|event| matches!(event, SessionEvent::Timing(_))), "{rest:?}");
    assert!(matches!(board.take(talk), Taken::Empty));
    let counters = board.counters();
    assert_eq!((counters.chunks_sent, counters.chunks_replayed, counters.samples_received), (2, 1, 6));
}

#[test]
fn a_replay_that_ends_too_early_is_an_error_and_not_a_gap() {
    let mut board = board();
    let talk = open(&mut board, &["text"]);
    let first = send_one(&mut board, "text");
    board.pcm(first, &[1.0, 2.0, 3.0]);
    board.worker_died(&crash());
    let second = send_one(&mut board, "text");
    board.pcm(second, &[1.0, 2.0]);
    done(&mut board, second, 2);
    events(&mut board, talk);
    assert!(matches!(board.take(talk), Taken::Error(SpeechError::Failed(_))));
}

#[test]
fn suspects_are_replayed_alone_and_only_deaths_alone_count() {
    let mut board = board();
    let killer = open(&mut board, &["killer"]);
    open(&mut board, &["other", "more"]);
    assert_eq!(send(&mut board, 2).len(), 2);
    board.worker_died(&crash());
    let suspects = send(&mut board, 2);
    assert!(matches!(suspects.as_slice(), [(_, text)] if text == "killer"), "alone: {suspects:?}");
    assert!(matches!(board.take(killer), Taken::Nothing), "one death in company is forgiven");
    board.worker_died(&crash());
    let other = send_one(&mut board, "other");
    assert!(send(&mut board, 2).is_empty(), "a suspect has the engine for itself");
    done(&mut board, other, 0);
    send_one(&mut board, "killer");
    assert!(matches!(board.take(killer), Taken::Nothing), "so is one death alone");
    board.worker_died(&crash());
    let Taken::Error(SpeechError::Quarantined(why)) = board.take(killer) else { panic!("not quarantined") };
    assert_eq!(why, "it fell over");
    board.close(killer);
    assert_eq!(send(&mut board, 2)[0].1, "more", "the others go on");
}

#[test]
fn a_chunk_that_killed_twice_is_refused_to_who_asks_again_and_what_was_killed_from_outside_is_not() {
    for (death, known) in [(crash(), true), (Death { reason: "killed".to_owned(), external: true }, false)] {
        let mut board = board();
        let first = open_shared(&mut board, &["killer"]);
        while matches!(board.take(first), Taken::Nothing) {
            send_one(&mut board, "killer");
            board.worker_died(&death);
        }
        board.close(first);
        let again = open_shared(&mut board, &["killer"]);
        let refused = matches!(board.take(again), Taken::Error(SpeechError::Quarantined(_)));
        assert_eq!((refused, send(&mut board, 1).is_empty()), (known, known), "{death:?}");
        open_shared(&mut board, &["another"]);
        assert_eq!(send(&mut board, 2)[0].1, "another", "the others go on");
    }
}

#[test]
fn kills_from_outside_count_from_the_fourth() {
    let mut board = board();
    let talk = open(&mut board, &["text"]);
    let kill = Death { reason: "killed".to_owned(), external: true };
    for _ in 0..4 {
        send_one(&mut board, "text");
        board.worker_died(&kill);
        assert!(matches!(board.take(talk), Taken::Nothing));
    }
    send_one(&mut board, "text");
    board.worker_died(&kill);
    assert!(matches!(board.take(talk), Taken::Error(SpeechError::Quarantined(_))));
}

#[test]
fn a_suspect_behind_a_chunk_that_was_cut_is_still_replayed() {
    let mut board = board();
    let talk = open(&mut board, &["long", "suspect"]);
    let sent = send(&mut board, 2);
    failed(&mut board, sent[0].0, EngineError::ChunkTooLong { limit: 1 });
    board.worker_died(&crash());
    let Taken::Resplit(cut, 1) = board.take(talk) else { panic!("not to be cut") };
    let pieces = ["l", "o", "n", "g"].map(|text| offer(chunk(cut.index, text)));
    board.replace_first(talk, pieces.into(), Instant::now());
    let suspect = send_one(&mut board, "suspect");
    done(&mut board, suspect, 0);
    let sent: Vec<_> = send(&mut board, 9).into_iter().map(|(_, text)| text).collect();
    assert_eq!(sent, ["l", "o"]);
}

#[test]
fn a_session_that_leaves_cancels_what_is_in_the_worker_and_nothing_else() {
    let mut board = board();
    let gone = open(&mut board, &["flying", "waiting"]);
    let stays = open(&mut board, &["next"]);
    let flying = send_one(&mut board, "flying");
    board.close(gone);
    assert_eq!(board.take_cancels(), [flying]);
    assert!(board.take_cancels().is_empty(), "said once");
    assert!(send(&mut board, 1).is_empty(), "the slot is taken until the worker has answered");
    failed(&mut board, flying, EngineError::Cancelled);
    send_one(&mut board, "next");
    assert!(matches!(board.take(stays), Taken::Nothing));
    assert_eq!(board.counters().cancels, 1);
}

#[test]
fn everyone_is_answered_when_the_model_goes_and_who_comes_later_too() {
    let mut board = board();
    let waits = open(&mut board, &["done", "waits"]);
    let finished = send_one(&mut board, "done");
    done(&mut board, finished, 0);
    board.close_for_good(SpeechError::shutting_down());
    assert_eq!(events(&mut board, waits).len(), 2, "what is finished is still given out");
    assert!(matches!(board.take(waits), Taken::Error(SpeechError::Unavailable { .. })));
    assert!(board.next_job(1, Instant::now()).is_none());
    let late = open(&mut board, &[]);
    assert!(matches!(board.take(late), Taken::Error(SpeechError::Unavailable { .. })));
    let (answer, mut question) = oneshot::channel();
    let text = SpokenText::default();
    board.ask(Question { text, language: Language::en_us(), answer });
    assert!(matches!(question.try_recv(), Ok(Err(SpeechError::Unavailable { .. }))));
}

#[test]
fn a_chunk_that_two_wait_for_is_spoken_once_and_heard_whole_by_both() {
    let mut board = board();
    let first = open_shared(&mut board, &["same", "other"]);
    let flying = send_one(&mut board, "same");
    board.pcm(flying, &[1.0, 2.0]);
    assert_eq!(samples(&events(&mut board, first)), [1.0, 2.0]);
    let second = open_shared(&mut board, &["same"]);
    assert!(board.begun(second).is_some(), "its chunk is in the worker");
    board.pcm(flying, &[3.0]);
    done(&mut board, flying, 3);
    assert_eq!(samples(&events(&mut board, first)), [3.0]);
    assert_eq!(samples(&events(&mut board, second)), [1.0, 2.0, 3.0]);
    let other = send_one(&mut board, "other");
    assert!(send(&mut board, 9).is_empty(), "only the other chunk was left");
    let counters = board.counters();
    assert_eq!((counters.chunks_sent, counters.chunks_shared), (2, 1));
    board.close(first);
    board.close(second);
    failed(&mut board, other, EngineError::Cancelled);
    assert!(board.slots.is_empty() && board.keyed.is_empty(), "nothing is left behind");
}

#[test]
fn a_shared_chunk_is_cancelled_when_the_last_of_its_sessions_leaves() {
    let mut board = board();
    let first = open_shared(&mut board, &["same"]);
    let second = open_shared(&mut board, &["same"]);
    let flying = send_one(&mut board, "same");
    board.close(first);
    assert!(board.take_cancels().is_empty(), "somebody still waits");
    board.pcm(flying, &[1.0]);
    assert_eq!(samples(&events(&mut board, second)), [1.0]);
    board.close(second);
    assert_eq!(board.take_cancels(), [flying]);
}

#[test]
fn a_chunk_that_stands_twice_in_a_text_is_spoken_once() {
    let mut board = board();
    let talk = open_shared(&mut board, &["same", "same"]);
    let flying = send_one(&mut board, "same");
    board.pcm(flying, &[1.0]);
    done(&mut board, flying, 1);
    assert_eq!(samples(&events(&mut board, talk)), [1.0, 1.0]);
    assert!(board.slots.is_empty() && board.keyed.is_empty());
}

#[test]
fn an_error_reaches_all_who_wait_and_nobody_who_comes_later() {
    let mut board = board();
    let waiting = [open_shared(&mut board, &["same"]), open_shared(&mut board, &["same"])];
    let flying = send_one(&mut board, "same");
    failed(&mut board, flying, EngineError::Failed("no".to_owned()));
    for talk in waiting {
        assert!(matches!(board.take(talk), Taken::Error(SpeechError::Failed(_))));
    }
    let later = open_shared(&mut board, &["same"]);
    send_one(&mut board, "same");
    assert!(matches!(board.take(later), Taken::Nothing));
}

#[test]
fn a_chunk_that_one_session_cuts_and_another_got_by_cutting_ends_well_for_the_first_only() {
    let mut board = board();
    let cutter = open_shared(&mut board, &["long"]);
    let first = send_one(&mut board, "long");
    failed(&mut board, first, EngineError::ChunkTooLong { limit: 2 });
    let Taken::Resplit(cut, 2) = board.take(cutter) else { panic!("not to be cut") };
    let pieces = ["lo", "ng"].map(|text| keyed(chunk(cut.index, text)));
    board.replace_first(cutter, pieces.into(), Instant::now());
    let whole = open_shared(&mut board, &["lo"]);
    let second = send_one(&mut board, "lo");
    failed(&mut board, second, EngineError::ChunkTooLong { limit: 1 });
    assert!(matches!(board.take(cutter), Taken::Error(SpeechError::Failed(_))), "cut once already");
    assert!(matches!(board.take(whole), Taken::Resplit(_, 1)));
}

#[test]
fn a_shared_chunk_goes_with_the_most_urgent_of_its_sessions() {
    let mut board = board();
    open_as(&mut board, (1, Lane::Batch), &["b1", "shared"], keyed);
    open_as(&mut board, (2, Lane::Interactive), &["shared"], keyed);
    let sent: Vec<_> = send(&mut board, 9).into_iter().map(|(_, text)| text).collect();
    assert_eq!(sent, ["shared", "b1"]);
}

#[tokio::test]
async fn what_is_whole_is_kept_at_once_and_what_is_not_never() {
    let store = ChunkStore::open(ChunkStoreConfig { memory_bytes: 1 << 20, ..Default::default() });
    let store = store.expect("in memory");
    let mut board = Board::new(10, Some(store.clone()));
    let outcomes: [(&str, &[f32], u64); 4] = [
        ("whole", &[1.0, 2.0], 2),
        ("short", &[1.0], 2),
        ("nan", &[f32::NAN], 1),
        ("endless", &[0.0; 11], 11),
    ];
    for (text, samples, told) in outcomes {
        let talk = open_shared(&mut board, &[text]);
        let flying = send_one(&mut board, text);
        board.pcm(flying, samples);
        done(&mut board, flying, told);
        let key = keyed(chunk(0, text)).key.expect("keyed");
        let kept = store.get(&key).await;
        assert_eq!(kept.is_some(), text == "whole", "{text}: {kept:?}");
        events(&mut board, talk);
        let error = matches!(board.take(talk), Taken::Error(SpeechError::Failed(_)));
        assert_eq!(error, text != "whole", "{text}");
        board.close(talk);
    }
}

#[test]
fn what_was_found_is_heard_without_a_worker() {
    let mut board = board();
    let talk = enter(&mut board, 1, Lane::Interactive);
    let spoken = SpokenChunk { samples: vec![1.0, 2.0], words: Vec::new(), units: 5 };
    let found = Offer { found: Some(Arc::new(spoken)), ..keyed(chunk(0, "known")) };
    board.offer(talk, found, Instant::now());
    assert!(!board.has_work(), "no worker is started for it");
    assert!(board.begun(talk).is_some());
    assert!(send(&mut board, 1).is_empty());
    board.fail_all(&SpeechError::shutting_down());
    let heard = events(&mut board, talk);
    assert_eq!(samples(&heard), [1.0, 2.0]);
    let stats = ChunkStats { samples: 2, units: 5 };
    assert_eq!(heard.last(), Some(&SessionEvent::ChunkEnd { stats }));
    assert!(matches!(board.take(talk), Taken::Empty), "a model that fails is no concern of it");
    assert_eq!(board.counters().chunks_reused, 1);
}

#[test]
fn a_replay_that_says_something_else_is_an_error_on_a_cpu_and_blended_on_a_gpu() {
    for inexact in [false, true] {
        let mut board = board();
        board.set_inexact(inexact);
        let talk = open(&mut board, &["text"]);
        let first = send_one(&mut board, "text");
        board.pcm(first, &[0.5, 0.5]);
        board.worker_died(&crash());
        let second = send_one(&mut board, "text");
        board.pcm(second, &[0.5, 0.4, 0.4, 0.4]);
        done(&mut board, second, 4);
        let heard = samples(&events(&mut board, talk));
        assert_eq!(heard[..2], [0.5, 0.5]);
        let failed = matches!(board.take(talk), Taken::Error(SpeechError::Failed(_)));
        assert_eq!((failed, heard.len()), if inexact { (false, 4) } else { (true, 2) });
    }
}

#[test]
fn a_deadline_is_missed_by_who_waits_and_not_by_who_has_begun() {
    let mut board = board();
    let speaks = open(&mut board, &["speaks"]);
    send_one(&mut board, "speaks");
    let waits = open(&mut board, &["waits"]);
    assert!(!board.is_late(speaks));
    assert!(board.is_late(waits));
    let counters = board.counters();
    assert_eq!((counters.late, counters.running, counters.waiting), (1, 1, 1));
}

#[test]
fn the_forecast_knows_the_pace_and_what_is_left_of_each_session() {
    let mut board = board();
    let start = Instant::now();
    let after = |ms| start + Duration::from_millis(ms);
    let talk = board.enter((ClientId(1), Lane::Batch), 100, Arc::new(Notify::new()));
    board.offer(talk, offer(chunk(0, "ten chars.")), start);
    board.offer(talk, offer(chunk(1, "and twenty of them..")), start);
    let left = |board: &Board, ms| {
        let forecast = board.forecast(1, 0.0, after(ms));
        (forecast.queue[0].chars, forecast.flying.len())
    };
    assert_eq!(left(&board, 0), (100.0, 0));
    let first = board.next_job(1, start).expect("a job").chunk;
    assert_eq!(left(&board, 0), (90.0, 1));
    assert_eq!(board.forecast(1, 0.0, start).wait_s(ClientId(2), Lane::Batch), None, "nothing measured");
    board.done(first, ChunkStats::default(), after(1000));
    let second = board.next_job(1, after(1000)).expect("a job").chunk;
    let wait = board.forecast(1, 0.0, after(1500)).wait_s(ClientId(2), Lane::Interactive);
    // Eight characters are the overhead of a chunk.
    let expected = 28.0 / 18.0 - 0.5;
    assert!(
        wait.is_some_and(|wait| (wait - expected).abs() < 1e-9),
        "{wait:?}: the rest of twenty characters as slow as the ten before, and none of the batch"
    );
    board.done(second, ChunkStats::default(), after(3000));
    assert_eq!(left(&board, 3000), (0.0, 0), "it has what it may have: its reader is slow");
    events(&mut board, talk);
    assert_eq!(left(&board, 3000), (70.0, 0));
    board.drained(talk);
    assert_eq!(left(&board, 3000), (0.0, 0));
}

#[tokio::test]
async fn a_chunk_that_is_finished_before_its_cancel_is_heard_is_not_spoken_twice() {
    let store = ChunkStore::open(ChunkStoreConfig { memory_bytes: 1 << 20, ..Default::default() });
    let store = store.expect("in memory");
    let mut board = Board::new(1000, Some(store.clone()));
    let gone = open_shared(&mut board, &["same"]);
    let flying = send_one(&mut board, "same");
    board.pcm(flying, &[1.0]);
    board.close(gone);
    assert_eq!(board.take_cancels(), [flying]);
    let back = open_shared(&mut board, &["same"]);
    assert!(board.begun(back).is_none(), "what is cancelled is nothing to wait for");
    board.pcm(flying, &[2.0]);
    done(&mut board, flying, 2);
    assert!(send(&mut board, 1).is_empty());
    assert_eq!(samples(&events(&mut board, back)), [1.0, 2.0]);
    let key = keyed(chunk(0, "same")).key.expect("keyed");
    assert!(store.get(&key).await.is_some());
    assert_eq!(board.counters().waiting, 0);
    board.close(back);
    assert!(board.slots.is_empty() && board.keyed.is_empty() && board.flights.is_empty());
}

#[test]
fn a_cancelled_chunk_leaves_nothing_behind_however_it_ends() {
    for ending in 0..4 {
        let mut board = board();
        let gone = open_shared(&mut board, &["same"]);
        let flying = send_one(&mut board, "same");
        board.close(gone);
        let back = open_shared(&mut board, &["same"]);
        match ending {
            0 => failed(&mut board, flying, EngineError::Cancelled),
            1 => assert!(board.worker_died(&crash())),
            2 => done(&mut board, flying, 7),
            _ => {
                board.pcm(flying, &[f32::NAN]);
                failed(&mut board, flying, EngineError::Cancelled);
            }
        }
        let counters = board.counters();
        assert_eq!((counters.cancels, counters.chunks_failed), (1, 0), "{ending}");
        let again = send_one(&mut board, "same");
        done(&mut board, again, 0);
        assert_eq!(events(&mut board, back).len(), 2, "{ending}");
        board.close(back);
        assert!(board.slots.is_empty() && board.keyed.is_empty() && board.flights.is_empty(), "{ending}");
    }
}
