//! Strips a block to plain text: markdown, HTML, emoji and odd characters go; every byte left knows its source.
//!
//! Whitespace comes out as single spaces, quotes and apostrophes straight, words composed (NFC). One pass, and no
//! look-ahead beyond bracket pairs found beforehand, so the cost is linear whatever the input.

mod chars;
mod emoji;
pub(crate) mod html;
mod inline;

use crate::cues::Cues;
use std::ops::Range;

/// Stands for a `[pause:..]` mark in cleaned text; private-use characters of the input are dropped.
pub(crate) const PAUSE: char = '\u{e000}';
/// Stands for a line break that must be heard, such as `<br>`.
pub(crate) const BREAK: char = '\u{e001}';

/// How much cleaning a text gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mode {
    /// Drop markdown, HTML and emoji and straighten quotes.
    pub(crate) markup: bool,
    /// Full-width letters and punctuation become ASCII.
    pub(crate) english: bool,
}

/// A block's text after cleaning.
#[derive(Debug, Default)]
pub(crate) struct Clean {
    pub(crate) text: String,
    /// Per byte of `text`: the bytes of the block that its character came from.
    map: Vec<(u32, u32)>,
    /// Lengths of the pauses whose marks stand in `text`, in order, in milliseconds.
    pub(crate) pauses: Vec<u32>,
}

impl Clean {
    /// The bytes of the block from which the non-empty `range` of `text` came.
    pub(crate) fn source(&self, range: &Range<usize>) -> Range<usize> {
        self.map[range.start].0 as usize..self.map[range.end - 1].1 as usize
    }

    fn push(&mut self, c: char, from: &Range<usize>) {
        if c == ' ' && self.text.chars().next_back().is_none_or(|p| p == ' ' || p == BREAK) {
            return;
        }
        if let Some(last) = self.text.chars().next_back().filter(|_| chars::is_mark(c)) {
            if let Some(whole) = unicode_normalization::char::compose(last, c) {
                let start = self.map.last().map_or(from.start, |m| m.0 as usize);
                self.text.truncate(self.text.len() - last.len_utf8());
                self.map.truncate(self.text.len());
                return self.raw(whole, &(start..from.end));
            }
            if self.text.chars().rev().take(4).all(chars::is_mark) {
                return; // a pile of accents says nothing more
            }
        }
        self.raw(c, from);
    }

    /// Takes back a space: no mark stands behind one.
    fn trim_space(&mut self) {
        if self.text.ends_with(' ') {
            self.text.pop();
            self.map.pop();
        }
    }

    fn raw(&mut self, c: char, from: &Range<usize>) {
        self.text.push(c);
        let entry = (from.start as u32, from.end as u32);
        self.map.extend(std::iter::repeat_n(entry, c.len_utf8()));
    }
}

/// Cleans one block; `cues` are left standing.
pub(crate) fn clean(block: &str, mode: Mode, cues: &Cues) -> Clean {
    inline::Cleaner::new(block, mode, cues).run()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(block: &str) -> String {
        clean(block, Mode { markup: true, english: true }, &Cues::default()).text
    }

    #[test]
    fn every_byte_knows_its_source() {
        let block = "**Bo**ld &amp; e\u{301}\u{200b}te\u{301} “ok”";
        let clean = clean(block, Mode { markup: true, english: true }, &Cues::default());
        assert_eq!(clean.text, "Bold & été \"ok\"");
        let word = clean.text.find("été").unwrap();
        assert_eq!(&block[clean.source(&(word..word + "été".len()))], "e\u{301}\u{200b}te\u{301}");
        assert_eq!(&block[clean.source(&(0..4))], "Bo**ld");
        assert_eq!(&block[clean.source(&(5..6))], "&amp;");
    }

    #[test]
    fn piles_of_accents_shrink() {
        let pile = format!("z{}", "\u{334}".repeat(1000));
        assert!(text(&pile).chars().count() < 7);
    }

    #[test]
    fn without_markup_only_control_characters_go() {
        let raw =
            clean("*a*\u{0} <b> “c”\u{7}\n&amp; 😀", Mode { markup: false, english: true }, &Cues::default());
        assert_eq!(raw.text, "*a* <b> “c” &amp; 😀");
    }
}
