//! The board under everything at once: sessions that share, leave and read as they like, and an engine that is slow,
//! obeys cancels late and dies. Whoever stays hears every sample once, and nothing is left behind.

use super::*;
use crate::slot::Death;
use proptest::prelude::*;
use stentor_engine::{ChunkStats, EngineError};

const SLOTS: usize = 2;

/// What an undisturbed engine says.
fn truth(text: &str) -> Vec<f32> {
    let start = text.bytes().map(f32::from).sum::<f32>();
    (0..5).map(|index| start + index as f32 / 8.0).collect()
}

/// A session and what it has heard.
struct Listener {
    talk: u64,
    keyed: bool,
    left: VecDeque<&'static str>,
    expected: VecDeque<&'static str>,
    heard: Vec<f32>,
    over: bool,
}

/// A chunk in the engine.
struct Spoken {
    chunk: ChunkId,
    text: String,
    sent: usize,
}

struct World {
    board: Board,
    listeners: Vec<Listener>,
    engine: Vec<Spoken>,
    cancelled: Vec<ChunkId>,
    now: Instant,
}

impl World {
    fn enter(&mut self, seed: usize) {
        let texts = ["a", "bb", "ccc", "dddd"];
        let left: VecDeque<_> =
            (0..=seed % 4).map(|index| texts[(seed / 4 + index * (seed % 3)) % 4]).collect();
        let who =
            (ClientId(seed as u64 % 3), if seed.is_multiple_of(2) { Lane::Batch } else { Lane::Interactive });
        let talk = self.board.enter(who, 10, Arc::new(Notify::new()));
        let (expected, heard) = (left.clone(), Vec::new());
        self.listeners.push(Listener {
            talk,
            keyed: !seed.is_multiple_of(5),
            left,
            expected,
            heard,
            over: false,
        });
    }

    /// Offers and reads as far as it goes, as a session does.
    fn read(&mut self, index: usize, finds: bool) {
        let Some(listener) = self.listeners.get_mut(index) else { return };
        while !listener.over {
            while self.board.has_room(listener.talk) && !listener.left.is_empty() {
                let text = listener.left.pop_front().unwrap_or_default();
                let chunk = super::tests::chunk(0, text);
                let offer =
                    if listener.keyed { super::tests::keyed(chunk) } else { super::tests::offer(chunk) };
                let spoken = SpokenChunk { samples: truth(text), ..SpokenChunk::default() };
                let found = (finds && listener.keyed).then(|| Arc::new(spoken));
                self.board.offer(listener.talk, Offer { found, ..offer }, self.now);
            }
            match self.board.take(listener.talk) {
                Taken::Event(SessionEvent::Pcm(samples)) => listener.heard.extend(samples),
                Taken::Event(SessionEvent::ChunkEnd { .. }) => {
                    let text = listener.expected.pop_front().expect("a chunk too many");
                    assert_eq!(std::mem::take(&mut listener.heard), truth(text));
                }
                Taken::Event(_) => {}
                Taken::Nothing => return,
                Taken::Empty => {
                    assert!(listener.expected.is_empty(), "ended without {:?}", listener.expected);
                    listener.over = true;
                }
                Taken::Error(SpeechError::Quarantined(_)) => listener.over = true,
                other => panic!("{other:?}"),
            }
        }
        self.board.close(listener.talk);
    }

    fn leave(&mut self, index: usize) {
        if let Some(listener) = self.listeners.get_mut(index) {
            listener.over = true;
            self.board.close(listener.talk);
        }
    }

    fn send(&mut self) {
        while let Some(job) = self.board.next_job(SLOTS, self.now) {
            assert!(self.engine.len() < SLOTS, "more than the engine takes");
            self.engine.push(Spoken { chunk: job.chunk, text: job.text.text, sent: 0 });
        }
        self.cancelled.extend(self.board.take_cancels());
    }

    /// The engine says a few samples more of a chunk, or its last word on it.
    fn speak(&mut self, index: usize, samples: usize) {
        let Some(spoken) = self.engine.get_mut(index) else { return };
        let all = truth(&spoken.text);
        let end = (spoken.sent + samples).min(all.len());
        self.board.pcm(spoken.chunk, &all[spoken.sent..end]);
        spoken.sent = end;
        if end == all.len() {
            let chunk = self.engine.remove(index).chunk;
            self.board.done(chunk, ChunkStats { samples: all.len() as u64, units: 0 }, self.now);
        }
    }

    fn obey_cancels(&mut self) {
        for chunk in std::mem::take(&mut self.cancelled) {
            if let Some(index) = self.engine.iter().position(|spoken| spoken.chunk == chunk) {
                self.engine.remove(index);
                self.board.failed(chunk, EngineError::Cancelled, self.now);
            }
        }
    }

    fn die(&mut self, external: bool) {
        let had_work = self.board.worker_died(&Death { reason: "it fell over".to_owned(), external });
        assert_eq!(had_work, !self.engine.is_empty());
        self.engine.clear();
        self.cancelled.clear();
    }

    fn step(&mut self, action: u8, choice: usize) {
        let listeners = self.listeners.len().max(1);
        match action {
            0 | 1 => self.enter(choice),
            2..=5 => self.read(choice % listeners, action == 2 && choice.is_multiple_of(3)),
            6 | 7 => self.send(),
            8..=11 => self.speak(choice % SLOTS, 1 + choice % 5),
            12 => self.leave(choice % listeners),
            13 => self.obey_cancels(),
            _ => self.die(choice.is_multiple_of(2)),
        }
    }

    /// Lets everything go on undisturbed until all is said.
    fn settle(&mut self) {
        for _ in 0..40 * (1 + self.listeners.len()) {
            (0..self.listeners.len()).for_each(|index| self.read(index, false));
            self.send();
            self.obey_cancels();
            self.speak(0, 5);
        }
    }
}

proptest! {
    #[test]
    fn whoever_stays_hears_all_of_it_once(
        steps in proptest::collection::vec((0_u8..15, 0_usize..1000), 0..150)
    ) {
        let board = Board::new(1000, None);
        let now = Instant::now();
        let mut world = World { board, listeners: vec![], engine: vec![], cancelled: vec![], now };
        for (action, choice) in steps {
            world.step(action, choice);
        }
        world.settle();
        prop_assert!(world.listeners.iter().all(|listener| listener.over), "somebody waits for ever");
        let Board { talks, slots, keyed, flights, counters, .. } = &world.board;
        prop_assert!(talks.is_empty() && slots.is_empty() && keyed.is_empty() && flights.is_empty());
        prop_assert!(world.engine.is_empty() && counters.chunks_done <= counters.chunks_sent);
    }
}
