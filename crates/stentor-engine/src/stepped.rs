//! Lifts an engine that speaks a whole chunk at once to the [`Engine`] contract.

use crate::{
    ChunkRequest, ChunkStats, DeviceLost, Engine, EngineDescriptor, EngineError, PhonemeTrace, StepSink,
    VoiceSlot, Waiter,
};
use std::collections::VecDeque;
use stentor_types::{ChunkId, Language, SpokenText, VoiceSource, WordTiming};

/// All of a chunk at once.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChunkOutput {
    /// Mono samples at the descriptor's rate.
    pub samples: Vec<f32>,
    pub words: Vec<WordTiming>,
    /// Phonemes or tokens that went in.
    pub units: u64,
}

/// An engine whose natural unit of work is one whole chunk.
pub trait WholeChunk: Send {
    fn descriptor(&self) -> &EngineDescriptor;
    fn load_voice(&mut self, source: &VoiceSource) -> Result<VoiceSlot, EngineError>;
    fn drop_voice(&mut self, slot: VoiceSlot);
    /// See [`Engine::voice_bytes`].
    fn voice_bytes(&self, _slot: VoiceSlot) -> u64 {
        0
    }
    /// Speaks `request`. Calls [`ChunkRequest::checkpoint`] at least every 100 ms of work.
    /// The outer error means that the device is gone.
    fn synthesize(&mut self, request: &ChunkRequest) -> Result<Result<ChunkOutput, EngineError>, DeviceLost>;
    /// How many of the chunks that wait, the first ones, are best spoken together: at least one. None of them is heard before
    /// all are done.
    fn together(&self, _waiting: &[ChunkRequest]) -> usize {
        1
    }
    /// [`WholeChunk::synthesize`] for each of several chunks.
    fn synthesize_together(
        &mut self,
        requests: &[ChunkRequest],
    ) -> Result<Vec<Result<ChunkOutput, EngineError>>, DeviceLost> {
        requests.iter().map(|request| self.synthesize(request)).collect()
    }
    fn phonemize(&self, text: &SpokenText, language: &Language) -> Result<PhonemeTrace, EngineError>;
}

/// Queues admitted chunks and speaks one per step, or as many as the engine wants to speak together.
pub struct Stepped<E> {
    inner: E,
    queue: VecDeque<ChunkRequest>,
    /// Voices that were dropped while a queued chunk still needs them.
    dropped: Vec<VoiceSlot>,
}

impl<E: WholeChunk> Stepped<E> {
    pub fn new(inner: E) -> Self {
        Self { inner, queue: VecDeque::new(), dropped: Vec::new() }
    }

    /// Hands on the drops that no queued chunk holds up any more.
    fn release_voices(&mut self) {
        let Self { inner, queue, dropped } = self;
        dropped.retain(|slot| {
            let needed = queue.iter().any(|request| request.voice == *slot);
            if !needed {
                inner.drop_voice(*slot);
            }
            needed
        });
    }
}

impl<E: WholeChunk> Engine for Stepped<E> {
    fn descriptor(&self) -> &EngineDescriptor {
        self.inner.descriptor()
    }

    fn load_voice(&mut self, source: &VoiceSource, _waiter: &Waiter) -> Result<VoiceSlot, EngineError> {
        self.inner.load_voice(source)
    }

    fn drop_voice(&mut self, slot: VoiceSlot) {
        self.dropped.push(slot);
        self.release_voices();
    }

    fn voice_bytes(&self, slot: VoiceSlot) -> u64 {
        self.inner.voice_bytes(slot)
    }

    fn admit(&mut self, request: ChunkRequest) -> Result<(), EngineError> {
        if self.queue.len() >= self.inner.descriptor().max_slots {
            return Err(EngineError::Failed("every slot of the engine is taken".to_owned()));
        }
        self.queue.push_back(request);
        Ok(())
    }

    fn step(&mut self, sink: &mut dyn StepSink) -> Result<(), DeviceLost> {
        if self.queue.is_empty() {
            return Ok(());
        }
        let count = self.inner.together(self.queue.make_contiguous()).clamp(1, self.queue.len());
        let requests: Vec<ChunkRequest> = self.queue.drain(..count).collect();
        let outcomes = self.inner.synthesize_together(&requests)?;
        self.release_voices();
        for (request, outcome) in requests.iter().zip(outcomes) {
            if request.cancel.is_cancelled() {
                continue;
            }
            let result = outcome.map(|output| {
                sink.timing(request.id, &output.words);
                sink.pcm(request.id, &output.samples);
                ChunkStats { samples: output.samples.len() as u64, units: output.units }
            });
            sink.finished(request.id, result);
        }
        Ok(())
    }

    fn cancel(&mut self, chunk: ChunkId) {
        self.queue.retain(|request| request.id != chunk);
        self.release_voices();
    }

    fn phonemize(&self, text: &SpokenText, language: &Language) -> Result<PhonemeTrace, EngineError> {
        self.inner.phonemize(text, language)
    }
}
