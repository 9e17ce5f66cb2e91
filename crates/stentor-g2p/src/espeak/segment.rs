//! Cuts a text of any language into stretches of words, which espeak-ng reads, and punctuation, which it would drop.

use crate::clean::{Feature, Link};
use std::ops::Range;

pub(super) enum Piece {
    /// Words that belong together, as bytes of the input; short enough for one line.
    Words(Vec<Range<usize>>),
    Mark(char),
    Space,
    /// A link's phonemes.
    Given {
        source: Range<usize>,
        phonemes: String,
    },
}

/// What a character does to the cutting.
enum Role {
    Letter,
    Space,
    Mark(char),
    /// Ends a clause without a sound or sign.
    Dropped,
}

/// espeak-ng reads lines of at most 999 bytes.
const LINE_LIMIT: usize = 600;
/// A single word is cut beyond this many bytes.
const WORD_LIMIT: usize = 200;

pub(super) fn pieces(text: &str) -> Vec<Piece> {
    let mut cutter = Cutter { text, pieces: Vec::new(), words: Vec::new(), bytes: 0, word: None };
    cutter.run();
    cutter.pieces
}

/// A word as it is sent: nothing that could end the line.
pub(super) fn sendable(word: &str) -> String {
    word.chars().filter(|c| !c.is_control()).map(|c| if c == '’' { '\'' } else { c }).collect()
}

struct Cutter<'a> {
    text: &'a str,
    pieces: Vec<Piece>,
    words: Vec<Range<usize>>,
    bytes: usize,
    /// Where the word that is being read starts.
    word: Option<usize>,
}

impl Cutter<'_> {
    fn run(&mut self) {
        let mut at = 0;
        while let Some(c) = self.text[at..].chars().next() {
            let end = at + c.len_utf8();
            if let Some(link) = Link::parse(&self.text[at..]) {
                at = self.link(at, &link);
                continue;
            }
            match self.role(c, at, end) {
                Role::Space => {
                    self.end_word(at);
                    if self.words.is_empty() {
                        self.pieces.push(Piece::Space);
                    }
                }
                Role::Mark(mark) => {
                    self.end_clause(at);
                    self.pieces.push(Piece::Mark(mark));
                }
                Role::Dropped => self.end_clause(at),
                Role::Letter => {
                    let start = *self.word.get_or_insert(at);
                    if end - start > WORD_LIMIT {
                        self.end_word(end);
                    }
                }
            }
            at = end;
        }
        self.end_clause(self.text.len());
    }

    /// Returns where to go on. Without phonemes of its own the linked word is read like any other.
    fn link(&mut self, at: usize, link: &Link<'_>) -> usize {
        self.end_clause(at);
        let source = at..at + link.length;
        if let Some(Feature::Phonemes(phonemes)) = &link.feature {
            self.pieces.push(Piece::Given { source: source.clone(), phonemes: phonemes.clone() });
        } else {
            let inner = at + 1;
            for word in link.word.split_whitespace() {
                let start = inner + (word.as_ptr() as usize - link.word.as_ptr() as usize);
                let length: usize = word.chars().take(WORD_LIMIT / 4).map(char::len_utf8).sum();
                self.words.push(start..start + length);
            }
            self.end_clause(source.end);
        }
        source.end
    }

    fn role(&self, c: char, at: usize, end: usize) -> Role {
        let before = self.text[..at].chars().next_back().unwrap_or(' ');
        let after = self.text[end..].chars().next().unwrap_or(' ');
        Role::Mark(match c {
            c if c.is_whitespace() || c.is_control() => return Role::Space,
            '.' | ',' | ':' if before.is_numeric() && after.is_numeric() => return Role::Letter,
            '-' | '\'' | '’' if before.is_alphanumeric() && after.is_alphanumeric() => return Role::Letter,
            '.' | ',' | ';' | ':' | '!' | '?' | '…' => c,
            '।' | '॥' | '。' => '.',
            '—' | '–' => '—',
            '(' | '[' | '{' => '(',
            ')' | ']' | '}' => ')',
            '«' | '“' | '„' => '“',
            '"' if before.is_whitespace() || before == '(' => '“',
            '»' | '”' | '"' => '”',
            '-' if before.is_whitespace() && after.is_whitespace() => '—',
            '-' | '\'' | '’' | '‘' | '¿' | '¡' | '<' | '>' | '*' | '_' | '|' | '\\' | '~' | '^' | '`' =>
            {
                return Role::Dropped;
            }
            _ => return Role::Letter,
        })
    }

    fn end_word(&mut self, at: usize) {
        let Some(start) = self.word.take() else { return };
        self.bytes += at - start + 1;
        self.words.push(start..at);
        if self.bytes > LINE_LIMIT - WORD_LIMIT {
            self.end_clause(at);
            self.pieces.push(Piece::Space);
        }
    }

    fn end_clause(&mut self, at: usize) {
        self.end_word(at);
        self.bytes = 0;
        if self.words.is_empty() {
            return;
        }
        let words = std::mem::take(&mut self.words);
        let spaced = words.last().is_some_and(|last| last.end < at);
        self.pieces.push(Piece::Words(words));
        if spaced {
            self.pieces.push(Piece::Space);
        }
    }
}
