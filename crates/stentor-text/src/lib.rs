//! Pure text work: normalise, segment sentences, pack chunks, map words back to the original text.
//!
//! The client's text goes through four small stages, one paragraph at a time: `blocks` cuts it into
//! paragraphs, headings and list items, `clean` drops markup and odd characters, `normalize` writes numbers,
//! dates and abbreviations out as words, `chunk` packs the result for the engine. Every stage costs linear
//! time and every word remembers the bytes of the client's text that it came from.

mod blocks;
mod chunk;
mod clean;
mod cues;
mod markup;
mod normalize;
mod timing;

pub use chunk::{Chunks, chunks, split};
pub use normalize::normalize;
pub use timing::source_timings;

use stentor_types::Language;

/// How a text is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextOptions {
    /// English gets every rule, other languages only what holds for all: markdown, emoji, quotes, odd
    /// characters.
    pub language: Language,
    /// `false`: nothing is written out and no markup dropped; only control characters go.
    pub normalize: bool,
    /// Cues in square brackets, such as `[laugh]`, that the engine understands. They reach it in this
    /// spelling, in whatever case they were written, and are never cut. Of the cues that listeners know well,
    /// those that the engine doesn't understand are left out rather than read aloud; all other words in
    /// brackets are text.
    pub tags: Vec<String>,
}
