//! The bookkeeping of one model: who waits, what is in the worker, what comes next. No I/O, no clock, no task.
//!
//! Memory: a session's chunks are handed out only among the first [`AHEAD`] that it has not consumed, so it
//! buffers the audio of [`AHEAD`] chunks at most (one more after a chunk was cut anew), whatever its reader does;
//! others are not held up, since nothing here ever waits for a session.

use crate::{
    Counters, SessionEvent, SpeechError,
    slot::{Death, Slot, SlotEnd},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};
use stentor_engine::{ChunkStats, EngineError, PhonemeTrace};
use stentor_protocol::ChunkJob;
use stentor_types::{Chunk, ChunkId, Language, Params, Speed, SpokenText, VoiceSource, WordTiming};
use tokio::sync::{Notify, oneshot};

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

#[derive(Debug)]
struct Talk {
    manner: Manner,
    slots: VecDeque<Slot>,
    bell: Arc<Notify>,
    /// A chunk of it has been sent to a worker.
    running: bool,
    /// No chunk is sent any more; told when the finished ones are consumed.
    over: Option<SpeechError>,
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

#[derive(Default)]
pub(crate) struct Board {
    talks: BTreeMap<u64, Talk>,
    /// Sessions in the order in which they get their next turn.
    ring: VecDeque<u64>,
    flights: BTreeMap<ChunkId, (u64, u64)>,
    cancels: Vec<ChunkId>,
    questions: VecDeque<Question>,
    asked: BTreeMap<u64, oneshot::Sender<Answer>>,
    counters: Counters,
    ids: u64,
    max_chunk_samples: u64,
    /// Set once the model is gone for good: whoever comes later is told at once.
    closed: Option<SpeechError>,
}

impl Board {
    /// `max_chunk_samples`: a chunk with more is given up.
    pub(crate) fn new(max_chunk_samples: u64) -> Self {
        Self { max_chunk_samples, ..Self::default() }
    }

    fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    // What a session does.

    pub(crate) fn open(&mut self, manner: Manner, bell: Arc<Notify>) -> u64 {
        let id = self.next_id();
        let over = self.closed.clone();
        self.talks.insert(id, Talk { manner, slots: VecDeque::new(), bell, running: false, over });
        self.ring.push_back(id);
        id
    }

    /// Whether the session may offer another chunk.
    pub(crate) fn has_room(&self, talk: u64) -> bool {
        self.talks.get(&talk).is_some_and(|talk| talk.slots.len() < AHEAD && talk.over.is_none())
    }

    pub(crate) fn offer(&mut self, talk: u64, chunk: Chunk) {
        let key = self.next_id();
        if let Some(talk) = self.talks.get_mut(&talk) {
            talk.slots.push_back(Slot::new(key, chunk, false));
        }
    }

    /// Puts `pieces` in the place of the session's first chunk.
    pub(crate) fn replace_first(&mut self, talk: u64, pieces: Vec<Chunk>) {
        let keyed: Vec<_> = pieces.into_iter().map(|piece| (self.next_id(), piece)).collect();
        if let Some(talk) = self.talks.get_mut(&talk) {
            talk.slots.pop_front();
            for (key, piece) in keyed.into_iter().rev() {
                talk.slots.push_front(Slot::new(key, piece, true));
            }
        }
    }

    /// The session's next event, in order.
    pub(crate) fn take(&mut self, id: u64) -> Taken {
        let Some(talk) = self.talks.get_mut(&id) else { return Taken::Empty };
        let Some(slot) = talk.slots.front_mut() else {
            return talk.over.clone().map_or(Taken::Empty, Taken::Error);
        };
        let spoken = matches!(slot.end, Some(SlotEnd::Spoken(_)));
        if !slot.begun && (spoken || !slot.samples.is_empty() || !slot.words.is_empty()) {
            slot.begun = true;
            return Taken::Event(SessionEvent::ChunkStart(slot.chunk.clone()));
        }
        if !slot.words.is_empty() {
            return Taken::Event(SessionEvent::Timing(std::mem::take(&mut slot.words)));
        }
        if !slot.samples.is_empty() {
            return Taken::Event(SessionEvent::Pcm(std::mem::take(&mut slot.samples)));
        }
        match &slot.end {
            None => talk.over.clone().map_or(Taken::Nothing, Taken::Error),
            Some(SlotEnd::Error(error)) => Taken::Error(error.clone()),
            Some(SlotEnd::TooLong(limit)) => Taken::Resplit(slot.chunk.clone(), *limit),
            Some(SlotEnd::Spoken(stats)) => {
                let stats = *stats;
                talk.slots.pop_front();
                Taken::Event(SessionEvent::ChunkEnd { stats })
            }
        }
    }

