//! The bookkeeping of one model: who waits, what is in the worker, what comes next. No I/O, no clock, no task.
//!
//! A chunk stands in one slot, however many sessions wait for it; each session has its own place in the slot. A
//! session's chunks are handed out only among the first [`AHEAD`] that it has not consumed, so the audio of [`AHEAD`]
//! chunks per session is held at most (more after a chunk was cut anew), whatever its reader does; others are not
//! held up, since nothing here ever waits for a session.

use crate::{
    Counters, SessionEvent, SpeechError,
    forecast::{Flying, Forecast, Pace, Queued},
    poison::Poison,
    slot::{Slot, SlotEnd, uncut},
    turns::Turns,
};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};
use stentor_engine::PhonemeTrace;
use stentor_jobs::ChunkStore;
use stentor_types::{
    Chunk, ChunkId, ChunkKey, ClientId, Lane, Language, Params, Speed, SpokenChunk, SpokenText, VoiceSource,
};
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

/// Chunks that a session may have beyond the last one that it consumed.
pub(crate) const AHEAD: usize = 2;
/// Questions about phonemes that may wait at once.
const MAX_QUESTIONS: usize = 16;

/// What all chunks of a session share.
#[derive(Debug, Clone)]
pub(crate) struct Manner {
    pub(crate) voice: VoiceSource,
    pub(crate) voice_digest: String,
    pub(crate) language: Language,
    pub(crate) speed: Speed,
    pub(crate) seed: u64,
    pub(crate) params: Params,
}

/// A session, from its admission on.
#[derive(Debug)]
struct Talk {
    client: ClientId,
    lane: Lane,
    parts: VecDeque<Part>,
    bell: Arc<Notify>,
    /// When its first chunk was handed to a worker or found.
    begun: Option<Instant>,
    /// No chunk is sent any more; told when the finished ones are consumed.
    over: Option<SpeechError>,
    /// Characters of its text that are not in `parts` yet, roughly.
    unoffered: usize,
    /// Its last chunk was no work: found, or spoken for another session as well. The next ones will hardly be.
    follows: bool,
}

/// A chunk of a session and how far it has been consumed.
#[derive(Debug)]
struct Part {
    slot: u64,
    chunk: Chunk,
    /// Came from a chunk that was too long; it is not cut a second time.
    piece: bool,
    /// The session has been told that the chunk begins.
    begun: bool,
    samples: usize,
    words: usize,
}

/// A chunk on its way from a session to the board.
pub(crate) struct Offer {
    pub(crate) manner: Arc<Manner>,
    pub(crate) chunk: Chunk,
    /// Under which it is shared and kept.
    pub(crate) key: Option<ChunkKey>,
    /// It was spoken before.
    pub(crate) found: Option<Arc<SpokenChunk>>,
}

pub(crate) type Answer = Result<PhonemeTrace, SpeechError>;

/// A question about phonemes on its way to the worker.
pub(crate) struct Question {
    pub(crate) text: SpokenText,
    pub(crate) language: Language,
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// What a session finds at the head of its chunks.
#[derive(Debug)]
pub(crate) enum Taken {
    Event(SessionEvent),
    Resplit(Chunk, usize),
    Error(SpeechError),
    /// Ring the bell when there is more.
    Nothing,
    /// No chunk is left.
    Empty,
}

/// A chunk in the worker.
struct Flight {
    slot: u64,
    chars: usize,
    since: Instant,
}

#[derive(Default)]
pub(crate) struct Board {
    talks: BTreeMap<u64, Talk>,
    slots: BTreeMap<u64, Slot>,
    /// Slots that further sessions with the same key may wait for.
    keyed: HashMap<ChunkKey, u64>,
    turns: Turns,
    flights: BTreeMap<ChunkId, Flight>,
    cancels: Vec<ChunkId>,
    questions: VecDeque<Question>,
    asked: BTreeMap<u64, oneshot::Sender<Answer>>,
    counters: Counters,
    turned_away: u64,
    ids: u64,
    max_chunk_samples: u64,
    store: Option<ChunkStore>,
    poison: Poison,
    /// The device rounds sums differently from run to run.
    inexact: bool,
    pace: Pace,
    /// Since when the engine is busy with what it will finish next.
    busy_since: Option<Instant>,
    /// Set once the model is gone for good: whoever comes later is told at once.
    closed: Option<SpeechError>,
}

impl Board {
    /// `max_chunk_samples`: a chunk with more is given up. Finished chunks are put into `store` at once.
    pub(crate) fn new(max_chunk_samples: u64, store: Option<ChunkStore>) -> Self {
        Self { max_chunk_samples, store, ..Self::default() }
    }

