//! The walk over cleaned text: links, pauses and words as they are, everything else through the rules.

use super::context::{Context, Hit};
use super::output::Spoken;
use super::{Settings, rules, symbols};
use crate::clean::{BREAK, Clean, PAUSE};
use crate::markup;
use std::ops::Range;

/// Longest entry of a word that is copied, in bytes; what is longer gets several.
const ENTRY_LIMIT: usize = 96;

/// Words with an apostrophe in front that belongs to them.
const ELISIONS: [&str; 10] = ["tis", "twas", "twere", "em", "cause", "til", "bout", "round", "n", "cos"];

pub(super) fn scan(clean: &Clean, settings: &Settings) -> Spoken {
    let context = Context::new(&clean.text, settings.british);
    let out = Spoken { loose: settings.rules, ..Spoken::default() };
    Walk { clean, context, settings, out, pauses: 0, token_end: 0, apart: false }.run()
}

struct Walk<'a> {
    clean: &'a Clean,
    context: Context<'a>,
    settings: &'a Settings,
    out: Spoken,
    pauses: usize,
    /// Up to here the text has been offered to the rules that read whole tokens.
    token_end: usize,
    /// What comes next must not run into the word before.
    apart: bool,
}

impl Walk<'_> {
    fn run(mut self) -> Spoken {
        let mut pos = 0;
        while let Some(c) = self.context.char(pos) {
            pos = self.step(c, pos);
        }
        self.out
    }

    fn step(&mut self, c: char, pos: usize) -> usize {
        let next = pos + c.len_utf8();
        match c {
            ' ' => self.out.space(),
            PAUSE => {
                self.out.end_chunk(self.clean.pauses.get(self.pauses).copied());
                self.pauses += 1;
            }
            BREAK => self.out.end_chunk(None),
            '[' => {
                if let Some(link) = markup::link_at(&self.clean.text, pos) {
                    return self.link(pos, link.end);
                }
                if let Some((cue, end)) = self.settings.cues.at(&self.clean.text, pos) {
                    self.out.cue(cue, self.clean.source(&(pos..end)));
                    return end;
                }
                if self.settings.rules {
                    self.out.punctuation('(');
                } else {
                    self.out.verbatim(c);
                }
            }
            _ if self.settings.rules => return self.ruled(c, pos),
            _ if self.is_word_char(c) => return self.plain(pos),
            _ => self.out.verbatim(c), // no rules, no change
        }
        next
    }

    /// A link is one word, with the letters that cling to it.
    fn link(&mut self, pos: usize, end: usize) -> usize {
        let tail = if self.settings.rules { self.context.compound(end).len() } else { 0 };
        self.copy(pos..end + tail, true);
        end + tail
    }

    fn ruled(&mut self, c: char, pos: usize) -> usize {
        if let Some(hit) = self.hit(c, pos) {
            return self.apply(hit);
        }
        if self.is_word_char(c) {
            return self.plain(pos);
        }
        if c == '\'' {
            let word = self.context.letters(pos + 1).to_ascii_lowercase();
            if self.context.starts(pos) && ELISIONS.contains(&word.as_str()) {
                self.copy(pos..pos + 1 + word.len(), true);
                return pos + 1 + word.len();
            }
            return pos + 1; // a single quotation mark changes nothing in the sound
        }
        let (mark, end) = symbols::punctuation(&self.context, c, pos);
        match mark {
            Some(mark) => self.out.punctuation(mark),
            None => self.apart = true,
        }
        end
    }

    fn hit(&mut self, c: char, pos: usize) -> Option<Hit> {
        if !self.context.starts(pos) {
            return symbols::inner(&self.context, c, pos);
        }
        let fresh = pos >= self.token_end;
        if fresh && (c.is_alphanumeric() || matches!(c, '/' | '~' | '.' | '@' | '#')) {
            self.token_end = self.token_end.max(pos + self.context.token(pos, rules::TOKEN_LIMIT).len());
            if let Some(hit) = rules::token(&self.context, pos, self.token_end) {
                return Some(hit);
            }
        }
        rules::find(&self.context, c, pos)
    }

    fn apply(&mut self, hit: Hit) -> usize {
        let mut end = hit.end;
        let last = hit.parts.len().saturating_sub(1);
        for (i, mut part) in hit.parts.into_iter().enumerate() {
            if i > 0 {
                self.out.space();
            }
            if i == last && part.range.end == end && self.context.is(end, "'s") && self.context.ends(end + 2)
            {
                part.spoken.push_str("'s");
                part.range.end += 2;
                end += 2;
            }
            // "It rained. 20 left." has two sentences in words too.
            let sign = self.context.char(part.range.start).is_some_and(|c| !c.is_alphabetic());
            if sign && self.out.after_stop() {
                part.spoken = capitalised(&part.spoken);
            }
            self.out.word(&part.spoken, self.clean.source(&part.range), true);
        }
        self.apart = true;
        end
    }

    /// Copies a word as it is: letters and digits with inner apostrophes and hyphens.
    fn plain(&mut self, pos: usize) -> usize {
        let mut end = pos;
        while let Some(c) = self.context.char(end) {
            let next = end + c.len_utf8();
            let inner = match c {
                '\'' | '-' => self.context.char(next).is_some_and(char::is_alphabetic),
                '.' | ',' => {
                    !self.settings.rules
                        && self.context.digit(next)
                        && self.context.digit(end.saturating_sub(1))
                }
                _ => false,
            };
            if end > pos
                && self.settings.rules
                && (c.is_ascii_digit() || (c == '-' && self.context.digit(next)))
            {
                break;
            }
            if !(self.is_word_char(c) || inner && end > pos) {
                break;
            }
            end = next;
        }
        let end = if end == pos { pos + self.context.char(pos).map_or(1, char::len_utf8) } else { end };
        let mut start = pos;
        for (i, c) in self.clean.text[pos..end].char_indices() {
            let at = pos + i;
            if at > start
                && (at - start >= ENTRY_LIMIT || is_ideograph(c))
                && !is_mark(c)
                && c.is_alphanumeric()
            {
                self.copy(start..at, false);
                start = at;
            }
        }
        self.copy(start..end, false);
        end
    }

    /// Exponents are signs where there are rules for them.
    fn is_word_char(&self, c: char) -> bool {
        (c.is_alphanumeric() && !(self.settings.rules && matches!(c, '²' | '³'))) || is_mark(c)
    }

    fn copy(&mut self, range: Range<usize>, apart: bool) {
        let source = self.clean.source(&range);
        self.out.word(&self.clean.text[range], source, apart || self.apart);
        self.apart = false;
    }
}

fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn is_mark(c: char) -> bool {
    c as u32 >= 0x300 && unicode_normalization::char::is_combining_mark(c)
}

/// Scripts without spaces: each character is timed on its own.
fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::WINDOW;
    use crate::clean::{Mode, clean};
    use crate::cues::Cues;

    /// Characters looked at per byte of the block.
    fn cost(block: &str) -> u64 {
        let clean = clean(block, Mode { markup: true, english: true }, &Cues::default());
        let context = Context::new(&clean.text, false);
        let mode = Mode { markup: true, english: true };
        let settings = &Settings { mode, rules: true, british: false, cues: Cues::default() };
        let out = Spoken { loose: true, ..Spoken::default() };
        let mut walk = Walk { clean: &clean, context, settings, out, pauses: 0, token_end: 0, apart: false };
        let mut pos = 0;
        while let Some(c) = walk.context.char(pos) {
            pos = walk.step(c, pos);
        }
        walk.context.work.get() / clean.text.len().max(1) as u64
    }

    #[test]
    fn no_rule_looks_again_and_again_at_the_same_text() {
        let hostile = [
            "7", "(", "[", "*", "$1,1,1", "1,", "1.", "1-", "1/", "1:", "1 ", "a.", "A. ", "a@", "a.b/", "/",
            "/a", "#a", "@a", "x", "X", "I", "é", "-", ".", "'", "\"", "&", "&a", "<a ", "555-", "1 1/", "$",
            "+1 ", "(1", "~", "http://", "www.", "May ", "May 1", "St. ", "etc. ", "[a](", "[a](/b", "a'",
            "5'", "1x", "½", "٣", "e\u{301}", "_", "a_", "Q1", "1a", "A-1", "v1.", "1%-", "\u{301}",
            "10:10:", "漢",
        ];
        for piece in hostile {
            let block = piece.repeat(WINDOW / piece.len());
            let cost = cost(&block);
            assert!(cost < 400, "{piece:?} costs {cost} looks per byte");
        }
    }
}
