//! Writes out what a dictionary cannot pronounce: numbers, dates, money, units, abbreviations, addresses, symbols.
//!
//! `scan` walks over cleaned text. At the start of every word it asks the rules of that kind of character, in order
//! of how much they read; the first that answers has read the text up to its end. Rules are hand-written scanners
//! that look at a bounded stretch, so one pass is linear whatever the input.

mod abbreviations;
mod calendar;
mod codes;
mod context;
mod currency;
mod dates;
mod fractions;
mod initials;
mod numbers;
mod output;
mod paths;
mod phones;
mod plain;
mod ranges;
mod roman;
mod rules;
pub(crate) mod say_as;
mod scan;
mod symbols;
mod times;
mod units;
mod urls;
mod versions;
mod words;

use crate::TextOptions;
use crate::blocks::{Block, BlockEnd, Blocks};
use crate::clean::{Mode, clean};
use crate::cues::Cues;
use stentor_types::{SpanMap, SpokenText};

pub(crate) use output::Spoken;

/// What the stages of one request share.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    mode: Mode,
    /// English rules are on.
    rules: bool,
    british: bool,
    cues: Cues,
}

impl Settings {
    pub(crate) fn new(options: &TextOptions) -> Self {
        let english = options.language.is_english();
        Self {
            mode: Mode { markup: options.normalize, english },
            rules: options.normalize && english,
            british: options.language.is_british(),
            cues: Cues::new(&options.tags),
        }
    }

    pub(crate) fn blocks(&self) -> Blocks {
        Blocks::new(self.mode.markup)
    }
}

/// Reads one block of `input`. Source ranges count from the start of `input`.
pub(crate) fn block(input: &str, block: &Block, settings: &Settings) -> Spoken {
    let clean = clean(&input[block.range.clone()], settings.mode, &settings.cues);
    let mut spoken = scan::scan(&clean, settings);
    for span in &mut spoken.text.spans {
        span.source = span.source.start + block.range.start..span.source.end + block.range.start;
    }
    spoken
}

/// The spoken form of a whole text: paragraphs are parted by line breaks, pause marks are left out.
///
/// ```
/// # use stentor_text::{TextOptions, normalize};
/// # use stentor_types::Language;
/// let options = TextOptions { language: Language::en_us(), normalize: true, tags: Vec::new() };
/// let spoken = normalize("Dr. Smith paid $2.5 million.", &options);
/// assert_eq!(spoken.text, "Doctor Smith paid two point five million dollars.");
/// ```
pub fn normalize(input: &str, options: &TextOptions) -> SpokenText {
    let settings = Settings::new(options);
    let mut blocks = settings.blocks();
    let mut whole = SpokenText::default();
    let mut end = BlockEnd::Cut;
    while let Some(next) = blocks.next(input) {
        let mut part = block(input, &next, &settings).text;
        let text = part.text.trim_end();
        if !text.is_empty() {
            if !whole.text.is_empty() {
                whole.text.push(if end == BlockEnd::Cut { ' ' } else { '\n' });
            }
            let base = whole.text.len();
            whole.text.push_str(text);
            whole.spans.extend(part.spans.drain(..).map(|span| SpanMap {
                spoken: span.spoken.start + base..span.spoken.end + base,
                source: span.source,
            }));
            end = next.end;
        }
    }
    whole
}
