//! The pass over a block's characters: markdown inside lines, links, HTML, emoji, and what each character becomes.

use super::{BREAK, Clean, Mode, PAUSE, chars, emoji, html};
use crate::cues::{self, Cues};
use crate::markup;
use std::ops::Range;

pub(super) struct Cleaner<'a> {
    text: &'a str,
    mode: Mode,
    cues: &'a Cues,
    out: Clean,
    /// Where each `[` or `(` closes; empty when the block has no `[`.
    pairs: Vec<u32>,
    /// Ends of link texts that are being copied, and where to go on behind each.
    jumps: Vec<(usize, usize)>,
}

impl<'a> Cleaner<'a> {
    pub(super) fn new(text: &'a str, mode: Mode, cues: &'a Cues) -> Self {
        let pairs = if mode.markup && text.contains('[') { pairs(text) } else { Vec::new() };
        Self { text, mode, cues, out: Clean::default(), pairs, jumps: Vec::new() }
    }

    pub(super) fn run(mut self) -> Clean {
        let mut pos = 0;
        let mut line_start = true;
        while let Some(c) = self.text[pos..].chars().next() {
            while self.jumps.last().is_some_and(|jump| jump.0 < pos) {
                self.jumps.pop(); // an inner link reached beyond its outer one
            }
            if self.jumps.last().is_some_and(|jump| jump.0 == pos) {
                pos = self.jumps.pop().map_or(pos + 1, |jump| jump.1);
                continue;
            }
            let here = pos..pos + c.len_utf8();
            if line_start && self.mode.markup && (c == '>' || c.is_whitespace()) {
                self.out.push(' ', &here);
                pos = here.end;
                continue;
            }
            line_start = c == '\n';
            pos = self.one(c, here);
        }
        self.out
    }

    /// Handles what starts at `here` and returns where to go on.
    fn one(&mut self, c: char, here: Range<usize>) -> usize {
        if c == '[' {
            if let Some(link) = markup::link_at(self.text, here.start) {
                let word = &self.text[here.start..link.end];
                return self.verbatim(word, here.start..link.end);
            }
            if let Some((cue, end)) = self.cues.at(self.text, here.start) {
                return self.verbatim(cue, here.start..end);
            }
            if let Some((ms, end)) = markup::pause_at(self.text, here.start) {
                self.out.pauses.push(ms);
                self.out.push(PAUSE, &(here.start..end));
                return end;
            }
            if let Some(end) = cues::well_known_at(self.text, here.start).filter(|_| self.mode.markup) {
                if self.text[end..].starts_with(['.', ',', ';', ':', '!', '?', '…']) {
                    self.out.trim_space();
                }
                return end;
            }
        }
        if self.mode.markup
            && let Some(next) = self.markdown(c, &here).or_else(|| self.html(c, &here))
        {
            return next;
        }
        self.character(c, &here);
        here.end
    }

    /// Writes a link or a cue as it is; all its bytes stand for the whole of `source`.
    fn verbatim(&mut self, mark: &str, source: Range<usize>) -> usize {
        for c in mark.chars().filter(|&c| !chars::is_silent(c)) {
            self.out.raw(c, &source);
        }
        source.end
    }

    fn markdown(&mut self, c: char, here: &Range<usize>) -> Option<usize> {
        let rest = &self.text[here.end..];
        let next = rest.chars().next();
        let prev = self.text[..here.start].chars().next_back();
        let word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        match c {
            '\\' if next.is_some_and(|n| n.is_ascii_punctuation() && n != '\\') => {
                let escaped = here.end..here.end + 1;
                self.character(next?, &escaped);
                Some(escaped.end)
            }
            '`' if prev.is_some_and(char::is_alphabetic) && next.is_some_and(char::is_alphabetic) => {
                self.character('\'', here);
                Some(here.end)
            }
            '`' => Some(here.end),
            '!' if next == Some('[') => self.link(here.end),
            '[' => self.link(here.start),
            '*' => {
                let between = (prev == next && prev == Some(' ')) || (word(prev) && word(next));
                let digits = [prev, next].iter().all(|c| c.is_some_and(|c| c.is_ascii_digit() || c == ' '));
                (!(between && digits)).then_some(here.end)
            }
            '_' => (!(word(prev) && word(next)) && prev != Some('/')).then_some(here.end),
            '~' if next == Some('~') || prev == Some('~') => Some(here.end),
            _ => None,
        }
    }

