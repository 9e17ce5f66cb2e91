//! Pieces of text as the scheduler hands them to an engine.

use serde::{Deserialize, Serialize};
use std::ops::Range;

/// How much text an engine takes at once, in characters of spoken (normalised) text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkBudget {
    /// The first chunk of a request is at most this long, so that the first sound comes soon.
    pub first: usize,
    /// The length that later chunks aim at and do not exceed.
    pub max: usize,
}

/// One stretch of spoken text and the stretch of the client's text that it came from (byte ranges).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpanMap {
    pub spoken: Range<usize>,
    pub source: Range<usize>,
}

/// Normalised text that remembers where each of its words stood in the client's text.
///
/// It may hold `[word](/ipa/)` links, which engines read as a word with given phonemes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SpokenText {
    pub text: String,
    /// In ascending order of `spoken`, without overlap. Words that came from one expansion ("$5" to
    /// "five dollars") share one entry.
    pub spans: Vec<SpanMap>,
}

/// The unit of scheduling, replay, caching, cancellation and streaming.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Position in the request, from zero.
    pub index: u32,
    pub spoken: SpokenText,
    /// Silence to leave after this chunk's last sound, in milliseconds.
    pub pause_ms: u32,
    /// Which of the request's styles (voice, speed) it is spoken in; zero is the request's own.
    pub style: usize,
    /// Its last word of the client's text goes on in the next chunk: the cut fell into what is read for it.
    pub goes_on: bool,
}
