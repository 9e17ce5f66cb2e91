//! The engine: several chunks at once, token by token.
//!
//! Every step takes cancelled chunks out, begins one that waits, appends one token to all that speak, in a single pass of
//! T3 whatever their number (with guidance, two rows each), and renders one piece of the chunk whose turn was the longest ago;
//! on a card, beside it, pieces of others that there is room for. So a new chunk waits for nobody's end, and rendering delays
//! tokens by a piece at most. Which tokens a chunk has depends on nothing here, see [`utterance`], nor
//! do its samples on the CPU; on a card, pieces that share a pass are summed in another order.

mod describe;
mod networks;
mod params;
mod prefixes;
mod slot;
#[cfg(test)]
mod tests;
mod utterance;
mod watch;

pub(crate) use describe::{Figures, describe};
pub(crate) use networks::{Networks, Outlook, RenderPlan};

use crate::{model::t3::Family, render::flow_together, voice::Conditionals};
use params::Settings;
use prefixes::Prefixes;
use rayon::ThreadPool;
use slot::Slot;
use std::{collections::HashMap, sync::Arc};
use stentor_engine::{
    ChunkRequest, DeviceLost, Engine, EngineDescriptor, EngineError, PrepareVoice, StepSink, VoiceSlot,
    Waiter,
};
use stentor_nn::NnError;
use stentor_types::{ChunkId, VoiceSource};
use utterance::{Manner, Piece, Utterance};
use watch::Waiting;

/// Steps for which a piece may be held back on a card, until others share its pass. Chunks that come together are a step apart, and
/// never would; there a step is about a millisecond, and a pass of rendering dozens. While a chunk is to begin, which costs more, nothing is held.
const MOST_HELD: usize = 8;

/// Makes a voice of what a client's voice stands for.
pub(crate) type OpenVoice =
    Arc<dyn Fn(&VoiceSource, &Waiter) -> Result<Arc<Conditionals>, EngineError> + Send + Sync>;

/// A loaded model of the family and the chunks that it speaks.
pub(crate) struct ChatterboxEngine<N: Networks> {
    networks: Arc<N>,
    descriptor: EngineDescriptor,
    pool: Arc<ThreadPool>,
    open_voice: OpenVoice,
    voices: HashMap<VoiceSlot, Arc<Conditionals>>,
    next_voice: u64,
    prefixes: Prefixes<N::Prefix>,
    slots: Vec<Slot<N>>,
    /// Passes of rendering so far.
    clock: u64,
    /// Steps for which pieces that are due have been held back.
    held: usize,
}

impl<N: Networks> ChatterboxEngine<N> {
    /// `prefix_bytes` are those of the longest voice's constant beginning; as many are kept as there are slots.
    pub(crate) fn new(
        networks: Arc<N>,
        (descriptor, prefix_bytes): (EngineDescriptor, u64),
        pool: Arc<ThreadPool>,
        open_voice: OpenVoice,
    ) -> Self {
        let max_bytes = prefix_bytes * descriptor.max_slots as u64;
        Self {
            networks,
            descriptor,
            pool,
            open_voice,
            voices: HashMap::new(),
            next_voice: 0,
            prefixes: Prefixes::new(max_bytes),
            slots: Vec::new(),
            clock: 0,
            held: 0,
        }
    }

    fn drop_cancelled(&mut self) {
        self.slots.retain(|slot| !slot.request.cancel.is_cancelled());
    }

