//! Cuts spoken text into chunks: by sentences, then clauses, then words, within the engine's budget.
//!
//! [`Chunks`] reads one block at a time and holds nothing of the others, so memory does not grow with the text.

mod boundaries;
mod pack;

use crate::TextOptions;
use crate::blocks::{BlockEnd, Blocks};
use crate::markup::PAUSE_LIMIT_MS;
use crate::normalize::{self, Settings};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use stentor_types::{Chunk, ChunkBudget};

pub use boundaries::complete;
pub(crate) use boundaries::pause_after;

/// Silence after what ends a block, in milliseconds.
const PARAGRAPH_MS: u32 = 600;
const HEADING_MS: u32 = 600;
const ITEM_MS: u32 = 350;
const LINE_MS: u32 = 250;

/// The chunks of a text, in order. Lazy: asking for one reads no further than the block after it.
#[derive(Debug, Clone)]
pub struct Chunks {
    input: Arc<str>,
    settings: Settings,
    budget: ChunkBudget,
    blocks: Blocks,
    ready: VecDeque<Ready>,
    next_index: u32,
    started: bool,
}

/// A chunk that waits to be handed out.
#[derive(Debug, Clone)]
struct Ready {
    chunk: Chunk,
    /// The pause was asked for by a mark: more marks add to it, and nothing else changes it.
    explicit: bool,
    /// The pause that the chunk would have if the text ended there.
    last_pause_ms: u32,
}

/// Cuts `input` into chunks of at most `budget.max` characters of spoken text, the first of at most `budget.first`.
///
/// Paragraphs, headings, list items and `[pause:..]` marks end chunks. Every chunk has a word to speak, or a cue that the
/// engine knows; a text without any yields none. Only a `[word](/ipa/)` link, which is never cut, can make a chunk longer
/// than the budget; a cue is cut if it is longer than that by itself.
pub fn chunks(input: Arc<str>, options: &TextOptions, budget: ChunkBudget) -> Chunks {
    let settings = Settings::new(options);
    let blocks = settings.blocks();
    let max = budget.max.max(1);
    let budget = ChunkBudget { first: budget.first.clamp(1, max), max };
    Chunks { input, settings, budget, blocks, ready: VecDeque::new(), next_index: 0, started: false }
}

impl Iterator for Chunks {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        // One chunk is held back: what follows may lengthen its pause, or it may turn out to be the last.
        while self.ready.len() < 2 && self.read_block() {}
        let mut ready = self.ready.pop_front()?;
        if self.ready.is_empty() && !ready.explicit {
            ready.chunk.pause_ms = ready.last_pause_ms;
        }
        ready.chunk.goes_on = self.ready.front().is_some_and(|next| joins(&ready.chunk, &next.chunk));
        ready.chunk.index = self.next_index;
        self.next_index += 1;
        Some(ready.chunk)
    }
}

/// The last word of `chunk` and the first of `next` are one in the client's text.
fn joins(chunk: &Chunk, next: &Chunk) -> bool {
    let (last, first) = (chunk.spoken.spans.last(), next.spoken.spans.first());
    last.zip(first).is_some_and(|(last, first)| first.source.start < last.source.end)
}

impl Chunks {
    /// Where the first word of the next chunk stands, as far as that has been read: behind each chunk that was given out
    /// the next one has, if there is one.
    pub(crate) fn upcoming(&self) -> Option<&Range<usize>> {
        Some(&self.ready.front()?.chunk.spoken.spans.first()?.source)
    }

    /// Reads one more block; `false` at the end of the text.
    fn read_block(&mut self) -> bool {
        let Some(block) = self.blocks.next(&self.input) else { return false };
        let spoken = normalize::block(&self.input, &block, &self.settings);
        let mut from = 0;
        for stop in &spoken.breaks {
            let first = self.ready.len();
            self.pack(&spoken.text, from..stop.at);
            self.end_segment(stop.pause_ms, first);
            from = stop.at;
        }
        let first = self.ready.len();
        self.pack(&spoken.text, from..spoken.text.text.len());
        let after = match block.end {
            BlockEnd::Paragraph => PARAGRAPH_MS,
            BlockEnd::Heading => HEADING_MS,
            BlockEnd::Item => ITEM_MS,
            BlockEnd::Line => LINE_MS,
            BlockEnd::Cut => return true,
        };
        let spoke = self.ready.len() > first || block.end == BlockEnd::Paragraph;
        if let Some(last) = self.ready.back_mut().filter(|ready| spoke && !ready.explicit) {
            last.chunk.pause_ms = last.chunk.pause_ms.max(after);
        }
        true
    }

