//! The keeper's side of the board: what to send to the worker, and what comes back from it.

use super::{Board, Flight, Manner, Question, Talk};
use crate::{
    SpeechError,
    board::AHEAD,
    slot::{Death, Slot, SlotEnd},
    turns::Contender,
};
use std::sync::Arc;
use stentor_engine::{ChunkStats, EngineError, PhonemeTrace};
use stentor_protocol::ChunkJob;
use stentor_types::{ChunkId, ChunkKey, Language, SpokenChunk, SpokenText, WordTiming};
use tokio::time::Instant;

impl Board {
    /// Whether nobody is there, neither waiting nor reading.
    pub(crate) fn is_idle(&self) -> bool {
        self.talks.is_empty() && self.questions.is_empty() && self.asked.is_empty()
    }

    /// Whether there is work to start a worker for.
    pub(crate) fn has_work(&self) -> bool {
        !self.questions.is_empty()
            || self.slots.values().any(|slot| slot.end.is_none() && self.is_heard(slot))
    }

    /// Whether the worker owes an answer, for a chunk or to a question.
    pub(crate) fn is_flying(&self) -> bool {
        !self.flights.is_empty() || !self.asked.is_empty()
    }

    /// The chunk to send next, if the engine with its `slots` may have one more. A suspect goes first and alone.
    pub(crate) fn next_job(&mut self, slots: usize, now: Instant) -> Option<ChunkJob> {
        let suspects = self.slots.values().any(|slot| slot.suspect && self.is_heard(slot));
        let room = if suspects { 1 } else { slots };
        if self.flights.len() >= room {
            return None;
        }
        let slot = if suspects { self.next_suspect()? } else { self.next_in_turn()? };
        self.launch(slot, now)
    }

    /// Whether somebody who waits for the slot is still to be served.
    fn is_heard(&self, slot: &Slot) -> bool {
        slot.readers.iter().filter_map(|reader| self.talks.get(reader)).any(|talk| talk.over.is_none())
    }

    /// The suspect that has cost the fewest workers, so that the innocent don't wait for the guilty.
    fn next_suspect(&self) -> Option<u64> {
        let waits = |slot: &Slot| slot.suspect && slot.offered() && self.is_heard(slot);
        let suspects = self.slots.iter().filter(|(_, slot)| waits(slot));
        suspects.min_by_key(|(id, slot)| (slot.tries(), **id)).map(|(id, _)| *id)
    }

    fn next_in_turn(&mut self) -> Option<u64> {
        let contenders: Vec<Contender> = self
            .talks
            .iter()
            .filter(|(_, talk)| self.candidate(talk).is_some())
            .map(|(id, talk)| Contender { session: *id, client: talk.client, lane: talk.lane })
            .collect();
        let turn = self.turns.next(&contenders)?;
        self.candidate(self.talks.get(&turn)?)
    }

    /// The slot to send when it is this session's turn: the first that waits within the window.
    fn candidate(&self, talk: &Talk) -> Option<u64> {
        if talk.over.is_some() {
            return None;
        }
        let window = talk.parts.iter().take(AHEAD).map(|part| part.slot);
        window.into_iter().find(|id| self.slots.get(id).is_some_and(Slot::offered))
    }

    fn launch(&mut self, id: u64, now: Instant) -> Option<ChunkJob> {
        let chunk = ChunkId(self.next_id());
        let slot = self.slots.get_mut(&id)?;
        slot.flight = Some(chunk);
        if self.flights.is_empty() {
            self.busy_since = Some(now);
        }
        self.flights.insert(chunk, Flight { slot: id, chars: slot.chars(), since: now });
        self.counters.chunks_sent += 1;
        self.counters.chunks_replayed += u64::from(slot.suspect);
        let Manner { voice, voice_digest, language, speed, seed, params } = slot.manner.as_ref().clone();
        let text = slot.text.clone();
        self.begin(id, now);
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
        let (limit, exact) = (self.max_chunk_samples, !self.inexact);
        let Some((id, slot)) = self.flying(chunk) else { return };
        let accepted = slot.accept(samples, exact);
        let endless = slot.total_samples() > limit;
        match accepted {
            Ok(fresh) => self.counters.samples_received += fresh,
            Err(why) => return self.give_up(chunk, why),
        }
        if endless {
            return self.give_up(chunk, "the chunk's audio does not end");
        }
        self.ring(id);
    }

    pub(crate) fn timing(&mut self, chunk: ChunkId, words: &[WordTiming]) {
        let Some((id, slot)) = self.flying(chunk) else { return };
        match slot.accept_words(words) {
            Ok(()) => self.ring(id),
            Err(why) => self.give_up(chunk, why),
        }
    }

    /// What the worker says of the chunk is not worth waiting for. It still owes its answer, so the flight stays;
    /// the sessions learn now.
    fn give_up(&mut self, chunk: ChunkId, why: &str) {
        let Some((id, slot)) = self.flying(chunk) else { return };
        if slot.readers.is_empty() {
            // It is cancelled already.
            self.slots.remove(&id);
            return;
        }
        slot.give_up(why);
        self.counters.chunks_failed += 1;
        self.counters.cancels += 1;
        self.cancels.push(chunk);
        self.unshare(id);
        self.ring(id);
    }

    pub(crate) fn done(&mut self, chunk: ChunkId, stats: ChunkStats, now: Instant) {
        self.counters.chunks_done += 1;
        if let (Some(flight), Some(since)) = (self.flights.get(&chunk), self.busy_since) {
            self.pace.observe(now.saturating_duration_since(since).as_secs_f64(), flight.chars);
        }
        self.land(chunk, SlotEnd::Spoken(stats), now);
    }