    /// `[text](address)`, `[text][ref]`, `![alt](address)`: the text is kept. Footnote marks are dropped.
    fn link(&mut self, open: usize) -> Option<usize> {
        let close = *self.pairs.get(open).filter(|&&p| p != 0)? as usize;
        let inner = &self.text[open + 1..close];
        let glued = self.text[..open].ends_with(|c: char| !c.is_whitespace());
        let note = !inner.is_empty() && inner.bytes().all(|b| b.is_ascii_digit());
        if inner.starts_with('^') || (note && glued && inner.len() < 4) {
            return Some(close + 1);
        }
        let after = match self.text.as_bytes().get(close + 1) {
            Some(b'(') => {
                let end = *self.pairs.get(close + 1).filter(|&&p| p != 0)? as usize;
                let target = self.text[close + 2..end].trim();
                let address = target.split([' ', '\n']).next().unwrap_or_default();
                let title = target[address.len()..].trim_start();
                if !(title.is_empty() || title.starts_with(['"', '\'', '('])) {
                    return None;
                }
                end + 1
            }
            Some(b'[') => *self.pairs.get(close + 1).filter(|&&p| p != 0)? as usize + 1,
            _ => return None,
        };
        self.jumps.push((close, after));
        Some(open + 1)
    }

    fn html(&mut self, c: char, here: &Range<usize>) -> Option<usize> {
        if c == '&' {
            let (decoded, end) = html::entity_at(self.text, here.start)?;
            self.character(decoded, &(here.start..end));
            return Some(end);
        }
        if c != '<' {
            return None;
        }
        let (tag, end) = html::tag_at(self.text, here.start)?;
        match tag {
            html::Tag::Silent => {}
            html::Tag::Break => {
                self.out.push(BREAK, &(here.start..end));
            }
            html::Tag::Address => {
                for (i, c) in self.text[here.end..end - 1].char_indices() {
                    let at = here.end + i;
                    self.character(c, &(at..at + c.len_utf8()));
                }
            }
        }
        Some(end)
    }

    /// Writes what one ordinary character becomes.
    fn character(&mut self, c: char, from: &Range<usize>) {
        if chars::is_space(c) {
            return self.out.push(' ', from);
        }
        if chars::is_silent(c) {
            return;
        }
        if chars::is_joiner(c) {
            let shaped =
                self.out.text.chars().next_back().is_some_and(|p| p >= '\u{600}' && p.is_alphanumeric());
            if shaped || !self.mode.markup {
                self.out.push(c, from);
            }
            return;
        }
        if !self.mode.markup {
            return self.out.push(c, from);
        }
        if let Some(word) = emoji::word(c).filter(|_| self.mode.english && self.in_sentence(from.end)) {
            return self.spaced(word.chars(), from);
        }
        if emoji::is_emoji(c) {
            return self.out.push(' ', from);
        }
        if chars::is_styled(c, self.mode.english) {
            if chars::stands_apart(c) {
                return self.spaced(chars::unstyled(c), from);
            }
            return chars::unstyled(c).for_each(|c| self.out.push(c, from));
        }
        let beside = self.text[..from.start].ends_with(chars::is_raised)
            || self.text[from.end..].starts_with(chars::is_raised);
        if chars::is_exponent(c) || (beside && chars::is_raised(c)) {
            return self.exponent(c, from);
        }
        self.out.push(chars::plain(c), from);
    }

    /// "10⁶" becomes "10^6"; behind a word such digits mark a note and are dropped.
    fn exponent(&mut self, c: char, from: &Range<usize>) {
        let first = !self.text[..from.start].ends_with(chars::is_raised);
        let before = self.out.text.chars().next_back();
        let power = |p: char| p.is_ascii_digit() || (c == '⁻' && p.is_alphanumeric());
        if first && before.is_some_and(power) {
            self.out.push('^', from);
        } else if first
            || !self.out.text.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-').ends_with('^')
        {
            return;
        }
        chars::unstyled(c).for_each(|c| self.out.push(c, from));
    }

    fn spaced(&mut self, word: impl Iterator<Item = char>, from: &Range<usize>) {
        self.out.push(' ', from);
        word.for_each(|c| self.out.push(c, from));
        if self.text[from.end..].starts_with(char::is_alphanumeric) {
            self.out.push(' ', from);
        }
    }

    /// Words stand on both sides: the emoji replaces one between them.
    fn in_sentence(&self, end: usize) -> bool {
        let rest = self.text[end..].trim_start_matches(['\u{fe0f}', ' ']);
        rest.starts_with(char::is_alphanumeric) && self.out.text.trim_end().ends_with(char::is_alphanumeric)
    }
}

/// Per byte: where the bracket that opens there closes, zero where none does.
fn pairs(text: &str) -> Vec<u32> {
    let mut pairs = vec![0; text.len()];
    let (mut square, mut round) = (Vec::new(), Vec::new());
    for (i, byte) in text.bytes().enumerate() {
        match byte {
            b'[' => square.push(i),
            b'(' => round.push(i),
            b']' => square.pop().into_iter().for_each(|open: usize| pairs[open] = i as u32),
            b')' => round.pop().into_iter().for_each(|open: usize| pairs[open] = i as u32),
            _ => {}
        }
    }
    pairs
}
