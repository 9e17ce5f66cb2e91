//! Cuts the client's text into blocks: paragraphs, headings, list items, table rows.
//!
//! A block is what the later stages hold in memory at once, so it never exceeds `WINDOW` bytes: a longer paragraph
//! is cut after a sentence, or between words, or, when it has neither, between characters.

use std::ops::Range;
use unicode_normalization::char::is_combining_mark;

/// Longest block in bytes.
pub(crate) const WINDOW: usize = 4096;
/// A line shorter than this, with no stop at its end, before one that starts with a capital is verse or a list.
const SHORT_LINE: usize = 45;

/// What comes after a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockEnd {
    Paragraph,
    Heading,
    Item,
    Line,
    /// The paragraph goes on; the block was full.
    Cut,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) range: Range<usize>,
    pub(crate) end: BlockEnd,
}

/// Where the cutting stands.
#[derive(Debug, Clone)]
pub(crate) struct Blocks {
    pos: usize,
    markup: bool,
    mid_line: bool,
}

enum LineKind {
    Blank,
    /// Markup that holds no text: a rule, a fence, a table's second row.
    Mute,
    /// Offset of the text behind the marks, and of its end.
    Heading(usize, usize),
    Item(usize),
    Row,
    Text,
}

impl Blocks {
    /// `markup`: markdown at the start of lines means something.
    pub(crate) fn new(markup: bool) -> Self {
        Self { pos: 0, markup, mid_line: false }
    }

    /// Bytes of the text that have been given out as blocks or passed over.
    #[cfg(test)]
    pub(crate) fn position(&self) -> usize {
        self.pos
    }

    /// The next block of `text`, which must be the same at every call.
    pub(crate) fn next(&mut self, text: &str) -> Option<Block> {
        let mut start: Option<usize> = None;
        while self.pos < text.len() {
            let line_start = self.pos;
            let (end, next, whole) = line(text, line_start);
            let from = start.unwrap_or(line_start);
            if !whole || end - from > WINDOW {
                return Some(self.cut(text, from));
            }
            let kind = self.classify(&text[line_start..end]);
            let ended = |range: Range<usize>, end| Some(Block { range, end });
            match (kind, start) {
                (LineKind::Blank | LineKind::Mute, Some(from)) => {
                    self.advance(next);
                    return ended(from..line_start, BlockEnd::Paragraph);
                }
                (LineKind::Blank | LineKind::Mute, None) => self.advance(next),
                (LineKind::Heading(..), Some(from)) => {
                    return ended(from..line_start, BlockEnd::Paragraph);
                }
                (LineKind::Heading(skip, stop), None) => {
                    self.advance(next);
                    return ended(line_start + skip..line_start + stop, BlockEnd::Heading);
                }
                (LineKind::Item(_), Some(from)) => return ended(from..line_start, BlockEnd::Item),
                (LineKind::Item(skip), None) => {
                    self.advance(next);
                    start = Some(line_start + skip);
                }
                (LineKind::Row, Some(from)) => return ended(from..line_start, BlockEnd::Line),
                (LineKind::Row, None) => {
                    self.advance(next);
                    return ended(line_start..end, BlockEnd::Line);
                }
                (LineKind::Text, _) => {
                    self.advance(next);
                    if self.markup && is_verse(&text[line_start..end], &text[next..]) {
                        return ended(from..end, BlockEnd::Line);
                    }
                    start = Some(from);
                }
            }
        }
        start.map(|from| Block { range: from..text.len(), end: BlockEnd::Paragraph })
    }

    fn advance(&mut self, next: usize) {
        self.pos = next;
        self.mid_line = false;
    }

    fn cut(&mut self, text: &str, from: usize) -> Block {
        let end = cut_point(text, from);
        self.pos = end;
        self.mid_line = !text[..end].ends_with('\n');
        Block { range: from..end, end: BlockEnd::Cut }
    }

    fn classify(&self, line: &str) -> LineKind {
        let trimmed = line.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
        if trimmed.is_empty() {
            return LineKind::Blank;
        }
        if !self.markup || self.mid_line {
            return LineKind::Text;
        }
        // A quoted heading or item is a heading or item.
        let body = trimmed.trim_start_matches(['>', ' ']);
        let skip = line.len() - body.len();
        if body.is_empty() || is_mute(body.trim_end()) {
            return LineKind::Mute;
        }
        let hashes = body.len() - body.trim_start_matches('#').len();
        if (1..=6).contains(&hashes) && body[hashes..].starts_with([' ', '\t']) {
            let stop = line.trim_end().trim_end_matches('#').len();
            return LineKind::Heading((skip + hashes).min(stop), stop);
        }
        if let Some(marker) = item_marker(body) {
            return LineKind::Item(skip + marker);
        }
        if body.starts_with('|') { LineKind::Row } else { LineKind::Text }
    }
}

