//! A text that was made from another one and knows, for each of its bytes, where that came from and why.
//!
//! Lexicon and SSML write such texts, in the marks of our own that all later stages know; word timings find their way
//! back through it to what the client wrote.

use std::ops::Range;
use stentor_types::{SpanMap, SpokenText};

/// Why a stretch of text reads as it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// As the client wrote it.
    Copied,
    /// An entry of a lexicon: which of the lexicons that were handed in, and which of its entries, from zero.
    Lexicon { lexicon: usize, entry: usize },
    /// An element of SSML, by name.
    Ssml(&'static str),
}

/// A stretch that starts at `at` and ends where the next one starts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    at: usize,
    source: Range<usize>,
    rule: Rule,
    /// Byte by byte as in the source; else the whole stands for the whole.
    linear: bool,
}

/// See the module's lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Marked {
    pub(crate) text: String,
    pieces: Vec<Piece>,
}

impl Marked {
    /// Copies `text`, which stands at `from` in the source.
    pub(crate) fn copy(&mut self, text: &str, from: usize) {
        if text.is_empty() {
            return;
        }
        let at = self.text.len();
        self.text.push_str(text);
        let end = from + text.len();
        match self.pieces.last_mut() {
            Some(last) if last.linear && last.source.end == from && last.at + last.source.len() == at => {
                last.source.end = end;
            }
            _ => self.pieces.push(Piece { at, source: from..end, rule: Rule::Copied, linear: true }),
        }
    }

    /// Writes `text`, all of which stands for `source`.
    pub(crate) fn put(&mut self, text: &str, source: Range<usize>, rule: Rule) {
        if text.is_empty() {
            return;
        }
        let at = self.text.len();
        self.text.push_str(text);
        self.pieces.push(Piece { at, source, rule, linear: false });
    }

    fn piece_at(&self, pos: usize) -> Option<&Piece> {
        self.pieces.get(self.pieces.partition_point(|piece| piece.at <= pos).checked_sub(1)?)
    }

    /// Where the stretch that holds byte `pos` ends.
    pub(crate) fn stretch_end(&self, pos: usize) -> usize {
        let next = self.pieces.partition_point(|piece| piece.at <= pos);
        self.pieces.get(next).map_or(self.text.len(), |piece| piece.at)
    }

    /// The stretch that holds byte `pos`, if it is no plain copy: its range, its source and its rule.
    pub(crate) fn fixed(&self, pos: usize) -> Option<(Range<usize>, Range<usize>, Rule)> {
        let index = self.pieces.partition_point(|piece| piece.at <= pos).checked_sub(1)?;
        let piece = self.pieces.get(index).filter(|piece| !piece.linear)?;
        let end = self.pieces.get(index + 1).map_or(self.text.len(), |next| next.at);
        Some((piece.at..end, piece.source.clone(), piece.rule))
    }

    /// Where the non-empty `range` came from, and why its first byte reads as it does.
    pub(crate) fn source(&self, range: &Range<usize>) -> Option<(Range<usize>, Rule)> {
        let first = self.piece_at(range.start)?;
        let last = self.piece_at(range.end.checked_sub(1)?)?;
        let start =
            if first.linear { first.source.start + range.start - first.at } else { first.source.start };
        let end = if last.linear { last.source.start + range.end - last.at } else { last.source.end };
        (start < end).then_some((start..end, first.rule))
    }

    /// No element of SSML has a part in `range`.
    pub(crate) fn is_free(&self, range: &Range<usize>) -> bool {
        let first = self.pieces.partition_point(|piece| piece.at <= range.start).saturating_sub(1);
        let inside = self.pieces[first..].iter().take_while(|piece| piece.at < range.end);
        !inside.into_iter().any(|piece| matches!(piece.rule, Rule::Ssml(_)))
    }

    /// Turns source ranges in this text into ranges in the text that it was made from. Words of one replacement come to
    /// share an entry.
    pub(crate) fn restore(&self, spoken: &mut SpokenText) {
        let mut spans: Vec<SpanMap> = Vec::with_capacity(spoken.spans.len());
        for span in spoken.spans.drain(..) {
            let Some((source, _)) = self.source(&span.source) else { continue };
            match spans.last_mut() {
                Some(last) if source.start < last.source.end => {
                    last.spoken.end = span.spoken.end;
                    last.source.end = last.source.end.max(source.end);
                }
                _ => spans.push(SpanMap { spoken: span.spoken, source }),
            }
        }
        spoken.spans = spans;
    }

    /// The rules by which stretches were rewritten, with their sources, in order.
    pub(crate) fn rewritten(&self) -> impl Iterator<Item = (Range<usize>, Rule)> {
        let rewritten =
            self.pieces.iter().filter(|piece| piece.rule != Rule::Copied && !piece.source.is_empty());
        rewritten.map(|piece| (piece.source.clone(), piece.rule))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(spoken: Range<usize>, source: Range<usize>) -> SpanMap {
        SpanMap { spoken, source }
    }

    #[test]
    fn every_stretch_knows_its_source() {
        // "a SQL b" read as "a sequel server b"
        let mut marked = Marked::default();
        marked.copy("a ", 0);
        marked.put("sequel server", 2..5, Rule::Ssml("sub"));
        marked.copy(" b", 5);
        assert_eq!(marked.text, "a sequel server b");
        assert_eq!(marked.source(&(0..1)), Some((0..1, Rule::Copied)));
        assert_eq!(marked.source(&(2..8)), Some((2..5, Rule::Ssml("sub"))));
        assert_eq!(marked.source(&(16..17)), Some((6..7, Rule::Copied)));
        assert_eq!(marked.source(&(9..17)), Some((2..7, Rule::Ssml("sub"))));
        assert_eq!(marked.fixed(4).map(|fixed| fixed.0), Some(2..15));
        assert_eq!(marked.fixed(0), None);
    }

    #[test]
    fn words_of_one_replacement_share_an_entry() {
        let mut marked = Marked::default();
        marked.put("sequel server", 0..3, Rule::Ssml("sub"));
        marked.copy(" b", 3);
        let text = "sequel server b".to_owned();
        let mut spoken =
            SpokenText { text, spans: vec![span(0..6, 0..6), span(7..13, 7..13), span(14..15, 14..15)] };
        marked.restore(&mut spoken);
        assert_eq!(spoken.spans, [span(0..13, 0..3), span(14..15, 4..5)]);
    }

    #[test]
    fn what_was_put_in_without_a_source_has_no_words() {
        let mut marked = Marked::default();
        marked.copy("a", 0);
        marked.put(".", 1..1, Rule::Ssml("s"));
        assert_eq!(marked.source(&(1..2)), None);
        assert_eq!(marked.rewritten().count(), 0);
    }
}