    pub(crate) fn set_inexact(&mut self, inexact: bool) {
        self.inexact = inexact;
    }

    fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// Admitted sessions that have not ended.
    pub(crate) fn places(&self) -> usize {
        self.talks.len()
    }

    pub(crate) fn places_of(&self, client: ClientId) -> usize {
        self.talks.values().filter(|talk| talk.client == client).count()
    }

    /// A session is admitted. `chars`: of its text; `bell`: rung when there is something for it.
    pub(crate) fn enter(&mut self, (client, lane): (ClientId, Lane), chars: usize, bell: Arc<Notify>) -> u64 {
        let id = self.next_id();
        self.turns.join(lane, client);
        let talk = Talk {
            client,
            lane,
            parts: VecDeque::new(),
            bell,
            begun: None,
            over: self.closed.clone(),
            unoffered: chars,
            follows: false,
        };
        self.talks.insert(id, talk);
        id
    }

    /// Whether the session may offer another chunk.
    pub(crate) fn has_room(&self, talk: u64) -> bool {
        self.talks.get(&talk).is_some_and(|talk| talk.parts.len() < AHEAD && talk.over.is_none())
    }

    /// Whether a session with this key would wait for a chunk that is there already.
    pub(crate) fn is_live(&self, key: &ChunkKey) -> bool {
        self.keyed.contains_key(key)
    }

    pub(crate) fn offer(&mut self, talk: u64, offer: Offer, now: Instant) {
        let chars = offer.chunk.spoken.text.chars().count();
        let Some(part) = self.place(talk, offer, now) else { return };
        if let Some(talk) = self.talks.get_mut(&talk) {
            talk.unoffered = talk.unoffered.saturating_sub(chars);
            talk.parts.push_back(part);
        }
    }

    /// The session has offered all of its text.
    pub(crate) fn drained(&mut self, talk: u64) {
        if let Some(talk) = self.talks.get_mut(&talk) {
            talk.unoffered = 0;
        }
    }

    /// Puts `pieces` in the place of the session's first chunk.
    pub(crate) fn replace_first(&mut self, talk: u64, pieces: Vec<Offer>, now: Instant) {
        let parts: Vec<Part> = pieces.into_iter().filter_map(|piece| self.place(talk, piece, now)).collect();
        let Some(session) = self.talks.get_mut(&talk) else { return };
        let cut = session.parts.pop_front();
        for part in parts.into_iter().rev() {
            session.parts.push_front(Part { piece: true, ..part });
        }
        if let Some(cut) = cut {
            self.release(cut.slot, talk);
        }
    }

