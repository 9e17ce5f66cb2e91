//! Collects spoken words, punctuation and breaks, and keeps the spacing between them right.

use std::ops::Range;
use stentor_types::{SpanMap, SpokenText};

/// A place where a chunk must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Break {
    /// Offset in the spoken text.
    pub(crate) at: usize,
    /// Length asked for by a `[pause:..]` mark; `None` for a line break that must be heard.
    pub(crate) pause_ms: Option<u32>,
}

/// What a block sounds like.
#[derive(Debug, Default)]
pub(crate) struct Spoken {
    pub(crate) text: SpokenText,
    pub(crate) breaks: Vec<Break>,
    /// Words keep a space from the mark before them.
    pub(crate) loose: bool,
}

impl Spoken {
    fn last(&self) -> Option<char> {
        self.text.text.chars().next_back()
    }

    /// What has been written since the last break.
    fn segment(&self) -> &str {
        &self.text.text[self.breaks.last().map_or(0, |stop| stop.at)..]
    }

    /// Writes a space unless one is there or the text is empty.
    pub(crate) fn space(&mut self) {
        if self.last().is_some_and(|c| c != ' ') {
            self.text.text.push(' ');
        }
    }

    /// Writes `spoken`, which came from the bytes `source` of the block. `apart`: it must not run into a word before.
    pub(crate) fn word(&mut self, spoken: &str, source: Range<usize>, apart: bool) {
        if spoken.is_empty() {
            return;
        }
        let glued = self.last().is_some_and(|c| {
            (apart && c.is_alphanumeric())
                || (self.loose && matches!(c, '.' | ',' | ';' | ':' | '!' | '?' | '…' | ')'))
        });
        if glued {
            self.space();
        }
        let start = self.text.text.len();
        self.text.text.push_str(spoken);
        let end =
            self.text.text.trim_end_matches(|c: char| !c.is_alphanumeric() && c != ')').len().max(start);
        let speakable = spoken.contains(char::is_alphanumeric);
        if !speakable {
            return;
        }
        // Two words of one source character, such as "㏂", share an entry.
        if let Some(last) = self.text.spans.last_mut().filter(|last| source.start < last.source.end) {
            last.spoken.end = end;
            last.source.end = last.source.end.max(source.end);
            return;
        }
        self.text.spans.push(SpanMap { spoken: start..end, source });
    }

    /// Writes a cue for the engine, such as `[laugh]`, spaced as the text has it.
    pub(crate) fn cue(&mut self, cue: &str, source: Range<usize>) {
        if self.loose && self.last().is_some_and(is_stop) {
            self.space();
        }
        let start = self.text.text.len();
        self.text.text.push_str(cue);
        self.text.spans.push(SpanMap { spoken: start..self.text.text.len(), source });
    }

    /// Writes a punctuation mark. Runs of one mark become one; a dash stands between spaces.
    pub(crate) fn punctuation(&mut self, mark: char) {
        let before = self.segment().trim_end().chars().next_back();
        match mark {
            '—' | '–' => {
                if before.is_none_or(|c| matches!(c, '—' | '–' | ',' | ';' | ':' | '(')) {
                    return;
                }
                self.space();
                self.text.text.push(mark);
                self.text.text.push(' ');
            }
            ',' | ';' | ':' => {
                if before.is_none_or(|c| is_stop(c) || matches!(c, ',' | ';' | ':' | '—' | '–' | '(')) {
                    return;
                }
                self.tight(mark);
            }
            '.' | '!' | '?' | '…' => {
                let Some(before) = before else { return };
                // "?!" keeps the question, "!!!" and "?." shrink.
                let keep =
                    !is_stop(before) || (before == '?' && mark == '!') || (before == '!' && mark == '?');
                if keep && !self.ends_twice() {
                    self.tight(mark);
                }
            }
            _ => self.text.text.push(mark),
        }
    }

    /// A sentence has just ended.
    pub(crate) fn after_stop(&self) -> bool {
        self.segment().trim_end_matches([' ', '"', ')', '(']).ends_with(['.', '!', '?'])
    }

    fn ends_twice(&self) -> bool {
        self.segment().trim_end().chars().rev().take(2).filter(|&c| is_stop(c)).count() == 2
    }

    fn tight(&mut self, mark: char) {
        let spaces = self.segment().len() - self.segment().trim_end().len();
        self.text.text.truncate(self.text.text.len() - spaces);
        self.text.text.push(mark);
    }

    /// Writes a mark as it is.
    pub(crate) fn verbatim(&mut self, mark: char) {
        self.text.text.push(mark);
    }

    pub(crate) fn end_chunk(&mut self, pause_ms: Option<u32>) {
        self.breaks.push(Break { at: self.text.text.len(), pause_ms });
        self.space();
    }
}

fn is_stop(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '…')
}