    /// Forgets the session; what it has in the worker is cancelled.
    pub(crate) fn close(&mut self, talk: u64) {
        let Some(gone) = self.talks.remove(&talk) else { return };
        self.ring.retain(|id| *id != talk);
        let flying: Vec<_> = gone.slots.iter().filter_map(|slot| slot.flight).collect();
        self.counters.cancels += flying.len() as u64;
        self.cancels.extend(flying);
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

    // What the keeper of the worker does.

    /// Whether anybody is there whom a worker could serve.
    pub(crate) fn is_idle(&self) -> bool {
        self.talks.is_empty() && self.questions.is_empty() && self.asked.is_empty()
    }

    /// Whether there is work to start a worker for.
    pub(crate) fn has_work(&self) -> bool {
        let waits = |talk: &Talk| talk.over.is_none() && !talk.slots.is_empty();
        !self.questions.is_empty() || self.talks.values().any(waits)
    }

    /// Whether the worker owes an answer, for a chunk or to a question.
    pub(crate) fn is_flying(&self) -> bool {
        !self.flights.is_empty() || !self.asked.is_empty()
    }

    /// The chunk to send next, if the engine with its `slots` may have one more. Sessions take turns; a suspect
    /// goes first and alone.
    pub(crate) fn next_job(&mut self, slots: usize) -> Option<ChunkJob> {
        let suspects = self.talks.values().any(|talk| talk.over.is_none() && talk.suspect().is_some());
        let room = if suspects { 1 } else { slots };
        if self.flights.len() >= room {
            return None;
        }
        let turn = self
            .ring
            .iter()
            .position(|id| self.talks.get(id).is_some_and(|talk| talk.candidate(suspects).is_some()))?;
        let id = self.ring.remove(turn)?;
        self.ring.push_back(id);
        let chunk = ChunkId(self.next_id());
        let talk = self.talks.get_mut(&id)?;
        let index = talk.candidate(suspects)?;
        let slot = talk.slots.get_mut(index)?;
        slot.flight = Some(chunk);
        self.flights.insert(chunk, (id, slot.key));
        self.counters.chunks_sent += 1;
        self.counters.chunks_replayed += u64::from(slot.suspect);
        talk.running = true;
        let Manner { voice, voice_digest, language, speed, seed, params } = talk.manner.clone();
        let text = slot.chunk.spoken.clone();
        Some(ChunkJob { chunk, text, language, voice, voice_digest, speed, seed, params })
    }

    /// Chunks in the worker that nobody waits for any more, each named once.
    pub(crate) fn take_cancels(&mut self) -> Vec<ChunkId> {
        std::mem::take(&mut self.cancels)
    }

    pub(crate) fn next_question(&mut self) -> Option<(u64, SpokenText, Language)> {
        let Question { text, language, answer } = self.questions.pop_front()?;
        let id = self.next_id();
        self.asked.insert(id, answer);
        Some((id, text, language))
    }

    pub(crate) fn answer(&mut self, id: u64, result: Result<PhonemeTrace, EngineError>) {
        if let Some(asker) = self.asked.remove(&id) {
            // Whoever asked may have left.
            let _ = asker.send(result.map_err(speech_error));
        }
    }

    pub(crate) fn pcm(&mut self, chunk: ChunkId, samples: &[f32]) {
        let limit = self.max_chunk_samples;
        let Some((slot, bell)) = self.flying(chunk) else { return };
        let fresh = slot.accept(samples);
        let endless = slot.total_samples() > limit;
        if endless {
            // The worker still owes its answer, so the flight stays; the session learns now.
            slot.finish(SlotEnd::Error(SpeechError::Failed("the chunk's audio does not end".to_owned())));
        }
        bell.notify_one();
        self.counters.samples_received += fresh;
        if endless {
            self.counters.chunks_failed += 1;
            self.counters.cancels += 1;
            self.cancels.push(chunk);
        }
    }

    pub(crate) fn timing(&mut self, chunk: ChunkId, words: &[WordTiming]) {
        if let Some((slot, bell)) = self.flying(chunk) {
            slot.accept_words(words);
            bell.notify_one();
        }
    }

    pub(crate) fn done(&mut self, chunk: ChunkId, stats: ChunkStats) {
        self.counters.chunks_done += 1;
        self.land(chunk, SlotEnd::Spoken(stats));
    }

    pub(crate) fn failed(&mut self, chunk: ChunkId, error: EngineError) {
        let end = match error {
            EngineError::ChunkTooLong { limit } => SlotEnd::TooLong(limit),
            error => SlotEnd::Error(speech_error(error)),
        };
        self.land(chunk, end);
    }

    fn land(&mut self, chunk: ChunkId, end: SlotEnd) {
        if let Some((slot, bell)) = self.flying(chunk) {
            slot.finish(end);
            bell.notify_one();
            let failed = slot.failed();
            self.counters.chunks_failed += u64::from(failed);
        }
        self.flights.remove(&chunk);
    }

    /// The slot that is in the worker as `chunk`, unless its session has left or has been answered.
    fn flying(&mut self, chunk: ChunkId) -> Option<(&mut Slot, &Notify)> {
        let (talk, key) = *self.flights.get(&chunk)?;
        let Talk { slots, bell, .. } = self.talks.get_mut(&talk)?;
        let slot = slots.iter_mut().find(|slot| slot.key == key && slot.flight == Some(chunk))?;
        Some((slot, bell))
    }

    /// The worker died: its chunks are offered again as suspects, or quarantined. True if it had any.
    pub(crate) fn worker_died(&mut self, death: &Death) -> bool {
        let chunks: Vec<ChunkId> = self.flights.keys().copied().collect();
        for chunk in &chunks {
            let Some((slot, bell)) = self.flying(*chunk) else { continue };
            slot.lose(death, chunks.len() == 1);
            bell.notify_one();
            let failed = slot.failed();
            self.counters.chunks_failed += u64::from(failed);
        }
        self.flights.clear();
        self.cancels.clear();
        for (_, asker) in std::mem::take(&mut self.asked) {
            // Whoever asked may have left.
            let _ = asker.send(Err(SpeechError::unavailable(&death.reason, 1)));
        }
        !chunks.is_empty()
    }

    /// Answers everyone who waits; chunks that are finished can still be consumed.
    pub(crate) fn fail_all(&mut self, error: &SpeechError) {
        for talk in self.talks.values_mut().filter(|talk| talk.over.is_none()) {
            talk.over = Some(error.clone());
            talk.bell.notify_one();
        }
        for Question { answer, .. } in self.questions.drain(..) {
            // Whoever asked may have left.
            let _ = answer.send(Err(error.clone()));
        }
    }

    /// Answers everyone who waits and everyone who comes later.
    pub(crate) fn close_for_good(&mut self, error: SpeechError) {
        self.fail_all(&error);
        self.closed = Some(error);
    }

    pub(crate) fn closed(&self) -> Option<&SpeechError> {
        self.closed.as_ref()
    }

    pub(crate) fn worker_restarted(&mut self) {
        self.counters.restarts += 1;
    }

    /// Totals, and gauges among `admitted` sessions.
    pub(crate) fn counters(&self, admitted: u64) -> Counters {
        let running = self.talks.values().filter(|talk| talk.running).count() as u64;
        Counters { running, waiting: admitted.saturating_sub(running), ..self.counters }
    }
}

impl Talk {
    fn suspect(&self) -> Option<usize> {
        self.slots.iter().position(|slot| slot.suspect)
    }

    /// The chunk to send when it is this session's turn: its suspect while there are suspects, wherever it stands,
    /// else the first that waits within the window.
    fn candidate(&self, suspects: bool) -> Option<usize> {
        if self.over.is_some() {
            return None;
        }
        let wanted = |slot: &Slot| slot.offered() && slot.suspect == suspects;
        let window = if suspects { self.slots.len() } else { AHEAD };
        self.slots.iter().take(window).position(wanted)
    }
}

fn speech_error(error: EngineError) -> SpeechError {
    match error {
        EngineError::Rejected(why) => SpeechError::Rejected(why),
        other => SpeechError::Failed(other.to_string()),
    }
}

#[cfg(test)]
mod tests;