    /// Runs the voice and the text of the first chunk that waits. One a step, so that the others speak on in between.
    fn begin_one(&mut self) -> Result<(), DeviceLost> {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.waits_to_begin()) else { return Ok(()) };
        let (networks, prefixes) = (&*self.networks, &mut self.prefixes);
        let watch = Waiting::on(std::iter::once(&slot.request));
        let emotion = if networks.family() == Family::Turbo { 0.0 } else { slot.settings.exaggeration };
        let key = (slot.request.voice, emotion.to_bits());
        let voice_is_held = self.voices.contains_key(&slot.request.voice);
        let outcome = compute(networks, &self.pool, || {
            let prefix = if let Some(prefix) = prefixes.get(key) {
                prefix
            } else {
                let prefix = Arc::new(networks.prefix(&slot.voice, emotion, &watch)?);
                if voice_is_held {
                    prefixes.put(key, Arc::clone(&prefix), networks.prefix_bytes(&slot.voice));
                }
                prefix
            };
            let room = (slot.utterance.guided(), slot.utterance.max_tokens());
            slot.sequence = Some(networks.start(&prefix, slot.utterance.text(), room, &watch)?);
            slot.draw(networks);
            Ok(())
        });
        let failure = self.judge(outcome)?;
        // Nothing has changed the order since.
        if let (Some(error), Some(slot)) = (failure, self.slots.iter_mut().find(|slot| slot.waits_to_begin()))
        {
            slot.failure = Some(error);
        }
        Ok(())
    }

    /// Appends a token to each chunk that speaks, and draws the next.
    fn decode(&mut self) -> Result<(), DeviceLost> {
        let networks = &*self.networks;
        let mut speaking: Vec<_> = self.slots.iter_mut().filter(|slot| slot.pending.is_some()).collect();
        if speaking.is_empty() {
            return Ok(());
        }
        let watch = Waiting::on(speaking.iter().map(|slot| &slot.request));
        let outcome = compute(networks, &self.pool, || {
            let (mut rows, mut draws) = (Vec::new(), Vec::new());
            for slot in &mut speaking {
                let (Some(sequence), Some(token)) = (slot.sequence.as_mut(), slot.pending) else { continue };
                rows.push((sequence, token));
                // The CPU has the logits at hand.
                draws.push((!networks.on_cpu()).then(|| slot.utterance.next_draw()));
            }
            networks.decode(&mut rows, draws, &watch)?;
            for slot in &mut speaking {
                slot.pending = None;
                slot.draw(networks);
            }
            Ok(())
        });
        if let Some(error) = self.judge(outcome)? {
            for slot in self.slots.iter_mut().filter(|slot| slot.pending.is_some()) {
                slot.failure = Some(error.clone());
            }
        }
        Ok(())
    }

    /// Renders the piece that has waited the longest, and those that go through the networks beside it.
    fn render_due(&mut self, sink: &mut dyn StepSink) -> Result<(), DeviceLost> {
        let networks = &*self.networks;
        let begun = !self.slots.iter().any(Slot::waits_to_begin);
        let coming = |slot: &Slot<N>| Some((slot.due_in()?, slot.settings.cfm_steps));
        let coming: Vec<_> = self.slots.iter().filter_map(coming).collect();
        let mut due: Vec<_> = self
            .slots
            .iter_mut()
            .filter_map(|slot| slot.due(networks).map(|(piece, frames)| (slot, piece, frames)))
            .collect();
        due.sort_by_key(|(slot, ..)| slot.turn);
        let all = due.len();
        together(&mut due, networks.on_cpu());
        let Some((first, ..)) = due.first() else {
            self.held = 0;
            return Ok(());
        };
        let longest = due.iter().map(|(.., frames)| *frames).max().unwrap_or(0);
        let room = due.len() == all && !networks.on_cpu() && flow_together(due.len() + 1, longest);
        let fitting = coming.iter().filter(|(_, steps)| *steps == first.settings.cfm_steps);
        let soon = fitting.map(|(left, _)| *left).min();
        if begun && room && soon.is_some_and(|left| self.held + left <= MOST_HELD) {
            self.held += 1;
            return Ok(());
        }
        self.held = 0;
        self.clock += 1;
        for (slot, ..) in &mut due {
            slot.turn = self.clock;
        }
        let watch = Waiting::on(due.iter().map(|(slot, ..)| &slot.request));
        let outcome = compute(networks, &self.pool, || {
            let mut pieces: Vec<_> =
                due.iter_mut().filter_map(|(slot, piece, _)| slot.in_pass(piece)).collect();
            networks.render(&mut pieces, &watch)
        });
        match outcome {
            Ok(all) => {
                for ((slot, piece, _), samples) in due.into_iter().zip(all) {
                    give(slot, &piece, samples, sink);
                }
            }
            Err(error) if networks.on_cpu() || matches!(error, NnError::Stopped) => {
                let failure = refusal(&error);
                for (slot, ..) in due {
                    slot.failure = Some(failure.clone());
                }
            }
            Err(error) => return Err(DeviceLost(error.to_string())),
        }
        Ok(())
    }

    fn finish(&mut self, sink: &mut dyn StepSink) {
        for slot in self.slots.extract_if(.., |slot| slot.is_done()) {
            if !slot.request.cancel.is_cancelled() {
                slot.report(sink);
            }
        }
    }

    /// What a pass came to: nothing, a failure of the chunks that were in it, or the loss of the device.
    fn judge(&self, outcome: Result<(), NnError>) -> Result<Option<EngineError>, DeviceLost> {
        match outcome {
            Ok(()) | Err(NnError::Stopped) => Ok(None),
            Err(error) if self.networks.on_cpu() => Ok(Some(EngineError::Failed(error.to_string()))),
            Err(error) => Err(DeviceLost(error.to_string())),
        }
    }
}

