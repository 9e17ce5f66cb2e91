//! First step of English: any Unicode text to plain ASCII letters, digits and the models' punctuation, with the way
//! back to the input's bytes. Links `[word](/ipa/)` are taken out here and kept as marks.

mod foreign;
mod letters;

use std::ops::Range;
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// Text that later steps read, and where each of its bytes came from.
#[derive(Debug, Default)]
pub(crate) struct Clean {
    /// ASCII, and `—…“”`.
    pub text: String,
    /// Per byte of `text`: the input's bytes that it stands for.
    origin: Vec<Range<usize>>,
    /// Linked stretches and foreign words of `text`, ascending.
    pub marks: Vec<Mark>,
    /// Input bytes of letters and digits that have no reading.
    pub skipped: Vec<Range<usize>>,
}

#[derive(Debug)]
pub(crate) struct Mark {
    /// Bytes of the visible words in [`Clean::text`].
    pub visible: Range<usize>,
    /// Bytes of the whole link or foreign word in the input.
    pub source: Range<usize>,
    pub feature: Feature,
}

/// What a link's brackets hold, or what a word is without any.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Feature {
    /// `/kˈOkəɹO/`
    Phonemes(String),
    /// No link: a word in Latin letters for one in another script, of which this is the last character.
    Foreign(char),
    /// `-2` no stress, `-1` weaker, `1` at least primary, `2` strongest.
    Stress(f64),
}

impl Clean {
    pub(crate) fn new(input: &str) -> Self {
        let mut clean = Self::default();
        let mut at = 0;
        while at < input.len() {
            if let Some(link) = Link::parse(&input[at..]) {
                clean.push_link(input, at, &link);
                at += link.length;
            } else {
                at += clean.push_char(input, at);
            }
        }
        clean
    }

    /// The input's bytes that `range` of [`Clean::text`] stands for.
    pub(crate) fn source(&self, range: &Range<usize>) -> Range<usize> {
        let (start, end) = (self.origin[range.start].start, self.origin[range.end - 1].end);
        // A link counts as a whole when it gives the phonemes.
        match self.mark_at(range.start) {
            Some(mark) if matches!(mark.feature, Feature::Phonemes(_)) => mark.source.clone(),
            _ => start..end,
        }
    }

    pub(crate) fn mark_at(&self, at: usize) -> Option<&Mark> {
        let after = self.marks.partition_point(|mark| mark.visible.start <= at);
        self.marks[..after].last().filter(|mark| mark.visible.contains(&at))
    }

    fn push_link(&mut self, input: &str, at: usize, link: &Link<'_>) {
        let (start, marks) = (self.text.len(), self.marks.len());
        let inner = at + 1;
        let mut next = inner;
        while next < inner + link.word.len() {
            next += self.push_char(input, next);
        }
        let source = at..at + link.length;
        if matches!(link.feature, Some(Feature::Phonemes(_))) && self.text[start..].trim().is_empty() {
            // The word cannot be read, but its phonemes can: it needs something to stand for it.
            self.skipped.retain(|range| range.start < source.start);
            self.put("x", source.clone());
        }
        if let Some(feature) = link.feature.clone() {
            let phonemes = matches!(feature, Feature::Phonemes(_));
            if phonemes {
                self.marks.truncate(marks);
            } else if self.marks.len() > marks {
                // Stress alone says nothing about a foreign word, which is stressed by guess.
                return;
            }
            let trimmed = self.text[start..].trim_end().len();
            let lead = self.text[start..].len() - self.text[start..].trim_start().len();
            if lead < trimmed {
                self.marks.push(Mark { visible: start + lead..start + trimmed, source, feature });
            }
        }
    }

    /// Takes in the character at `at`; returns its length in bytes.
    fn push_char(&mut self, input: &str, at: usize) -> usize {
        let Some(c) = input[at..].chars().next() else { return 1 };
        let source = at..at + c.len_utf8();
        let after = input[source.end..].chars().next();
        let before = input[..at].chars().next_back();
        if c.is_ascii_alphanumeric() {
            self.put(c.encode_utf8(&mut [0; 4]), source.clone());
        } else if let Some(plain) = punctuation(c) {
            self.put(plain, source.clone());
        } else if is_combining_mark(c) && self.in_foreign_word() && self.push_foreign(c, &source) {
            // A vowel sign is part of the word.
        } else if is_joiner(c) || is_combining_mark(c) {
            self.extend_last(source.end);
        } else if let Some(read) = letters::read(c, before, after) {
            self.put(&read, source.clone());
        } else {
            self.push_decomposed(c, &source, (before, after));
        }
        source.len()
    }

    fn push_decomposed(
        &mut self,
        c: char,
        source: &Range<usize>,
        (before, after): (Option<char>, Option<char>),
    ) {
        let parts: String = c.nfkd().filter(|part| !is_combining_mark(*part)).collect();
        let mut plain = String::new();
        for part in parts.chars() {
            if part.is_ascii_graphic() {
                plain.push(part);
            } else if let Some(read) = letters::read(part, before, after) {
                plain.push_str(&read);
            } else if let Some(read) = punctuation(part) {
                plain.push_str(read);
            }
        }
        if plain.is_empty() {
            if c.is_alphanumeric() {
                if self.push_foreign(c, source) {
                    return;
                }
                self.skip(source);
            }
            plain.push(' ');
        }
        self.put(&plain, source.clone());
    }

    fn skip(&mut self, source: &Range<usize>) {
        match self.skipped.last_mut() {
            Some(last) if last.end == source.start => last.end = source.end,
            _ => self.skipped.push(source.clone()),
        }
    }

