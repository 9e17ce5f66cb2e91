//! The bookkeeping without processes: whose turn it is, what a replay skips, when a chunk is given up.

use super::*;

fn manner() -> Manner {
    Manner {
        voice: VoiceSource::Preset { name: "one".to_owned() },
        voice_digest: String::new(),
        language: Language::en_us(),
        speed: Speed::NORMAL,
        seed: 1,
        params: Params::new(),
    }
}

fn chunk(index: u32, text: &str) -> Chunk {
    Chunk { index, spoken: SpokenText { text: text.to_owned(), spans: Vec::new() }, pause_ms: 0 }
}

fn board() -> Board {
    Board::new(1000)
}

fn open(board: &mut Board, texts: &[&str]) -> u64 {
    let talk = board.open(manner(), Arc::new(Notify::new()));
    for (index, text) in (0..).zip(texts) {
        board.offer(talk, chunk(index, text));
    }
    talk
}

fn send(board: &mut Board, slots: usize) -> Vec<(ChunkId, String)> {
    std::iter::from_fn(|| board.next_job(slots)).map(|job| (job.chunk, job.text.text)).collect()
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

fn stats(samples: u64) -> ChunkStats {
    ChunkStats { samples, units: 0 }
}

fn crash() -> Death {
    Death { reason: "it fell over".to_owned(), external: false }
}

#[test]
fn sessions_take_turns_and_no_session_runs_further_ahead_than_its_credit() {
    let mut board = board();
    let first = open(&mut board, &["a1", "a2", "a3"]);
    open(&mut board, &["b1", "b2", "b3"]);
    let sent: Vec<_> = send(&mut board, 9).into_iter().map(|(_, text)| text).collect();
    assert_eq!(sent, ["a1", "b1", "a2", "b2"], "two each, in turns, though there are slots for more");
    board.done(board.flights.keys().copied().next().expect("in flight"), stats(0));
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
    board.done(second, stats(6));
    let rest = events(&mut board, talk);
    assert_eq!(samples(&rest), [4.0, 5.0, 6.0]);
    assert!(!rest.iter().any(|event| matches!(event, SessionEvent::Timing(_))), "{rest:?}");
    assert!(matches!(board.take(talk), Taken::Empty));
    let counters = board.counters(1);
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
    board.done(second, stats(2));
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
    board.done(other, stats(0));
    send_one(&mut board, "killer");
    assert!(matches!(board.take(killer), Taken::Nothing), "so is one death alone");
    board.worker_died(&crash());
    let Taken::Error(SpeechError::Quarantined(why)) = board.take(killer) else { panic!("not quarantined") };
    assert_eq!(why, "it fell over");
    board.close(killer);
    assert_eq!(send(&mut board, 2)[0].1, "more", "the others go on");
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
    board.failed(sent[0].0, EngineError::ChunkTooLong { limit: 1 });
    board.worker_died(&crash());
    let Taken::Resplit(cut, 1) = board.take(talk) else { panic!("not to be cut") };
    board.replace_first(talk, ["l", "o", "n", "g"].map(|text| chunk(cut.index, text)).into());
    let suspect = send_one(&mut board, "suspect");
    board.done(suspect, stats(0));
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
    board.failed(flying, EngineError::Cancelled);
    send_one(&mut board, "next");
    assert!(matches!(board.take(stays), Taken::Nothing));
    assert_eq!(board.counters(1).cancels, 1);
}

#[test]
fn everyone_is_answered_when_the_model_goes_and_who_comes_later_too() {
    let mut board = board();
    let waits = open(&mut board, &["done", "waits"]);
    let done = send_one(&mut board, "done");
    board.done(done, stats(0));
    board.close_for_good(SpeechError::shutting_down());
    assert_eq!(events(&mut board, waits).len(), 2, "what is finished is still given out");
    assert!(matches!(board.take(waits), Taken::Error(SpeechError::Unavailable { .. })));
    assert!(board.next_job(1).is_none());
    let late = open(&mut board, &[]);
    assert!(matches!(board.take(late), Taken::Error(SpeechError::Unavailable { .. })));
    let (answer, mut question) = oneshot::channel();
    let text = SpokenText::default();
    board.ask(Question { text, language: Language::en_us(), answer });
    assert!(matches!(question.try_recv(), Ok(Err(SpeechError::Unavailable { .. }))));
}
