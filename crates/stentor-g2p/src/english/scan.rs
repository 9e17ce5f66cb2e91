//! Cuts cleaned text into words, punctuation marks and symbols that are spoken.

use super::lexicon::Lexicon;
use crate::{clean::Clean, clean::Feature, numbers};
use std::ops::Range;

/// A piece of the text that makes sound or a pause.
#[derive(Debug)]
pub(crate) struct Unit {
    /// Bytes of [`Clean::text`].
    pub range: Range<usize>,
    pub kind: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    /// Letters and digits with apostrophes, hyphens and inner full stops.
    Word,
    /// Numbers and symbols that are read as these dictionary words.
    Spoken(Vec<String>),
    /// A mark of the vocabulary.
    Mark(char),
}

pub(crate) fn units(clean: &Clean, lexicon: &Lexicon) -> Vec<Unit> {
    let mut scanner =
        Scanner { text: &clean.text, lexicon, units: Vec::new(), open_quote: false, end: clean.text.len() };
    let mut at = 0;
    for mark in &clean.marks {
        scanner.scan(at, mark.visible.start);
        if matches!(mark.feature, Feature::Phonemes(_) | Feature::Foreign(_)) {
            scanner.units.push(Unit { range: mark.visible.clone(), kind: Kind::Word });
        } else {
            scanner.scan(mark.visible.start, mark.visible.end);
        }
        at = mark.visible.end;
    }
    scanner.scan(at, clean.text.len());
    scanner.units
}

struct Scanner<'a> {
    text: &'a str,
    lexicon: &'a Lexicon,
    units: Vec<Unit>,
    /// A single quote was opened.
    open_quote: bool,
    /// Where the stretch that is being scanned ends.
    end: usize,
}