    fn put(&mut self, plain: &str, source: Range<usize>) {
        if self.in_foreign_word() && plain.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            self.text.push(' ');
            self.origin.push(source.start..source.start);
        }
        self.text.push_str(plain);
        self.origin.resize(self.text.len(), source);
    }

    /// A combining mark or soft hyphen belongs to the letter before it.
    fn extend_last(&mut self, end: usize) {
        if self.text.ends_with(|c: char| c.is_ascii_alphanumeric())
            && let Some(last) = self.origin.last_mut()
        {
            last.end = end;
        }
    }
}

/// Invisible characters that may stand inside a word.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{fe00}'..='\u{fe0f}')
}

/// Punctuation and symbols as later steps expect them.
fn punctuation(c: char) -> Option<&'static str> {
    Some(match c {
        '\'' | '‘' | '’' | '‛' | 'ʼ' | '`' | '´' | '′' | '‚' | '‹' | '›' | '＇' => "'",
        '"' | '″' => "\"",
        '“' | '„' | '‟' | '«' | '「' | '『' => "“",
        '”' | '»' | '」' | '』' => "”",
        '‐' | '‑' | '−' | '﹣' => "-",
        '‒' | '–' | '—' | '―' | '⸺' | '⸻' => "—",
        '…' => "…",
        '。' | '｡' | '।' | '۔' => ".",
        '、' | '،' => ",",
        '؟' => "?",
        '؛' => ";",
        '[' | '{' => "(",
        ']' | '}' => ")",
        '½' => " one half ",
        '¼' => " one quarter ",
        '¾' => " three quarters ",
        '°' => " degrees ",
        '×' => " times ",
        '÷' => " divided by ",
        '±' => " plus or minus ",
        '£' => "£",
        '€' => "€",
        '¥' => "¥",
        '⁄' => "/",
        '§' => " section ",
        '¿' | '¡' | '™' | '®' | '©' => " ",
        c if c.is_ascii_graphic() => return ascii(c),
        c if c.is_whitespace() || c.is_control() => " ",
        _ => return None,
    })
}

fn ascii(c: char) -> Option<&'static str> {
    const ASCII: &str = "!#$%&()*+,-./:;<=>?@\\^_|~";
    let at = ASCII.find(c)?;
    Some(&ASCII[at..=at])
}

/// A `[word](feature)` link at the start of a text.
pub(crate) struct Link<'a> {
    pub word: &'a str,
    /// None: not a feature that means anything; only the word counts.
    pub feature: Option<Feature>,
    /// Bytes of the whole link.
    pub length: usize,
}

impl<'a> Link<'a> {
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix('[')?;
        let (word, rest) = rest.split_at(find_near(rest, b']')?);
        let inside = rest.strip_prefix("](")?;
        let feature = &inside[..find_near(inside, b')')?];
        if word.is_empty() {
            return None;
        }
        let length = 1 + word.len() + 2 + feature.len() + 1;
        Some(Self { word, feature: parse_feature(feature), length })
    }
}

/// Looks no further than a link can be long, so that a text full of brackets costs linear time.
fn find_near(text: &str, closing: u8) -> Option<usize> {
    text.bytes().take(400).position(|byte| byte == closing)
}

fn parse_feature(text: &str) -> Option<Feature> {
    if text.len() > 2 && text.starts_with('/') && text.ends_with('/') {
        let phonemes = crate::symbols::from_written(text.trim_matches('/'));
        let phonemes = phonemes.split_whitespace().collect::<Vec<_>>().join(" ");
        return phonemes.chars().any(char::is_alphabetic).then_some(Feature::Phonemes(phonemes));
    }
    Some(Feature::Stress(match text.strip_prefix('+').unwrap_or(text) {
        "-2" => -2.0,
        "-1" => -1.0,
        "-0.5" => -0.5,
        "0" => 0.0,
        "0.5" => 0.5,
        "1" => 1.0,
        "2" => 2.0,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_knows_where_it_came_from() {
        let input = "Cafe\u{301} “naïve” ⅓ Straße";
        let clean = Clean::new(input);
        assert_eq!(clean.text, "Cafe “naive” 1/3 Strasse");
        let word = |word: &str| {
            let at = clean.text.find(word).unwrap();
            &input[clean.source(&(at..at + word.len()))]
        };
        assert_eq!(word("Cafe"), "Cafe\u{301}");
        assert_eq!(word("naive"), "naïve");
        assert_eq!(word("1/3"), "⅓");
        assert_eq!(word("Strasse"), "Straße");
    }

    #[test]
    fn links_become_marks_and_nonsense_features_only_lose_their_brackets() {
        let input = "Say [Kokoro](/kˈOkəɹO/) [now](+2) and [here](there).";
        let clean = Clean::new(input);
        assert_eq!(clean.text, "Say Kokoro now and here.");
        assert_eq!(clean.marks.len(), 2);
        assert_eq!(clean.marks[0].feature, Feature::Phonemes("kˈOkəɹO".to_owned()));
        assert_eq!(&input[clean.marks[0].source.clone()], "[Kokoro](/kˈOkəɹO/)");
        assert_eq!(clean.marks[1].feature, Feature::Stress(2.0));
    }

    #[test]
    fn what_cannot_be_read_is_reported() {
        let input = "Ask 𓀀𓀁 now";
        let clean = Clean::new(input);
        assert_eq!(clean.skipped.iter().map(|range| &input[range.clone()]).collect::<Vec<_>>(), ["𓀀𓀁"]);
        let link = Clean::new("Ask [北京](/bAʤˈɪŋ/) now");
        assert!(link.skipped.is_empty());
        assert_eq!(link.marks.len(), 1);
    }
}
