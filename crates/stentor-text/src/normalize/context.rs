//! What a rule sees of the text: the characters around a position, numbers and words, all by bounded look-ups.

use std::cell::Cell;
use std::ops::Range;

/// Longest word that rules look at, in bytes: anything longer is nothing they know.
const WORD_LIMIT: usize = 64;
/// Longest run of digits that is a number to anyone.
const DIGIT_LIMIT: usize = 64;

/// Cleaned text and how to read it.
pub(super) struct Context<'a> {
    pub(super) text: &'a str,
    pub(super) british: bool,
    /// Characters looked at, so that tests can hold the cost to the length of the text.
    pub(super) work: Cell<u64>,
}

/// One stretch that a rule has read and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) range: Range<usize>,
    pub(super) spoken: String,
}

/// What a rule answers: it has read the text up to `end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) parts: Vec<Part>,
    pub(super) end: usize,
}

impl Hit {
    pub(super) fn one(range: Range<usize>, spoken: impl Into<String>) -> Self {
        Self { end: range.end, parts: vec![Part { range, spoken: spoken.into() }] }
    }

    pub(super) fn of(parts: Vec<Part>, end: usize) -> Self {
        Self { parts, end }
    }
}

impl Part {
    pub(super) fn new(range: Range<usize>, spoken: impl Into<String>) -> Self {
        Self { range, spoken: spoken.into() }
    }
}

impl<'a> Context<'a> {
    pub(super) fn new(text: &'a str, british: bool) -> Self {
        Self { text, british, work: Cell::new(0) }
    }

    fn tick(&self, n: usize) {
        self.work.set(self.work.get() + n as u64);
    }

    pub(super) fn rest(&self, pos: usize) -> &'a str {
        self.tick(1);
        self.text.get(pos..).unwrap_or_default()
    }

    pub(super) fn char(&self, pos: usize) -> Option<char> {
        self.rest(pos).chars().next()
    }

    pub(super) fn byte(&self, pos: usize) -> Option<u8> {
        self.tick(1);
        self.text.as_bytes().get(pos).copied()
    }

    pub(super) fn before(&self, pos: usize) -> Option<char> {
        self.tick(1);
        self.text.get(..pos)?.chars().next_back()
    }

    pub(super) fn is(&self, pos: usize, expected: &str) -> bool {
        self.rest(pos).starts_with(expected)
    }

    /// The byte at `pos` is a digit.
    pub(super) fn digit(&self, pos: usize) -> bool {
        self.byte(pos).is_some_and(|b| b.is_ascii_digit())
    }

    /// No letter or digit at `pos`: a word ends here.
    pub(super) fn ends(&self, pos: usize) -> bool {
        !self.char(pos).is_some_and(char::is_alphanumeric)
    }

    /// No letter or digit before `pos`: a word starts here.
    pub(super) fn starts(&self, pos: usize) -> bool {
        !self.before(pos).is_some_and(char::is_alphanumeric)
    }

    fn run(&self, pos: usize, limit: usize, accept: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest(pos);
        let mut end = 0;
        for c in rest.chars() {
            if !accept(c) || end > limit {
                break;
            }
            end += c.len_utf8();
        }
        self.tick(end);
        &rest[..end]
    }

    /// The digits from `pos` on.
    pub(super) fn digits(&self, pos: usize) -> &'a str {
        self.run(pos, DIGIT_LIMIT, |c| c.is_ascii_digit())
    }

    /// The letters from `pos` on.
    pub(super) fn letters(&self, pos: usize) -> &'a str {
        self.run(pos, WORD_LIMIT, char::is_alphabetic)
    }

    /// Letters, digits and what holds a compound together, from `pos` on.
    pub(super) fn compound(&self, pos: usize) -> &'a str {
        let run = self.run(pos, WORD_LIMIT, |c| c.is_alphanumeric() || matches!(c, '-' | '\''));
        run.trim_end_matches(['-', '\''])
    }

    /// Up to the next space.
    pub(super) fn token(&self, pos: usize, limit: usize) -> &'a str {
        self.run(pos, limit, |c| c != ' ')
    }

    /// The letters of the word before the space before `pos`, without stop; empty when there is none.
    pub(super) fn previous_word(&self, pos: usize) -> &'a str {
        let head = &self.text[..pos];
        let Some(head) = head.strip_suffix(' ') else { return "" };
        let head = head.strip_suffix('.').unwrap_or(head);
        self.word_at_end(head)
    }

    /// "a" stands before `pos`: a quantity there describes a thing and is said in the singular.
    pub(super) fn after_article(&self, pos: usize) -> bool {
        matches!(self.previous_word(pos), "a" | "an" | "A" | "An")
    }

    /// The word before the one that ends at `pos`.
    pub(super) fn word_at_end(&self, head: &'a str) -> &'a str {
        let mut start = head.len();
        for (i, c) in head.char_indices().rev() {
            if !(c.is_alphanumeric() || c == '\'') || head.len() - i > WORD_LIMIT {
                break;
            }
            start = i;
        }
        self.tick(head.len() - start);
        &head[start..]
    }

    /// The letters after one space at `pos`.
    pub(super) fn next_word(&self, pos: usize) -> &'a str {
        if self.byte(pos) == Some(b' ') { self.letters(pos + 1) } else { "" }
    }

    /// `pos` after one space, if there is one.
    pub(super) fn skip_space(&self, pos: usize) -> usize {
        if self.byte(pos) == Some(b' ') { pos + 1 } else { pos }
    }

    /// Nothing but closing marks stands between `pos` and the end, or a capitalised word that often starts a
    /// sentence: an abbreviation's stop before `pos` ends the sentence too.
    pub(super) fn sentence_over(&self, pos: usize) -> bool {
        let rest = self.rest(pos);
        let body =
            rest.trim_start_matches(['"', '\'', ')', ']', ' ', crate::clean::PAUSE, crate::clean::BREAK]);
        self.tick(rest.len() - body.len());
        body.is_empty() || super::words::STARTERS.contains(&self.letters(self.text.len() - body.len()))
    }

    /// Where to end a reading that includes an abbreviation's stop at `dot`: a stop that ends the sentence too is
    /// left for the sentence.
    pub(super) fn after_stop(&self, dot: usize) -> usize {
        if self.byte(dot) != Some(b'.') || self.sentence_over(dot + 1) { dot } else { dot + 1 }
    }
}

