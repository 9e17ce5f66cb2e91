//! Packs the pieces between boundaries into chunks of even length.

use super::boundaries::{Boundary, Level, boundaries};
use super::pause_after;
use crate::markup;
use std::ops::Range;
use stentor_types::{SpanMap, SpokenText};
use unicode_segmentation::UnicodeSegmentation;

/// Silence after a cut between two words, where no punctuation asks for one, in milliseconds.
const FORCED_MS: u32 = 20;

/// One chunk's text and the silence behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) spoken: SpokenText,
    pub(super) pause_ms: u32,
}

/// Cuts a stretch of spoken text into pieces, one after the other.
pub(super) struct Packer<'a> {
    spoken: &'a SpokenText,
    boundaries: Vec<Boundary>,
    /// The first boundary behind `pos`.
    at: usize,
    pos: usize,
    /// Characters before `pos`.
    chars: usize,
    end: usize,
    /// The first span that ends behind `pos`.
    span: usize,
    max: usize,
    first: Option<usize>,
}

impl<'a> Packer<'a> {
    pub(super) fn new(spoken: &'a SpokenText, range: Range<usize>, max: usize) -> Self {
        let text = &spoken.text[range.clone()];
        let lead = text.len() - text.trim_start().len();
        let range = range.start + lead..range.end;
        let boundaries = if range.is_empty() { Vec::new() } else { boundaries(&spoken.text, &range) };
        let span = spoken.spans.partition_point(|span| span.spoken.end <= range.start);
        let (pos, end) = (range.start, range.end);
        Self { spoken, boundaries, at: 0, pos, chars: 0, end, span, max, first: None }
    }

    /// The first piece is at most this long.
    pub(super) fn first(mut self, limit: usize) -> Self {
        self.first = Some(limit);
        self
    }

    /// Characters from the current position to the end.
    fn left(&self) -> usize {
        self.boundaries.last().map_or(0, |last| last.chars.saturating_sub(self.chars))
    }

    /// Chooses where the next piece ends.
    fn cut(&self) -> Boundary {
        match self.first {
            Some(limit) => self.first_cut(limit.min(self.max)),
            None => self.even_cut(),
        }
    }

    fn candidates(&self, limit: usize) -> impl Iterator<Item = (usize, &Boundary)> {
        self.boundaries[self.at..]
            .iter()
            .map(|boundary| (boundary.chars.saturating_sub(self.chars), boundary))
            .skip_while(|(length, _)| *length == 0)
            .take_while(move |(length, _)| *length <= limit)
    }

    /// Soon enough for a quick first sound, long enough to play while the next is made.
    fn first_cut(&self, limit: usize) -> Boundary {
        let sentence = self
            .candidates(limit)
            .filter(|(_, b)| b.level == Level::Sentence)
            .find(|(length, _)| *length >= limit / 3);
        if sentence.is_none() && self.left() <= limit {
            return self.boundaries[self.boundaries.len() - 1];
        }
        let longest = |level| self.candidates(limit).filter(|(_, b)| b.level >= level).last();
        let clause = || longest(Level::Clause).filter(|(length, _)| *length >= limit / 5);
        let choice =
            sentence.or_else(clause).or_else(|| self.nearest(Level::Word, limit, self.half_way(limit)));
        choice.map_or_else(|| self.hard_cut(limit), |(_, boundary)| *boundary)
    }

    /// A sentence slightly longer than the limit is halved rather than robbed of its last word.
    fn half_way(&self, limit: usize) -> usize {
        let sentence = self.boundaries[self.at..].iter().take(limit).find(|b| b.level == Level::Sentence);
        match sentence.map(|b| b.chars.saturating_sub(self.chars)) {
            Some(length) if length < 2 * limit => length.div_ceil(2).min(limit),
            _ => limit,
        }
    }

    fn nearest(&self, level: Level, limit: usize, target: usize) -> Option<(usize, &Boundary)> {
        self.candidates(limit)
            .filter(|(_, b)| b.level >= level)
            .min_by_key(|(length, _)| (length.abs_diff(target), usize::MAX - length))
    }

