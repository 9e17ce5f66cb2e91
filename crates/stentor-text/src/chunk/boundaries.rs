//! Where spoken text may be cut, and how good a place each is.
//!
//! Most abbreviations have lost their stops by now; the rules here also serve texts that were not normalised.

use crate::{cues, markup};
use std::ops::Range;

/// How good a place for a cut is, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Inside a word.
    Hard,
    Word,
    Clause,
    Sentence,
}

/// A place where the text may be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Boundary {
    /// The piece before it ends here, spaces not counted.
    pub(super) end: usize,
    /// The piece after it starts here.
    pub(super) next: usize,
    /// Characters from the start of the text to `end`.
    pub(super) chars: usize,
    /// Characters from the start of the text to `next`.
    pub(super) next_chars: usize,
    pub(super) level: Level,
}

const ABBREVIATIONS: [&str; 40] = [
    "Mr", "Mrs", "Ms", "Dr", "Prof", "Sr", "Jr", "St", "Rev", "Gen", "Col", "Capt", "Lt", "Sgt", "Gov",
    "Sen", "Rep", "Hon", "Mt", "Ft", "No", "Vol", "Fig", "Eq", "Inc", "Ltd", "Co", "Corp", "vs", "etc",
    "approx", "ca", "cf", "al", "pp", "bzw", "Nr", "Hr", "Sra", "Mme",
];
/// Abbreviations of several stops: "e.g.", "z.B.".
const DOTTED: [&str; 8] = ["e.g", "i.e", "z.B", "d.h", "u.a", "p.ej", "a.k.a", "p.ex"];

/// All boundaries of `range`, ascending; the last is the end of the range.
pub(super) fn boundaries(text: &str, range: &Range<usize>) -> Vec<Boundary> {
    let mut found = Vec::new();
    let mut pos = range.start;
    let mut chars = 0;
    while pos < range.end {
        if let Some(link) = markup::link_at(text, pos).filter(|link| link.end <= range.end) {
            chars += text[pos..link.end].chars().count();
            pos = link.end;
            continue;
        }
        if let Some(end) = stentor_types::cue_end(&text[..range.end], pos) {
            chars += end - pos;
            pos = end;
            continue;
        }
        let Some(c) = text[pos..range.end].chars().next() else { break };
        let end = pos + c.len_utf8();
        chars += 1;
        if c.is_whitespace() {
            let gap = text[end..range.end].chars().take_while(|c| c.is_whitespace());
            let (more, bytes) = gap.fold((0, 0), |(n, b), c| (n + 1, b + c.len_utf8()));
            let level = level_before_space(text, range, pos, end + bytes);
            found.push(Boundary {
                end: pos,
                next: end + bytes,
                chars: chars - 1,
                next_chars: chars + more,
                level,
            });
            chars += more;
            pos = end + bytes;
            continue;
        }
        if let Some(level) = wide_level(c) {
            let closers =
                text[end..range.end].chars().take_while(|c| is_closer(*c) || wide_level(*c).is_some());
            let (more, bytes) = closers.fold((0, 0), |(n, b), c| (n + 1, b + c.len_utf8()));
            chars += more;
            pos = end + bytes;
            if !text[pos..range.end].starts_with(char::is_whitespace) {
                found.push(Boundary { end: pos, next: pos, chars, next_chars: chars, level });
            }
            continue;
        }
        pos = end;
    }
    let end = range.start + text[range.clone()].trim_end().len();
    let end_chars = text[range.start..end].chars().count();
    found.retain(|boundary| boundary.end < end);
    found.push(Boundary {
        end,
        next: range.end,
        chars: end_chars,
        next_chars: chars,
        level: Level::Sentence,
    });
    found
}

/// How much of a text that goes on is whole sentences or paragraphs, in bytes. The last sentence counts only once
/// another one has begun: "Dr." may be the end of one, and what follows shows whether it was.
pub fn complete(text: &str) -> usize {
    let found = boundaries(text, &(0..text.len()));
    // The last one is the end of the text.
    let sentence = found.iter().rev().skip(1).find(|boundary| boundary.level == Level::Sentence);
    let paragraph = text.rfind("\n\n").map_or(0, |at| at + 2);
    sentence.map_or(0, |boundary| boundary.next).max(paragraph)
}

/// Stops of scripts that put no space behind them.
fn wide_level(c: char) -> Option<Level> {
    match c {
        '。' | '！' | '？' | '｡' | '．' => Some(Level::Sentence),
        '、' | '，' | '；' | '：' => Some(Level::Clause),
        _ => None,
    }
}

fn is_closer(c: char) -> bool {
    matches!(c, '"' | '\'' | '”' | '’' | ')' | ']' | '}' | '»' | '」' | '』' | '）' | '】' | '*' | '_')
}

/// The level of the boundary at the space at `pos`; the next piece starts at `next`.
fn level_before_space(text: &str, range: &Range<usize>, pos: usize, next: usize) -> Level {
    let head = cues::before(&text[range.start..pos]);
    let body = head.trim_end_matches(is_closer);
    let after = cues::behind(&text[next..range.end])
        .trim_start_matches(['"', '\'', '“', '‘', '(', '[', '«', '¿', '¡']);
    let lower = after.starts_with(char::is_lowercase);
    match body.chars().next_back() {
        Some('!' | '?' | '…') if lower => Level::Clause,
        Some('.') if body.ends_with("..") && lower => Level::Clause,
        Some('.') if lower || is_abbreviation(body) => Level::Word,
        Some('.' | '!' | '?' | '…' | '。' | '！' | '？' | '।' | '॥' | '؟' | '۔' | '։') => {
            Level::Sentence
        }
        Some(',' | ';' | ':' | '—' | '–' | '、' | '，' | '；' | '：') => Level::Clause,
        _ if after.starts_with(['—', '–']) => Level::Word,
        _ => Level::Word,
    }
}

/// `body` ends in a stop that belongs to an abbreviation or an initial.
fn is_abbreviation(body: &str) -> bool {
    let head = body.strip_suffix('.').unwrap_or(body);
    let start =
        head.rfind(char::is_whitespace).map_or(0, |i| i + head[i..].chars().next().map_or(1, char::len_utf8));
    let word = head[start..].trim_start_matches(['"', '(', '\'', '[']);
    let initial = word.chars().count() == 1 && word.chars().all(|c| c.is_uppercase() && c != 'I');
    // A lone capital ends the sentence when a word stands before it: "plan B." is not "J. Smith".
    let before = head[..start].trim_end();
    let named = before.is_empty() || before.ends_with('.') || ends_capitalised(before);
    (initial && named) || ABBREVIATIONS.contains(&word) || DOTTED.contains(&word)
}

fn ends_capitalised(text: &str) -> bool {
    let word = text.rsplit(' ').next().unwrap_or_default();
    word.chars().count() > 1 && word.len() < 24 && word.starts_with(char::is_uppercase)
}

/// The silence that the end of `text` calls for, in milliseconds.
pub(crate) fn pause_after(text: &str) -> u32 {
    let body = cues::before(text).trim_end_matches(|c: char| is_closer(c) || c.is_whitespace());
    match body.chars().next_back() {
        Some('.' | '!' | '。' | '！' | '｡' | '．' | '।' | '॥' | '۔' | '։') => 300,
        Some('?' | '？' | '؟') => 320,
        Some('…') => 350,
        Some(',' | '、' | '，') => 120,
        Some(';' | ':' | '；' | '：' | '—' | '–') => 180,
        _ => 0,
    }
}