    fn pack(&mut self, spoken: &stentor_types::SpokenText, range: Range<usize>) {
        let mut packer = pack::Packer::new(spoken, range, self.budget.max);
        if !self.started {
            packer = packer.first(self.budget.first);
        }
        for piece in packer {
            self.started = true;
            let last_pause_ms = piece.pause_ms;
            self.ready.push_back(Ready {
                chunk: Chunk {
                    index: 0,
                    spoken: piece.spoken,
                    pause_ms: piece.pause_ms,
                    style: 0,
                    goes_on: false,
                },
                explicit: false,
                last_pause_ms,
            });
        }
    }

    /// Applies a pause mark or a heard line break to the chunk before it.
    fn end_segment(&mut self, pause_ms: Option<u32>, first: usize) {
        let fresh = self.ready.len() > first;
        let Some(last) = self.ready.back_mut() else { return };
        match pause_ms {
            Some(ms) if last.explicit && !fresh => {
                last.chunk.pause_ms = (last.chunk.pause_ms + ms).min(PAUSE_LIMIT_MS);
            }
            Some(ms) => {
                last.explicit = true;
                last.chunk.pause_ms = ms;
            }
            None if !last.explicit => last.chunk.pause_ms = last.chunk.pause_ms.max(LINE_MS),
            None => {}
        }
    }
}

/// Cuts a chunk that an engine found too long into parts of at most `limit` characters.
///
/// All parts keep the chunk's `index`. Its pause comes after the last part only; between the parts there is the pause
/// that their punctuation calls for.
pub fn split(chunk: Chunk, limit: usize) -> Vec<Chunk> {
    let whole = 0..chunk.spoken.text.len();
    let mut parts: Vec<Chunk> = pack::Packer::new(&chunk.spoken, whole, limit.max(1))
        .map(|piece| Chunk {
            index: chunk.index,
            spoken: piece.spoken,
            pause_ms: piece.pause_ms,
            style: chunk.style,
            goes_on: false,
        })
        .collect();
    for next in 1..parts.len() {
        parts[next - 1].goes_on = joins(&parts[next - 1], &parts[next]);
    }
    match parts.last_mut() {
        Some(last) => (last.pause_ms, last.goes_on) = (chunk.pause_ms, chunk.goes_on),
        None => parts.push(chunk),
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::WINDOW;
    use stentor_types::Language;

    fn start(text: &str) -> Chunks {
        let options = TextOptions { language: Language::en_us(), normalize: true, tags: Vec::new() };
        chunks(Arc::from(text), &options, ChunkBudget { first: 80, max: 250 })
    }

    #[test]
    fn a_text_is_read_no_further_than_its_chunks_need() {
        for text in ["One more sentence of it. ".repeat(80_000), "A line of text.\n\n".repeat(80_000)] {
            let mut chunks = start(&text);
            let mut spoken = 0;
            for chunk in chunks.by_ref().take(500) {
                spoken = chunk.spoken.spans.last().map_or(spoken, |span| span.source.end);
            }
            assert!(chunks.blocks.position() <= spoken + 2 * WINDOW);
            assert!(chunks.ready.len() <= WINDOW);
        }
    }

    #[test]
    fn hostile_text_gives_as_many_chunks_as_its_length_warrants() {
        let pieces = [
            "7", "(", "*", "$1,1,1", "x", "a.", "[a", "<a ", "&", "1/", "x ", "漢", "\"", "e\u{301}",
            "\u{301}", "!", "Hi! ",
        ];
        for piece in pieces {
            let text = piece.repeat(200_000 / piece.len());
            let (mut count, mut characters) = (0, 0);
            for chunk in start(&text) {
                let length = chunk.spoken.text.chars().count();
                assert!(length <= 250, "{piece:?}: {length}");
                (count, characters) = (count + 1, characters + length);
            }
            // Chunks are half full on average at least, block ends apart.
            assert!(count <= characters / 60 + 2, "{piece:?}: {count} chunks for {characters} characters");
            assert!(characters <= text.len() * 7, "{piece:?}: {characters} characters");
        }
    }
}
