//! When words are spoken.

use serde::{Deserialize, Serialize};
use std::ops::Range;

/// A word of a chunk's spoken text and the samples in which it is heard, counted from the chunk's first sample.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WordTiming {
    /// Byte range in [`SpokenText::text`](crate::SpokenText).
    pub text: Range<usize>,
    pub samples: Range<u64>,
}

/// A word of the client's own text and when it is heard, in seconds from the start of the audio.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceTiming {
    /// The word as the client wrote it, without tags and with the characters that entities stand for.
    pub word: String,
    /// Byte range in the client's text.
    pub source: Range<usize>,
    pub start: f64,
    pub end: f64,
}