/// End of the line at `start` without its break, start of the next, and whether it ended inside the window.
fn line(text: &str, start: usize) -> (usize, usize, bool) {
    let limit = text.len().min(start + WINDOW);
    match text.as_bytes()[start..limit].iter().position(|&b| matches!(b, b'\n' | b'\r')) {
        Some(i) => {
            let end = start + i;
            let next = if text[end..].starts_with("\r\n") { end + 2 } else { end + 1 };
            (end, next, true)
        }
        None => (limit, limit, limit == text.len()),
    }
}

fn is_mute(body: &str) -> bool {
    let only = |set: &[u8], least: usize| body.len() >= least && body.bytes().all(|b| set.contains(&b));
    let rule = [b"- ", b"* ", b"_ ", b"= "].iter().any(|set| only(*set, 3));
    let table = body.contains('-') && body.contains('|') && only(b"|-: \t", 3);
    let fence = body.starts_with("```") || body.starts_with("~~~");
    let definition = body.starts_with('[') && body.contains("]: http") && !body.contains(". ");
    rule || table || (fence && !body[3..].contains(['`', ' '])) || definition
}

/// Bytes of the bullet at the start of `body`. The number of a numbered item is text and stays.
fn item_marker(body: &str) -> Option<usize> {
    for bullet in ["- ", "* ", "+ ", "• ", "‣ ", "◦ ", "– "] {
        if let Some(rest) = body.strip_prefix(bullet) {
            let task = ["[ ] ", "[x] ", "[X] "].iter().any(|t| rest.starts_with(t));
            return Some(bullet.len() + if task { 4 } else { 0 });
        }
    }
    let digits = body.bytes().take_while(u8::is_ascii_digit).count();
    let numbered = (1..=3).contains(&digits)
        && body[digits..].starts_with(['.', ')'])
        && body[digits + 1..].starts_with(' ');
    numbered.then_some(0)
}

/// A short line without punctuation at its end, followed by one that starts with a capital.
fn is_verse(line: &str, rest: &str) -> bool {
    let line = line.trim();
    line.len() < SHORT_LINE
        && line.ends_with(char::is_alphanumeric)
        && rest.trim_start_matches([' ', '\t', '*', '_', '"', '“']).starts_with(char::is_uppercase)
}

/// Where to end a block that starts at `from` and would be too long: always after `from`, on a char boundary.
fn cut_point(text: &str, from: usize) -> usize {
    let mut limit = text.len().min(from + WINDOW);
    while !text.is_char_boundary(limit) {
        limit -= 1;
    }
    let window = &text[from..limit];
    let least = WINDOW / 2;
    let mut space = None;
    let mut sentence = None;
    for (i, c) in window.char_indices().rev().take_while(|(i, _)| *i >= least) {
        if is_wide_stop(c) {
            sentence = Some(i + c.len_utf8());
        } else if c.is_whitespace() {
            space = space.or(Some(i + c.len_utf8()));
            if ends_sentence(&window[..i]) {
                sentence = Some(i + c.len_utf8());
            }
        }
        if sentence.is_some() {
            break;
        }
    }
    let cut = from + sentence.or(space).unwrap_or_else(|| before_accents(text, from, limit) - from);
    let cut = before_link(text, from, cut);
    crate::clean::html::around(text, from, cut).unwrap_or(cut)
}

/// Moves a cut at `limit` in front of a letter whose accents stand behind it.
fn before_accents(text: &str, from: usize, limit: usize) -> usize {
    let mut cut = limit;
    for c in text[from..limit].chars().rev().take(8) {
        if !text[cut..].starts_with(is_combining_mark) || cut - c.len_utf8() == from {
            break;
        }
        cut -= c.len_utf8();
    }
    cut
}

fn is_wide_stop(c: char) -> bool {
    matches!(c, '。' | '！' | '？' | '｡' | '।')
}

