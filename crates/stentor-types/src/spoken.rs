//! A finished chunk, as it is kept and shared.

use crate::WordTiming;
use std::fmt;

/// The audio of one chunk as the engine gave it: not joined, not trimmed, not encoded.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SpokenChunk {
    /// Mono at the descriptor's rate.
    pub samples: Vec<f32>,
    pub words: Vec<WordTiming>,
    /// Phonemes or tokens that went in.
    pub units: u64,
}

/// Names a chunk by everything that its samples depend on: a SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkKey(pub [u8; 32]);

impl fmt::Display for ChunkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ChunkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChunkKey({self})")
    }
}