    pub(crate) fn failed(&mut self, chunk: ChunkId, error: EngineError, now: Instant) {
        let end = match error {
            EngineError::ChunkTooLong { limit } => SlotEnd::TooLong(limit),
            error => SlotEnd::Error(speech_error(error)),
        };
        self.land(chunk, end, now);
    }

    fn land(&mut self, chunk: ChunkId, end: SlotEnd, now: Instant) {
        if let Some((id, slot)) = self.flying(chunk) {
            slot.finish(end);
            let (keep, failed) = (slot.to_keep(), slot.failed());
            let spoken = matches!(slot.end, Some(SlotEnd::Spoken(_)));
            let abandoned = slot.readers.is_empty();
            if let (Some((key, chunk)), Some(store)) = (&keep, &self.store) {
                store.put(*key, Arc::clone(chunk));
            }
            if abandoned {
                self.slots.remove(&id);
                self.hand_over(keep, now);
            } else {
                self.counters.chunks_failed += u64::from(failed);
                if !spoken {
                    self.unshare(id);
                }
                self.ring(id);
            }
        }
        self.flights.remove(&chunk);
        self.busy_since = Some(now);
    }

    /// Gives a chunk that was abandoned, and finished all the same, to those who have come for it meanwhile.
    fn hand_over(&mut self, kept: Option<(ChunkKey, Arc<SpokenChunk>)>, now: Instant) {
        let Some((key, spoken)) = kept else { return };
        let Some(id) = self.keyed.get(&key).copied() else { return };
        let Some(slot) = self.slots.get_mut(&id).filter(|slot| !slot.begun()) else { return };
        slot.adopt(spoken);
        self.counters.chunks_reused += 1;
        self.begin(id, now);
        self.ring(id);
    }

    /// Those who wait for the slot wait for the engine no more.
    fn begin(&mut self, slot: u64, now: Instant) {
        let readers = self.slots.get(&slot).into_iter().flat_map(|slot| &slot.readers);
        for reader in readers {
            if let Some(talk) = self.talks.get_mut(reader) {
                talk.begun.get_or_insert(now);
            }
        }
    }

    /// The slot that is in the worker as `chunk`, unless its sessions have left or have been answered.
    fn flying(&mut self, chunk: ChunkId) -> Option<(u64, &mut Slot)> {
        let id = self.flights.get(&chunk)?.slot;
        let slot = self.slots.get_mut(&id).filter(|slot| slot.flight == Some(chunk))?;
        Some((id, slot))
    }

    fn ring(&self, slot: u64) {
        let readers = self.slots.get(&slot).into_iter().flat_map(|slot| &slot.readers);
        for talk in readers.filter_map(|reader| self.talks.get(reader)) {
            talk.bell.notify_one();
        }
    }

    /// The worker died: its chunks are offered again as suspects, or quarantined. True if it had any.
    pub(crate) fn worker_died(&mut self, death: &Death) -> bool {
        let chunks: Vec<ChunkId> = self.flights.keys().copied().collect();
        for chunk in &chunks {
            let Some((id, slot)) = self.flying(*chunk) else { continue };
            if slot.readers.is_empty() {
                self.slots.remove(&id);
                continue;
            }
            slot.lose(death, chunks.len() == 1);
            if let Some(SlotEnd::Error(error)) = slot.end.clone() {
                // A death from outside says little of the chunk.
                let key = slot.key.filter(|_| !death.external);
                self.counters.chunks_failed += 1;
                self.unshare(id);
                if let Some(key) = key {
                    self.poison.note(key, error);
                }
            }
            self.ring(id);
        }
        self.flights.clear();
        self.cancels.clear();
        for (_, asker) in std::mem::take(&mut self.asked) {
            // Whoever asked may have left.
            let _ = asker.send(Err(SpeechError::unavailable(&death.reason, 1)));
        }
        !chunks.is_empty()
    }

    /// Answers everyone who waits for a worker; chunks that are finished can still be consumed.
    pub(crate) fn fail_all(&mut self, error: &SpeechError) {
        let Self { talks, slots, .. } = self;
        let waits = |talk: &&mut Talk| {
            let unfinished = |id: &u64| slots.get(id).is_some_and(|slot| slot.end.is_none());
            talk.over.is_none() && talk.parts.iter().any(|part| unfinished(&part.slot))
        };
        for talk in talks.values_mut().filter(waits) {
            talk.end(error);
        }
        for Question { answer, .. } in self.questions.drain(..) {
            // Whoever asked may have left.
            let _ = answer.send(Err(error.clone()));
        }
    }

    /// Answers everyone who is there and everyone who comes later.
    pub(crate) fn close_for_good(&mut self, error: SpeechError) {
        self.fail_all(&error);
        for talk in self.talks.values_mut().filter(|talk| talk.over.is_none()) {
            talk.end(&error);
        }
        self.closed = Some(error);
    }

    pub(crate) fn closed(&self) -> Option<&SpeechError> {
        self.closed.as_ref()
    }

    pub(crate) fn worker_restarted(&mut self) {
        self.counters.restarts += 1;
    }
}

impl Talk {
    fn end(&mut self, error: &SpeechError) {
        self.over = Some(error.clone());
        self.bell.notify_one();
    }
}

fn speech_error(error: EngineError) -> SpeechError {
    match error {
        EngineError::Rejected(why) => SpeechError::Rejected(why),
        EngineError::VoiceRejected(why) => SpeechError::VoiceRejected(why),
        other => SpeechError::Failed(other.to_string()),
    }
}