impl Scanner<'_> {
    fn scan(&mut self, start: usize, end: usize) {
        self.end = end;
        let mut at = start;
        while at < end {
            at = self.next(at);
        }
    }

    /// Byte at `at` within the stretch, 0 outside of it.
    fn byte(&self, at: usize) -> u8 {
        if at < self.end { self.text.as_bytes()[at] } else { 0 }
    }

    fn before(&self, at: usize) -> u8 {
        if at == 0 { b' ' } else { self.text.as_bytes()[at - 1] }
    }

    fn push(&mut self, range: Range<usize>, kind: Kind) -> usize {
        let end = range.end;
        self.units.push(Unit { range, kind });
        end
    }

    /// Takes in what stands at `at`; returns where it ends.
    fn next(&mut self, at: usize) -> usize {
        let byte = self.byte(at);
        if byte.is_ascii_alphanumeric() || (byte == b'.' && self.starts_fraction(at)) {
            return self.word(at, at);
        }
        if byte == b'\'' {
            return self.apostrophe(at);
        }
        let Some(c) = self.text[at..self.end].chars().next() else { return self.end };
        let run = self.text[at..self.end].chars().take_while(|next| *next == c).count() * c.len_utf8();
        match c {
            '-' if run == 1 => self.hyphen(at),
            '-' | '—' => self.push(at..at + run, Kind::Mark('—')),
            '.' if run > 1 => self.push(at..at + run, Kind::Mark('…')),
            '.' if self.between_words(at) => self.spoken(at..at + 1, "dot"),
            ',' | ':' if self.before(at).is_ascii_digit() && self.byte(at + 1).is_ascii_digit() => at + 1,
            ',' | '.' | ';' | ':' | '!' | '?' | '…' | '“' | '”' | '(' | ')' => {
                self.push(at..at + run, Kind::Mark(c))
            }
            '"' => {
                let opens = opens_after(self.before(at)) && !self.byte(at + 1).is_ascii_whitespace();
                self.push(at..at + run, Kind::Mark(if opens { '“' } else { '”' }))
            }
            '$' | '£' | '€' | '¥' => self.currency(at, c),
            '/' if self.before(at).is_ascii_digit() && self.byte(at + 1).is_ascii_digit() => {
                self.spoken(at..at + 1, "slash")
            }
            '#' if self.byte(at + 1).is_ascii_digit() => self.spoken(at..at + 1, "number"),
            '%' => self.spoken(at..at + 1, "percent"),
            '&' => self.spoken(at..at + 1, "and"),
            '+' => self.spoken(at..at + 1, "plus"),
            '=' => self.spoken(at..at + run, "equals"),
            '@' => self.spoken(at..at + 1, "at"),
            _ => at + run,
        }
    }

    fn spoken(&mut self, range: Range<usize>, word: &str) -> usize {
        self.push(range, Kind::Spoken(vec![word.to_owned()]))
    }

    /// "example.com", but not the end of a sentence.
    fn between_words(&self, at: usize) -> bool {
        self.before(at).is_ascii_alphanumeric() && self.byte(at + 1).is_ascii_lowercase()
    }

    /// ".5"
    fn starts_fraction(&self, at: usize) -> bool {
        !self.before(at).is_ascii_alphanumeric()
            && self.before(at) != b'.'
            && self.byte(at + 1).is_ascii_digit()
    }

    fn hyphen(&mut self, at: usize) -> usize {
        let (before, after) = (self.before(at), self.byte(at + 1));
        if !before.is_ascii_alphanumeric() && after.is_ascii_digit() {
            return self.spoken(at..at + 1, "minus");
        }
        if before == b' ' && matches!(after, b' ' | 0) && !self.units.is_empty() {
            return self.push(at..at + 1, Kind::Mark('—'));
        }
        at + 1
    }

    /// A quote, or the start of a word such as "'tis" and "'90s". One inside a word never gets here.
    fn apostrophe(&mut self, at: usize) -> usize {
        let (before, after) = (self.before(at), self.byte(at + 1));
        if opens_after(before) && after.is_ascii_alphanumeric() {
            let letters = self.run_of_letters(at + 1);
            let elided = self.text[at..at + 1 + letters].to_ascii_lowercase();
            if after.is_ascii_digit() {
                return self.word(at, at + 1);
            }
            if elided == "'n" && self.byte(at + 2) == b'\'' {
                return self.push(at..at + 3, Kind::Word);
            }
            let bare_n = elided == "'n" && matches!(self.byte(at + 2), b' ' | 0) && at > 0;
            if bare_n || elided.len() > 2 && (self.lexicon.in_gold(&elided) || ELIDED.contains(&&elided[1..]))
            {
                return self.push(at..at + 1 + letters, Kind::Word);
            }
            self.open_quote = true;
            return self.push(at..at + 1, Kind::Mark('“'));
        }
        if before.is_ascii_alphanumeric() && self.letters_of_suffix(at) > 0 {
            // "[Kokoro](/kˈOkəɹO/)'s"
            return self.push(at..at + 1 + self.letters_of_suffix(at), Kind::Word);
        }
        if opens_after(before) || !self.open_quote {
            return at + 1;
        }
        self.open_quote = false;
        self.push(at..at + 1, Kind::Mark('”'))
    }

    fn run_of_letters(&self, at: usize) -> usize {
        (at..self.end).take_while(|i| self.byte(*i).is_ascii_alphabetic()).count()
    }

    fn letters_of_suffix(&self, at: usize) -> usize {
        let letters = self.run_of_letters(at + 1);
        let suffix = &self.text[at + 1..at + 1 + letters];
        if matches!(suffix, "s" | "d" | "ll" | "re" | "ve" | "m") { letters } else { 0 }
    }

    /// A word from `start`, whose letters or digits begin at `from`.
    fn word(&mut self, start: usize, from: usize) -> usize {
        let mut at = from;
        while at < self.end && self.continues(start, at) {
            at += 1;
        }
        let word = &self.text[start..at];
        if self.byte(at) == b'.' && self.takes_full_stop(word, at) {
            at += 1;
        }
        let digits = word.trim_start_matches('\'');
        let number_end = digits.rfind(|c: char| c.is_ascii_digit()).map_or(0, |i| i + 1);
        let ending = &digits[number_end..];
        let only_digits =
            digits[..number_end].bytes().all(|b| b.is_ascii_digit() || matches!(b, b',' | b'.'));
        if number_end > 0 && only_digits && (ending.is_empty() || numbers::is_ending(ending)) {
            let words = numbers::words(digits);
            return self.push(start..at, Kind::Spoken(words));
        }
        self.push(start..at, Kind::Word)
    }

    /// Whether the byte at `at` belongs to the word from `start`.
    fn continues(&self, start: usize, at: usize) -> bool {
        let (before, after) = (self.before(at), self.byte(at + 1));
        match self.byte(at) {
            byte if byte.is_ascii_alphanumeric() => true,
            b'\'' => before.is_ascii_alphanumeric() && after.is_ascii_alphabetic(),
            b'-' => before.is_ascii_alphanumeric() && after.is_ascii_alphanumeric(),
            b'.' if after.is_ascii_digit() && (before.is_ascii_digit() || at == start) => true,
            b'.' => after.is_ascii_alphabetic() && self.is_initialism(start, at),
            b',' => before.is_ascii_digit() && self.is_group_of_thousand(at + 1),
            _ => false,
        }
    }

    /// "U.S", "e.g", "Ph.D" so far: parts of one or two letters, one of them single.
    fn is_initialism(&self, start: usize, at: usize) -> bool {
        const LONGEST: usize = 16;
        if at - start > LONGEST {
            return false;
        }
        let next = self.run_of_letters(at + 1);
        let mut parts = self.text[start..at].split('.').map(str::len).chain([next]);
        let letters = self.text[start..at].bytes().all(|b| b.is_ascii_alphabetic() || b == b'.');
        letters && parts.clone().all(|part| part <= 2) && parts.any(|part| part == 1)
    }

    fn is_group_of_thousand(&self, at: usize) -> bool {
        (at..at + 3).all(|i| self.byte(i).is_ascii_digit()) && !self.byte(at + 3).is_ascii_digit()
    }

    /// The full stop after "Mr" or "e.g" is part of it, unless it also ends the text.
    fn takes_full_stop(&self, word: &str, at: usize) -> bool {
        let rest = self.text[at + 1..].trim_start();
        let abbreviation = self.lexicon.in_gold(&format!("{word}."));
        let title = matches!(word, "Mr" | "Mrs" | "Ms" | "Dr" | "Prof" | "St");
        let goes_on =
            rest.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ",;:—".contains(c));
        (word.contains('.') && !word.as_bytes()[0].is_ascii_digit() || abbreviation) && goes_on
            || title && !rest.is_empty()
    }

    /// "$5" is "five dollars": the unit follows the number.
    fn currency(&mut self, at: usize, symbol: char) -> usize {
        let (one, many) = match symbol {
            '£' => ("pound", "pounds"),
            '€' => ("euro", "euros"),
            '¥' => ("yen", "yen"),
            _ => ("dollar", "dollars"),
        };
        let number = at + symbol.len_utf8();
        if !self.byte(number).is_ascii_digit() {
            return self.spoken(at..number, one);
        }
        let end = self.word(number, number);
        let scale = self.scale(end);
        let Some(unit) = self.units.last_mut() else { return end };
        let text = &self.text[number..unit.range.end];
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let plain = digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b',' | b'.'));
        let magnitude = magnitude(&text[digits.len()..].to_ascii_lowercase()).filter(|_| plain);
        let name = if text == "1" && scale.is_none() { one } else { many }.to_owned();
        match (&mut unit.kind, magnitude) {
            (Kind::Spoken(words), _) => {
                words.extend(scale.map(|(word, _)| word.to_owned()).into_iter().chain([name]));
            }
            (kind, Some(magnitude)) => {
                let mut words = numbers::words(digits);
                words.extend([magnitude.to_owned(), name]);
                *kind = Kind::Spoken(words);
            }
            // "$5x": the symbol is read where it stands.
            _ => {
                let at = self.units.len() - 1;
                self.units.insert(
                    at,
                    Unit { range: number - symbol.len_utf8()..number, kind: Kind::Spoken(vec![name]) },
                );
                return end;
            }
        }
        unit.range = at..scale.filter(|_| magnitude.is_none()).map_or(end, |(_, end)| end);
        unit.range.end
    }

    /// The "million" that follows a sum of money, and where it ends.
    fn scale(&self, at: usize) -> Option<(&'static str, usize)> {
        let rest = self.text[at..self.end].strip_prefix(' ')?;
        ["thousand", "million", "billion", "trillion"].into_iter().find_map(|word| {
            let after = rest.strip_prefix(word)?;
            (!after.starts_with(|c: char| c.is_ascii_alphanumeric())).then_some((word, at + 1 + word.len()))
        })
    }
}

/// Words that begin with an apostrophe and that the dictionaries know only without.
const ELIDED: [&str; 10] = ["bout", "cos", "coz", "cuz", "kay", "nuff", "sup", "til", "till", "twere"];

/// "£3m", "$20k"
fn magnitude(suffix: &str) -> Option<&'static str> {
    Some(match suffix {
        "k" => "thousand",
        "m" | "mn" => "million",
        "b" | "bn" => "billion",
        "tn" => "trillion",
        _ => return None,
    })
}

fn opens_after(before: u8) -> bool {
    // After a multi-byte mark (a dash, a quote) the last byte is not ASCII.
    matches!(before, b' ' | b'(' | b'-' | b'/' | b'"' | b'\'') || before >= 0x80
}