    /// A session's place in the slot of its chunk: another session's if there is one, else a new one.
    fn place(&mut self, talk: u64, offer: Offer, now: Instant) -> Option<Part> {
        let Offer { manner, chunk, key, found } = offer;
        let live = key.and_then(|key| self.keyed.get(&key).copied());
        let session = self.talks.get_mut(&talk)?;
        session.follows = live.is_some() || found.is_some();
        let id = if let Some(live) = live {
            self.counters.chunks_shared += 1;
            live
        } else {
            let id = self.next_id();
            let text = chunk.spoken.clone();
            self.counters.chunks_reused += u64::from(found.is_some());
            let killer = key.and_then(|key| self.poison.find(&key, now));
            let slot = match (found, killer) {
                (Some(spoken), _) => Slot::found(manner, text, spoken),
                (None, Some(error)) => {
                    self.counters.chunks_failed += 1;
                    Slot::refused(manner, text, error)
                }
                (None, None) => {
                    self.keyed.extend(key.map(|key| (key, id)));
                    Slot::new(manner, text, key)
                }
            };
            self.slots.insert(id, slot);
            id
        };
        let slot = self.slots.get_mut(&id)?;
        slot.readers.push(talk);
        if slot.begun() {
            self.talks.get_mut(&talk)?.begun.get_or_insert(now);
        }
        Some(Part { slot: id, chunk, piece: false, begun: false, samples: 0, words: 0 })
    }

    /// The session's next event, in order.
    pub(crate) fn take(&mut self, id: u64) -> Taken {
        let Some(talk) = self.talks.get_mut(&id) else { return Taken::Empty };
        let over = || talk.over.clone().map(Taken::Error);
        let Some(part) = talk.parts.front_mut() else { return over().unwrap_or(Taken::Empty) };
        let Some(slot) = self.slots.get(&part.slot) else { return Taken::Empty };
        if let Some(event) = part.next(slot) {
            return Taken::Event(event);
        }
        match &slot.end {
            None => over().unwrap_or(Taken::Nothing),
            Some(SlotEnd::Error(error)) => Taken::Error(error.clone()),
            Some(SlotEnd::TooLong(limit)) if part.piece => {
                self.counters.chunks_failed += 1;
                Taken::Error(SpeechError::Failed(uncut(*limit)))
            }
            Some(SlotEnd::TooLong(limit)) => Taken::Resplit(part.chunk.clone(), *limit),
            Some(SlotEnd::Spoken(stats)) => {
                let stats = *stats;
                let slot = part.slot;
                talk.parts.pop_front();
                self.release(slot, id);
                Taken::Event(SessionEvent::ChunkEnd { stats })
            }
        }
    }

    /// When the session's first chunk was handed to a worker or found.
    pub(crate) fn begun(&self, talk: u64) -> Option<Instant> {
        self.talks.get(&talk)?.begun
    }

    /// The session's deadline has passed; true if it had not begun, so that it is to end.
    pub(crate) fn is_late(&mut self, talk: u64) -> bool {
        let late = self.talks.get(&talk).is_some_and(|talk| talk.begun.is_none() && talk.over.is_none());
        self.counters.late += u64::from(late);
        late
    }

    /// Forgets the session; what it alone has in the worker is cancelled.
    pub(crate) fn close(&mut self, id: u64) {
        let Some(gone) = self.talks.remove(&id) else { return };
        self.turned_away = self.turned_away.saturating_sub(1);
        let same = |talk: &Talk| talk.client == gone.client && talk.lane == gone.lane;
        if !self.talks.values().any(same) {
            self.turns.leave(gone.lane, gone.client);
        }
        for part in gone.parts {
            self.release(part.slot, id);
        }
    }

    /// The session has no more use for the slot. With its last session it goes, unless it is in the worker and worth
    /// keeping: it may be finished before the worker hears that nobody waits.
    fn release(&mut self, id: u64, talk: u64) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        if let Some(index) = slot.readers.iter().position(|reader| *reader == talk) {
            slot.readers.remove(index);
        }
        if !slot.readers.is_empty() {
            return;
        }
        if let Some(chunk) = slot.flight {
            self.counters.cancels += 1;
            self.cancels.push(chunk);
        }
        let worth_keeping = slot.flight.is_some() && slot.key.is_some();
        self.unshare(id);
        if !worth_keeping {
            self.slots.remove(&id);
        }
    }

    /// Nobody else is to wait for this slot.
    fn unshare(&mut self, id: u64) {
        if let Some(key) = self.slots.get(&id).and_then(|slot| slot.key)
            && self.keyed.get(&key) == Some(&id)
        {
            self.keyed.remove(&key);
        }
    }