    /// What is left is shared out evenly: the best boundary near the even share.
    fn even_cut(&self) -> Boundary {
        let left = self.left();
        if left <= self.max {
            return self.boundaries[self.boundaries.len() - 1];
        }
        let target = left / left.div_ceil(self.max);
        for (level, least) in
            [(Level::Sentence, target / 4), (Level::Clause, target * 2 / 5), (Level::Word, 1)]
        {
            let near = self.nearest(level, self.max, target);
            if let Some((_, boundary)) = near.filter(|(length, _)| *length >= least) {
                return *boundary;
            }
        }
        self.hard_cut(self.max)
    }

    /// A cut inside a word that is longer than the limit, between characters as readers see them, outside links.
    fn hard_cut(&self, limit: usize) -> Boundary {
        let text = &self.spoken.text[self.pos..self.end];
        let word_end = self.boundaries[self.at..].iter().find(|b| b.end > self.pos).copied();
        let mut length = 0;
        let mut end = 0;
        let window_end = text.char_indices().nth(limit + 1).map_or(text.len(), |(i, _)| i);
        for (i, grapheme) in text[..window_end].grapheme_indices(true) {
            let chars = grapheme.chars().count();
            if grapheme == "["
                && let Some(link) = markup::link_at(text, i)
            {
                // The link goes whole into this piece if it is all there is, else into the next one.
                if end == 0 {
                    length = text[..link.end].chars().count();
                    end = link.end;
                }
                break;
            }
            // A cue goes whole into the next piece, unless no piece could hold it.
            let cue = if grapheme == "[" { stentor_types::cue_end(text, i).map(|end| end - i) } else { None };
            let needed = cue.filter(|cue| *cue <= limit).unwrap_or(chars);
            if length + needed > limit && end > 0 {
                break;
            }
            length += chars;
            end = i + grapheme.len();
        }
        if end == 0 {
            end = text.chars().next().map_or(0, char::len_utf8);
            length = 1;
        }
        let cut = self.pos + end;
        match word_end.filter(|b| b.end <= cut) {
            Some(boundary) => boundary,
            None => Boundary {
                end: cut,
                next: cut,
                chars: self.chars + length,
                next_chars: self.chars + length,
                level: Level::Hard,
            },
        }
    }

    /// The text of `range` with its spans, counted from its start.
    fn slice(&mut self, range: Range<usize>) -> SpokenText {
        let mut spans = Vec::new();
        while let Some(span) = self.spoken.spans.get(self.span).filter(|span| span.spoken.start < range.end) {
            spans.push(clip(span, &range));
            if span.spoken.end > range.end {
                break; // the rest of it belongs to the next piece
            }
            self.span += 1;
        }
        SpokenText { text: self.spoken.text[range].to_owned(), spans }
    }
}

/// The part of a span inside `range`; both parts of a word that is cut stand for the whole source word.
fn clip(span: &SpanMap, range: &Range<usize>) -> SpanMap {
    let spoken =
        span.spoken.start.max(range.start) - range.start..span.spoken.end.min(range.end) - range.start;
    SpanMap { spoken, source: span.source.clone() }
}

impl Iterator for Packer<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        while self.pos < self.end && !self.boundaries.is_empty() {
            let cut = self.cut();
            let range = self.pos..cut.end.max(self.pos);
            let spoken = self.slice(range);
            (self.pos, self.chars) = (cut.next.max(self.pos + 1).min(self.end.max(cut.next)), cut.next_chars);
            while self.boundaries.get(self.at).is_some_and(|b| b.end <= self.pos && b.next <= self.pos) {
                self.at += 1;
            }
            if self.at >= self.boundaries.len() {
                self.pos = self.end;
            }
            if spoken.spans.is_empty() || !spoken.text.contains(char::is_alphanumeric) {
                continue; // nothing to say
            }
            self.first = None;
            let pause_ms = match cut.level {
                Level::Hard => 0,
                Level::Word => pause_after(&spoken.text).max(FORCED_MS),
                _ => pause_after(&spoken.text),
            };
            return Some(Piece { spoken, pause_ms });
        }
        None
    }
}
