//! A text as a reader sees it: without tags, and with the characters that entities stand for.
//!
//! Words are placed by bytes of the client's text; a view leads from there to what is shown for them, and back.

use crate::blocks::{BlockEnd, Blocks};
use crate::clean::html::{self, Tag};
use std::ops::Range;

/// See the module's lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    text: String,
    /// Ascending in both texts. What is shown between them comes from nowhere: it parts words.
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    shown: Range<usize>,
    source: Range<usize>,
    /// Byte by byte as in the source; else the whole stands for the whole.
    linear: bool,
}

impl View {
    /// Of a text that is shown as it is.
    pub fn verbatim(text: &str) -> Self {
        let mut view = Self::default();
        view.copy(text, 0);
        view
    }

    /// Of a text in which markdown and HTML mean something. Paragraphs, headings and list items are parted by blank lines.
    pub(crate) fn marked_up(text: &str) -> Self {
        let mut view = Self::default();
        let mut blocks = Blocks::new(true);
        while let Some(block) = blocks.next(text) {
            view.decode(text, block.range);
            match block.end {
                BlockEnd::Cut => {}
                BlockEnd::Line => view.part("\n"),
                BlockEnd::Paragraph | BlockEnd::Heading | BlockEnd::Item => view.part("\n\n"),
            }
        }
        view
    }

    /// What is shown.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What is shown for `source`, bytes of the client's text.
    pub fn word(&self, source: &Range<usize>) -> &str {
        self.text.get(self.shown(source)).unwrap_or_default()
    }

    /// The bytes of [`View::text`] that are shown for bytes of the client's text; none for what is all markup.
    pub fn shown(&self, source: &Range<usize>) -> Range<usize> {
        self.across(source, |piece| &piece.source, |piece| &piece.shown)
    }

    /// The bytes of the client's text for which bytes of [`View::text`] stand.
    pub(crate) fn source(&self, shown: &Range<usize>) -> Range<usize> {
        self.across(shown, |piece| &piece.shown, |piece| &piece.source)
    }

    fn across(
        &self,
        range: &Range<usize>,
        from: impl Fn(&Piece) -> &Range<usize>,
        to: impl Fn(&Piece) -> &Range<usize>,
    ) -> Range<usize> {
        let first = self.pieces.partition_point(|piece| from(piece).end <= range.start);
        let behind = self.pieces.partition_point(|piece| from(piece).start < range.end);
        let Some(last) = behind.checked_sub(1).filter(|last| first <= *last) else {
            let at = self.pieces.get(first).map_or(0, |piece| to(piece).start);
            return at..at;
        };
        let (first, last) = (&self.pieces[first], &self.pieces[last]);
        let into = if first.linear { range.start.saturating_sub(from(first).start) } else { 0 };
        let short = if last.linear { from(last).end.saturating_sub(range.end) } else { 0 };
        to(first).start + into..to(last).end - short
    }

    /// Shows `text`, which stands at `from` in the source, byte by byte.
    pub(crate) fn copy(&mut self, text: &str, from: usize) {
        self.push(text, from..from + text.len(), true);
    }

    /// Shows `text` for the whole of `source`.
    pub(crate) fn put(&mut self, text: &str, source: Range<usize>) {
        self.push(text, source, false);
    }

    /// Parts words by `mark`, blanks of which no more than necessary are written.
    pub(crate) fn part(&mut self, mark: &str) {
        if !self.text.is_empty() && !self.text.ends_with(mark) {
            self.text.push_str(mark);
        }
    }

    fn push(&mut self, text: &str, source: Range<usize>, linear: bool) {
        let at = self.text.len();
        self.text.push_str(text);
        let shown = at..self.text.len();
        match self.pieces.last_mut() {
            Some(last) if source.start < last.source.end => {}
            Some(last)
                if last.linear && linear && last.source.end == source.start && last.shown.end == at =>
            {
                (last.source.end, last.shown.end) = (source.end, shown.end);
            }
            _ if text.is_empty() || source.is_empty() => {}
            _ => self.pieces.push(Piece { shown, source, linear }),
        }
    }

    /// Shows a stretch of a text with HTML in it.
    fn decode(&mut self, text: &str, range: Range<usize>) {
        let mut from = range.start;
        let mut pos = range.start;
        while let Some(at) = text[pos..range.end].find(['<', '&']).map(|i| pos + i) {
            pos = at + 1;
            if text[..at].ends_with('\\') {
                continue;
            }
            let entity = html::entity_at(text, at).filter(|_| text[at..].starts_with('&'));
            let tag = if entity.is_none() { html::tag_at(text, at) } else { None };
            let end = entity.map(|(_, end)| end).or(tag.as_ref().map(|(_, end)| *end));
            let Some(end) = end.filter(|end| *end <= range.end) else { continue };
            self.copy(&text[from..at], from);
            match (entity, tag) {
                (Some((c, _)), _) => self.put(c.encode_utf8(&mut [0; 4]), at..end),
                (_, Some((Tag::Address, _))) => self.copy(&text[at + 1..end - 1], at + 1),
                (_, Some((Tag::Break, _))) => {
                    self.part(if is_line_break(&text[at..end]) { "\n" } else { "\n\n" });
                }
                _ => {}
            }
            (from, pos) = (end, end);
        }
        self.copy(&text[from..range.end], from);
    }
}

fn is_line_break(tag: &str) -> bool {
    tag.get(1..3).is_some_and(|name| name.eq_ignore_ascii_case("br"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_not_shown_and_entities_are_characters() {
        let view = View::marked_up("H<sub>2</sub>O &amp; a < b &lt;c&gt;<!-- x -->d");
        assert_eq!(view.text().trim_end(), "H2O & a < b <c>d");
        assert_eq!(view.word(&(0..14)), "H2O");
        assert_eq!(view.shown(&(1..6)), 1..1, "a tag shows nothing");
        assert_eq!(view.source(&(0..3)), 0..14);
        assert_eq!((view.word(&(15..20)), view.source(&(4..5))), ("&", 15..20));
    }

    #[test]
    fn blocks_are_parted_by_blank_lines() {
        let view = View::marked_up("# One\n- two\n- three<br>four<p>five");
        assert_eq!(view.text().trim_end(), " One\n\ntwo\n\n\nthree\nfour\n\nfive");
        assert_eq!(view.word(&(8..11)), "two");
    }

    #[test]
    fn without_markup_a_text_is_shown_as_it_is() {
        let view = View::verbatim("a &amp; <b>");
        assert_eq!((view.text(), view.word(&(2..7)), view.source(&(2..7))), ("a &amp; <b>", "&amp;", 2..7));
        assert_eq!(View::verbatim("").shown(&(0..0)), 0..0);
    }
}