    pub(crate) fn ask(&mut self, question: Question) {
        let refusal = match &self.closed {
            Some(error) => error.clone(),
            None if self.questions.len() < MAX_QUESTIONS => return self.questions.push_back(question),
            None => SpeechError::unavailable("too many questions about phonemes are waiting", 1),
        };
        // Whoever asked may have left.
        let _ = question.answer.send(Err(refusal));
    }

    /// Returns how many have been turned away and not had a place freed for them since: told to come back one after
    /// the other, they do not all come at once.
    pub(crate) fn refused_full(&mut self) -> u64 {
        self.counters.rejected_full += 1;
        self.turned_away += 1;
        self.turned_away
    }

    pub(crate) fn refused_late(&mut self) {
        self.counters.rejected_late += 1;
    }

    /// What a newcomer's wait can be told from. `slots`: chunks that the engine takes at once; `load_s`: seconds
    /// until it takes any.
    pub(crate) fn forecast(&self, slots: usize, load_s: f64, now: Instant) -> Forecast {
        let flying = self.flights.values().map(|flight| Flying {
            // What nobody waits for any more ends with the next step.
            chars: if self.is_awaited(flight.slot) { flight.chars as f64 } else { 0.0 },
            for_s: now.saturating_duration_since(flight.since).as_secs_f64(),
        });
        let queue = self.talks.iter().map(|(id, talk)| Queued {
            client: talk.client,
            lane: talk.lane,
            chars: self.chars_left(*id, talk) as f64,
        });
        Forecast { pace: self.pace, slots, load_s, flying: flying.collect(), queue: queue.collect() }
    }

    fn is_awaited(&self, slot: u64) -> bool {
        self.slots.get(&slot).is_some_and(|slot| !slot.readers.is_empty())
    }

    /// Characters that the session will still send. A chunk that several wait for counts for the first of them.
    fn chars_left(&self, id: u64, talk: &Talk) -> usize {
        let slots = || talk.parts.iter().filter_map(|part| self.slots.get(&part.slot));
        // It has all that it may have, so its reader is what it waits for.
        let held_up = talk.parts.len() >= AHEAD && slots().all(|slot| slot.end.is_some());
        if talk.over.is_some() || held_up {
            return 0;
        }
        let own = |slot: &&Slot| slot.offered() && slot.readers.first() == Some(&id);
        let waiting: usize = slots().filter(own).map(Slot::chars).sum();
        waiting + if talk.follows { 0 } else { talk.unoffered }
    }

    /// Totals, and gauges.
    pub(crate) fn counters(&self) -> Counters {
        let count = |lane: Option<Lane>, begun: bool| {
            let counts =
                |talk: &&Talk| talk.begun.is_some() == begun && lane.is_none_or(|lane| talk.lane == lane);
            self.talks.values().filter(counts).count() as u64
        };
        Counters {
            waiting: count(None, false),
            running: count(None, true),
            batch_waiting: count(Some(Lane::Batch), false),
            batch_running: count(Some(Lane::Batch), true),
            ..self.counters
        }
    }
}

impl Part {
    /// What of the slot the session has not been given yet.
    fn next(&mut self, slot: &Slot) -> Option<SessionEvent> {
        let spoken = matches!(slot.end, Some(SlotEnd::Spoken(_)));
        let words = &slot.spoken.words[self.words..];
        let samples = &slot.spoken.samples[self.samples..];
        if !self.begun && (spoken || !samples.is_empty() || !words.is_empty()) {
            self.begun = true;
            return Some(SessionEvent::ChunkStart(self.chunk.clone()));
        }
        if !words.is_empty() {
            self.words += words.len();
            return Some(SessionEvent::Timing(words.to_vec()));
        }
        if !samples.is_empty() {
            self.samples += samples.len();
            return Some(SessionEvent::Pcm(samples.to_vec()));
        }
        None
    }
}

#[cfg(test)]
mod random;
#[cfg(test)]
mod tests;
mod work;