/// Hands on what a piece came to.
fn give<N: Networks>(
    slot: &mut Slot<N>,
    piece: &Piece,
    samples: Result<Vec<f32>, NnError>,
    sink: &mut dyn StepSink,
) {
    match samples.map(|samples| slot.heard(piece, samples)) {
        Ok(samples) if !samples.is_empty() && !slot.request.cancel.is_cancelled() => {
            sink.pcm(slot.request.id, &samples);
        }
        Ok(_) => {}
        Err(error) => slot.failure = Some(refusal(&error)),
    }
}

/// What a client hears of an error that concerns its chunk.
fn refusal(error: &NnError) -> EngineError {
    match error {
        NnError::Stopped => EngineError::Cancelled,
        error => EngineError::Failed(error.to_string()),
    }
}

/// Leaves of the pieces that are due, each with its frames, the first and those that share its pass: as many as there is room
/// for, in the same number of steps. On the CPU nothing is gained by it, and more memory taken.
fn together<N: Networks>(due: &mut Vec<(&mut Slot<N>, Piece, usize)>, on_cpu: bool) {
    let Some((first, _, frames)) = due.first() else { return };
    let steps = first.settings.cfm_steps;
    let (mut count, mut longest) = (0, *frames);
    due.retain(|(slot, _, frames)| {
        let fits = count == 0
            || (!on_cpu
                && slot.settings.cfm_steps == steps
                && flow_together(count + 1, longest.max(*frames)));
        if fits {
            (count, longest) = (count + 1, longest.max(*frames));
        }
        fits
    });
}

/// Runs a pass where it belongs: a card is spoken to from the thread that opened it and from no other.
fn compute<N: Networks, R: Send>(networks: &N, pool: &ThreadPool, run: impl FnOnce() -> R + Send) -> R {
    if networks.on_cpu() { pool.install(run) } else { run() }
}

impl<N: Networks> Engine for ChatterboxEngine<N> {
    fn descriptor(&self) -> &EngineDescriptor {
        &self.descriptor
    }

    fn load_voice(&mut self, source: &VoiceSource, waiter: &Waiter) -> Result<VoiceSlot, EngineError> {
        let voice = (self.open_voice)(source, waiter)?;
        let slot = VoiceSlot(self.next_voice);
        self.next_voice += 1;
        self.voices.insert(slot, voice);
        Ok(slot)
    }

    /// What was opened once is remembered by its content, so that it is opened in no time after that.
    fn voice_preparer(&self) -> Option<PrepareVoice> {
        let open_voice = Arc::clone(&self.open_voice);
        Some(Box::new(move |source, waiter| open_voice(source, waiter).map(drop)))
    }

    fn drop_voice(&mut self, slot: VoiceSlot) {
        self.voices.remove(&slot);
        self.prefixes.forget(slot);
    }

    fn voice_bytes(&self, slot: VoiceSlot) -> u64 {
        self.voices.get(&slot).map_or(0, |voice| bytes_of(voice))
    }

    fn admit(&mut self, request: ChunkRequest) -> Result<(), EngineError> {
        if self.slots.len() >= self.descriptor.max_slots {
            return Err(EngineError::Failed("every slot of the engine is taken".to_owned()));
        }
        let voice = self.voices.get(&request.voice).cloned();
        let voice =
            voice.ok_or_else(|| EngineError::Failed(format!("voice slot {} is empty", request.voice.0)))?;
        let family = self.networks.family();
        let settings = params::settings(&request.params, &self.descriptor.params, family)?;
        describe::check_length(&request.text.text)?;
        let text = self.networks.encode(&request.text.text, &request.language)?;
        let Settings { sampling, stream_tokens, .. } = settings;
        let manner = Manner { family, sampling, seed: request.seed, first_piece: stream_tokens };
        self.slots.push(Slot::new(request, voice, settings, Utterance::new(text, manner)));
        Ok(())
    }

    fn step(&mut self, sink: &mut dyn StepSink) -> Result<(), DeviceLost> {
        self.drop_cancelled();
        self.begin_one()?;
        self.decode()?;
        self.render_due(sink)?;
        self.finish(sink);
        self.drop_cancelled();
        Ok(())
    }

    fn cancel(&mut self, chunk: ChunkId) {
        self.slots.retain(|slot| slot.request.id != chunk);
    }
}

fn bytes_of(voice: &Conditionals) -> u64 {
    let Conditionals { t3, s3gen } = voice;
    let numbers =
        t3.speaker.len() + t3.tokens.len() + s3gen.tokens.len() + s3gen.mel.len() + s3gen.xvector.len();
    (numbers * size_of::<f32>()) as u64
}
