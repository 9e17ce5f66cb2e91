//! One request's conversation with a model: chunks in, ordered events out.

use crate::SpeechError;
use stentor_engine::ChunkStats;
use stentor_types::{Chunk, Language, Params, Speed, VoiceSource, WordTiming};

/// A place among a model's sessions.
#[derive(Debug)]
pub struct Permit {}

/// Cuts a chunk into pieces of at most the given number of characters, in order, keeping its `index`.
pub type Resplit = fn(Chunk, usize) -> Vec<Chunk>;

/// What to speak, and how.
pub struct SessionRequest {
    pub voice: VoiceSource,
    pub language: Language,
    pub speed: Speed,
    pub seed: u64,
    pub params: Params,
    /// Pulled lazily, in the task that calls [`Session::next`], at most two chunks ahead of what was consumed.
    pub chunks: Box<dyn Iterator<Item = Chunk> + Send>,
    pub resplit: Resplit,
}

/// Strictly ordered: `ChunkStart`, then any mix of `Pcm` and `Timing`, then `ChunkEnd`; then the next chunk.
#[derive(Debug, Clone, PartialEq)]
pub enum SessionEvent {
    ChunkStart(Chunk),
    /// The next samples, mono at the descriptor's rate; never empty.
    Pcm(Vec<f32>),
    Timing(Vec<WordTiming>),
    ChunkEnd { stats: ChunkStats },
}

/// Speech on its way. Dropping it cancels its chunks in the worker at once.
pub struct Session {
    permit: Permit,
    request: SessionRequest,
}

impl Session {
    pub(crate) fn new(permit: Permit, request: SessionRequest) -> Self {
        Self { permit, request }
    }

    /// The next event; `None` after the last one, and after an error. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<SessionEvent, SpeechError>> {
        let _ = (&self.permit, &self.request);
        None
    }
}