/// A number as written: "1,234.5".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Number {
    /// The digits before the point, without thousands separators.
    pub(super) whole: String,
    /// The digits after it.
    pub(super) fraction: Option<String>,
    /// It had thousands separators.
    pub(super) grouped: bool,
    pub(super) end: usize,
}

impl Number {
    pub(super) fn is_one(&self) -> bool {
        self.whole == "1" && self.fraction.is_none()
    }

    pub(super) fn value(&self) -> Option<u64> {
        self.whole.parse().ok().filter(|_| self.fraction.is_none())
    }
}

impl Context<'_> {
    /// The number at `pos`: digits with or without thousands separators, a decimal part, or ".5".
    pub(super) fn number(&self, pos: usize) -> Option<Number> {
        let first = self.digits(pos);
        let mut end = pos + first.len();
        let mut whole = first.to_owned();
        let mut grouped = false;
        if (1..=3).contains(&first.len()) && !first.starts_with('0') {
            while self.byte(end) == Some(b',') && whole.len() < DIGIT_LIMIT {
                let group = self.digits(end + 1);
                if group.len() != 3 {
                    break;
                }
                whole.push_str(group);
                end += 4;
                grouped = true;
            }
        }
        if !grouped && let Some((digits, stop)) = self.other_groups(pos, first) {
            (whole, end, grouped) = (digits, stop, true);
        }
        let fraction = match self.byte(end) {
            Some(b'.') => Some(self.digits(end + 1)).filter(|f| !f.is_empty()),
            _ => None,
        };
        if let Some(fraction) = fraction {
            end += 1 + fraction.len();
        }
        if whole.is_empty() && (fraction.is_none() || !self.starts(pos)) {
            return None;
        }
        Some(Number { whole, fraction: fraction.map(str::to_owned), grouped, end })
    }

    /// "1,23,456" as India groups digits, and "1 000 000" as others do: the digits and their end.
    fn other_groups(&self, pos: usize, first: &str) -> Option<(String, usize)> {
        if first.is_empty() || first.len() > 3 || first.starts_with('0') {
            return None;
        }
        let mut whole = first.to_owned();
        let mut end = pos + first.len();
        let separator = self.byte(end).filter(|b| matches!(b, b',' | b' '))?;
        let size = if separator == b',' { 2 } else { 3 };
        let mut zeros = true;
        while self.byte(end) == Some(separator) && whole.len() < 18 {
            let group = self.digits(end + 1);
            let last = group.len() == 3 && separator == b',';
            if !(group.len() == size || last) {
                break;
            }
            whole.push_str(group);
            zeros &= group.starts_with('0');
            end += 1 + group.len();
            if last {
                break;
            }
        }
        let groups = (end - pos - first.len()) / (size + 1);
        let short = first.len() < 3;
        let listed = self.previous_word(pos).ends_with(|c: char| c.is_ascii_digit());
        let counted = groups == 1 && super::words::COUNTED.contains(&self.next_word(end));
        let fits = match separator {
            b',' => groups > 1 && short && self.text.as_bytes()[end - 4] == b',',
            // "100 200 300" is rather a list.
            _ => groups > 0 && self.starts(pos) && (zeros || !listed && (counted || groups > 1 && short)),
        };
        fits.then_some((whole, end))
    }
}
