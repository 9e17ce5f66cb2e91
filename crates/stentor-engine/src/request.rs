//! A chunk as an engine receives it.

use serde::{Deserialize, Serialize};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};
use stentor_types::{ChunkId, Language, Params, Speed, SpokenText};

/// A loaded voice in one engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VoiceSlot(pub u64);

/// Set by the worker when nobody waits for the chunk any more; engines read it at least every 100 ms of work.
#[derive(Debug, Clone, Default)]
pub struct CancelFlag(Arc<AtomicBool>);

impl CancelFlag {
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts units of finished work (a layer, a token). A worker whose counter stands still is stuck.
#[derive(Debug, Clone, Default)]
pub struct StepCounter(Arc<AtomicU64>);

impl StepCounter {
    pub fn advance(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Somebody who waits for work that belongs to no admitted chunk, such as the making of a voice.
#[derive(Debug, Clone, Default)]
pub struct Waiter {
    pub cancel: CancelFlag,
    pub progress: StepCounter,
}

impl Waiter {
    /// As [`ChunkRequest::checkpoint`]; work for somebody who has left is no progress.
    pub fn checkpoint(&self) -> Result<(), crate::EngineError> {
        if self.cancel.is_cancelled() {
            return Err(crate::EngineError::Cancelled);
        }
        self.progress.advance();
        Ok(())
    }
}

/// One chunk to speak.
#[derive(Debug, Clone)]
pub struct ChunkRequest {
    pub id: ChunkId,
    pub text: SpokenText,
    pub language: Language,
    pub voice: VoiceSlot,
    pub speed: Speed,
    pub seed: u64,
    pub params: Params,
    pub cancel: CancelFlag,
    pub progress: StepCounter,
}

impl ChunkRequest {
    /// Marks a unit of work as done; `Err(Cancelled)` when nobody waits for the result.
    pub fn checkpoint(&self) -> Result<(), crate::EngineError> {
        self.progress.advance();
        if self.cancel.is_cancelled() { Err(crate::EngineError::Cancelled) } else { Ok(()) }
    }
}

/// What an engine can tell of a finished chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ChunkStats {
    pub samples: u64,
    /// Phonemes or speech tokens.
    pub units: u64,
}

/// How a text is read: its phonemes, word by word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhonemeTrace {
    pub phonemes: String,
    /// Word as in the spoken text, its phonemes, and which source gave them.
    pub words: Vec<(String, String, String)>,
}
