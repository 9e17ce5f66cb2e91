//! Pure text work: normalise, segment sentences, pack chunks, map words back to the original text.
//!
//! A [`Script`] comes first: it reads SSML where there is any and lets lexicons have their say, and writes both in
//! marks of our own. Then the text goes through four small stages, one paragraph at a time: `blocks` cuts it into
//! paragraphs, headings and list items, `clean` drops markup and odd characters, `normalize` writes numbers,
//! dates and abbreviations out as words, `chunk` packs the result for the engine. Every stage costs linear
//! time and every word remembers the bytes of the client's text that it came from.

mod blocks;
mod chunk;
mod clean;
mod cues;
pub mod lexicon;
mod marked;
mod markup;
mod normalize;
mod script;
pub mod ssml;
mod timing;
mod view;

pub use chunk::{Chunks, chunks, complete, split};
pub use marked::Rule;
pub use normalize::normalize;
pub use script::{Script, ScriptChunks, Style};
pub use timing::{WordJoiner, source_timings};
pub use view::View;

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