/// A stop after a word of at least four lower-case letters: no abbreviation looks like that.
fn ends_sentence(text: &str) -> bool {
    let body = text.trim_end_matches(['"', '\'', '”', '’', ')', '*', '_']);
    let Some(word) = body.strip_suffix(['.', '!', '?', '…']) else { return false };
    word.chars().rev().take(4).filter(|c| c.is_lowercase()).count() == 4
}

/// Moves a cut out of a `[word](/ipa/)` link, a pause mark or a cue.
fn before_link(text: &str, from: usize, cut: usize) -> usize {
    let bytes = text.as_bytes();
    let near = cut.saturating_sub(520).max(from + 1);
    for i in (near..cut).rev().filter(|&i| bytes[i] == b'[') {
        let end = crate::markup::link_at(text, i)
            .map(|l| l.end)
            .or_else(|| crate::markup::pause_at(text, i).map(|p| p.1))
            .or_else(|| stentor_types::cue_end(text, i));
        if end.is_some_and(|end| end > cut) {
            return i;
        }
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut_up(text: &str) -> Vec<(&str, BlockEnd)> {
        let mut blocks = Blocks::new(true);
        std::iter::from_fn(|| blocks.next(text)).map(|b| (text[b.range].trim(), b.end)).collect()
    }

    #[test]
    fn markdown_blocks_are_told_apart() {
        let text =
            "# Title #\nOne two\nthree.\n\n- a\n- b\n  more\n\n1. x\n---\n| p | q |\n|---|---|\n| r | s |\n";
        let want = [
            ("Title", BlockEnd::Heading),
            ("One two\nthree.", BlockEnd::Paragraph),
            ("a", BlockEnd::Item),
            ("b\n  more", BlockEnd::Paragraph),
            ("1. x", BlockEnd::Paragraph),
            ("| p | q |", BlockEnd::Line),
            ("| r | s |", BlockEnd::Line),
        ];
        assert_eq!(cut_up(text), want);
    }

    #[test]
    fn verse_keeps_its_lines() {
        let got = cut_up("Tyger Tyger burning bright\nIn the forests\nof the night.");
        assert_eq!(got[0], ("Tyger Tyger burning bright", BlockEnd::Line));
        assert_eq!(got.len(), 2);
    }

    #[test]
    fn a_long_paragraph_is_cut_after_a_sentence_and_nothing_is_lost() {
        let text = "This is a sentence about Dr. Who. ".repeat(1000);
        let mut blocks = Blocks::new(true);
        let mut at = 0;
        while let Some(block) = blocks.next(&text) {
            assert_eq!(block.range.start, at);
            assert!(block.range.len() <= WINDOW);
            at = block.range.end;
        }
        assert_eq!(at, text.len());
    }

    #[test]
    fn blocks_of_any_text_are_neither_long_nor_many() {
        for piece in
            ["7", "(", "[", "word ", "A b. ", "漢", "e\u{301}", "[a](/b/) ", "[pause:1s]", "\u{200b}"]
        {
            let text = piece.repeat(200_000 / piece.len());
            let mut blocks = Blocks::new(true);
            let lengths: Vec<_> = std::iter::from_fn(|| blocks.next(&text)).map(|b| b.range.len()).collect();
            assert_eq!(lengths.iter().sum::<usize>(), text.len(), "{piece:?}");
            assert!(lengths.iter().all(|&n| n <= WINDOW), "{piece:?}");
            assert!(lengths.len() <= text.len() / (WINDOW / 3) + 1, "{piece:?}: {} blocks", lengths.len());
        }
    }

    #[test]
    fn a_cut_stays_out_of_tags_and_entities() {
        for piece in ["<b>", "&amp;", "<span class=\"a b\">", "</i >"] {
            let text = format!("x{}", piece.repeat(30_000));
            let mut blocks = Blocks::new(true);
            while let Some(block) = blocks.next(&text) {
                let behind = &text[block.range.end..];
                assert!(behind.is_empty() || behind.starts_with(piece), "{piece} is cut");
            }
        }
    }

    #[test]
    fn a_cut_stays_out_of_links_and_characters() {
        let text = format!("{}[x](/{}/)", "é".repeat(WINDOW / 2 - 20), "ə".repeat(60));
        let mut blocks = Blocks::new(true);
        let first = blocks.next(&text).unwrap();
        assert!(text[first.range.end..].starts_with("[x]"));
    }
}
