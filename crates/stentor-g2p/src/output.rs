//! Puts words and punctuation together to a phoneme string and counts where each word stands in it.

use crate::{Origin, PhonemeWord, Phonemes, symbols};
use std::ops::Range;

/// Grows a [`Phonemes`]; spaces never double and never stand at either end or before closing punctuation.
#[derive(Default)]
pub(crate) struct Output {
    phonemes: Phonemes,
    /// Characters in `phonemes.text`.
    length: usize,
    space: bool,
}

impl Output {
    /// A space before whatever comes next.
    pub(crate) fn space(&mut self) {
        self.space = true;
    }

    pub(crate) fn word(&mut self, source: Range<usize>, phonemes: &str, origin: Origin) {
        let phonemes: String = phonemes.trim().chars().filter(|c| symbols::is_known(*c)).collect();
        if phonemes.is_empty() {
            return;
        }
        self.flush_space();
        let start = self.length;
        self.push(&phonemes);
        if let Some(last) = self.phonemes.words.last_mut()
            && last.source.end > source.start
        {
            // One character that is read as several words ("½") counts as one.
            last.source.end = last.source.end.max(source.end);
            last.phonemes.end = self.length;
            last.origin = last.origin.max(origin);
            return;
        }
        self.phonemes.words.push(PhonemeWord { source, phonemes: start..self.length, origin });
    }

    /// A mark of the vocabulary.
    pub(crate) fn mark(&mut self, mark: char) {
        if matches!(mark, ',' | '.' | ';' | ':' | '!' | '?' | '…' | ')' | '”') {
            self.space = false;
        }
        self.flush_space();
        self.push(mark.encode_utf8(&mut [0; 4]));
    }

    pub(crate) fn finish(mut self, skipped: Vec<Range<usize>>) -> Phonemes {
        // Punctuation alone is nothing that can be spoken.
        if self.phonemes.words.is_empty() {
            self.phonemes.text.clear();
        }
        self.phonemes.skipped = skipped;
        self.phonemes
    }

    fn flush_space(&mut self) {
        if self.space && self.length > 0 {
            self.push(" ");
        }
        self.space = false;
    }

    fn push(&mut self, text: &str) {
        self.length += text.chars().count();
        self.phonemes.text.push_str(text);
    }
}
