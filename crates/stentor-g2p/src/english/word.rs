//! One word: the dictionary, its parts, contractions, acronyms, and at last the letters.

use super::{English, Reading, lexicon::Context, supplement, tag::Tags};
use crate::{Origin, letter_to_sound::LetterToSound, numbers, symbols::PRIMARY};
use std::ops::Range;

/// What is to be read.
pub(super) struct Word<'a> {
    pub text: &'a str,
    /// Its byte in the text.
    pub at: usize,
    /// The level that a link asks for.
    pub stress: Option<f64>,
}

impl English {
    /// Reads a word that may be a compound: "well-known", "B2B", "OpenAI", "U.S.".
    pub(super) fn word(&self, word: &Word<'_>, tags: &Tags, context: &mut Context) -> Reading {
        let Word { text, at, stress } = *word;
        let tag = tags.at(at + heaviest(text));
        let level = stress.or_else(|| stress_of_case(text));
        let whole = self.lexicon.get(text, tag, level, context).or_else(|| {
            // "'Cause", "'n", "'til": the entry is in lower case, has one more apostrophe or has none.
            let bare = text.strip_prefix('\'')?.to_ascii_lowercase();
            let known = [format!("'{bare}"), format!("'{bare}'"), bare];
            known.iter().find_map(|known| self.lexicon.get(known, tag, level, context))
        });
        if let Some(phonemes) = whole {
            context.word(text, &phonemes, tag);
            return Reading { phonemes, origin: Origin::Dictionary };
        }
        let letters = text.replace('-', "").to_ascii_lowercase();
        if let Some(phonemes) = supplement::get(&letters, self.lexicon.british) {
            context.word(text, phonemes, tag);
            return Reading { phonemes: phonemes.to_owned(), origin: Origin::Dictionary };
        }
        let parts = parts(text);
        let mut readings: Vec<Reading> = Vec::with_capacity(parts.len());
        for part in parts.iter().rev() {
            let tag = tags.at(at + part.start);
            let reading = self.part(&text[part.clone()], tag, stress, context);
            context.word(&text[part.clone()], &reading.phonemes, tag);
            readings.push(reading);
        }
        readings.reverse();
        self.joined(text, &parts, readings)
    }

    /// A stretch of letters (with apostrophes) or of digits.
    fn part(&self, text: &str, tag: &str, stress: Option<f64>, context: &mut Context) -> Reading {
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            return self.spoken(&numbers::words(text), context);
        }
        let level = stress.or_else(|| stress_of_case(text));
        if let Some(phonemes) = self.lexicon.get(text, tag, level, context) {
            return Reading { phonemes, origin: Origin::Dictionary };
        }
        let mut reading = self.unknown(text, tag, context);
        if let Some(level) = stress {
            reading.phonemes = self.lexicon.stressed(&reading.phonemes, level);
        }
        reading
    }

    /// A word that has no entry.
    pub(super) fn unknown(&self, text: &str, tag: &str, context: &Context) -> Reading {
        if let Some(reading) = self.contraction(text, tag, context) {
            return reading;
        }
        let lower: String = text.to_ascii_lowercase().replace('\'', "");
        if let Some(phonemes) = supplement::get(&lower, self.lexicon.british) {
            return Reading { phonemes: phonemes.to_owned(), origin: Origin::Dictionary };
        }
        let capitals = text.bytes().filter(u8::is_ascii_uppercase).count();
        if must_be_spelled(&lower, capitals == lower.len()) {
            return Reading { phonemes: self.lexicon.spelled(&lower), origin: Origin::Spelled };
        }
        let phonemes = LetterToSound::embedded().read(&lower, self.lexicon.british);
        if phonemes.chars().any(char::is_alphabetic) {
            return Reading { phonemes, origin: Origin::LetterToSound };
        }
        Reading { phonemes: self.lexicon.spelled(&lower), origin: Origin::Spelled }
    }

    /// A word in Latin letters that was written in another script.
    pub(super) fn foreign(&self, latin: &str, context: &mut Context) -> Reading {
        let network = LetterToSound::embedded();
        let vowels = latin.contains(|c| "aeiouy".contains(c));
        // Scripts that write no vowels: any vowel is nearer to the word than its letters' names.
        let read = if vowels || latin.len() == 1 { latin.to_owned() } else { with_vowels(latin) };
        let mut phonemes = network.read(&read, self.lexicon.british);
        if !phonemes.contains(crate::symbols::is_vowel) {
            phonemes = self.lexicon.spelled(latin);
        }
        context.word(latin, &phonemes, "NN");
        Reading { phonemes, origin: Origin::Transliterated }
    }

    /// "Kokoro's", "they'd've", "O'Malley": what is before the apostrophe, and what it adds.
    fn contraction(&self, text: &str, tag: &str, context: &Context) -> Option<Reading> {
        // Longer than any contraction; also bounds how deep the halves are taken apart.
        const LONGEST: usize = 40;
        let at = text.rfind('\'').filter(|_| text.len() <= LONGEST)?;
        let (head, tail) = (&text[..at], &text[at + 1..]);
        if head.is_empty() || tail.is_empty() {
            return None;
        }
        let read = |part: &str| {
            let phonemes = self.lexicon.get(part, tag, stress_of_case(part), context);
            phonemes.map_or_else(
                || self.unknown(part, tag, context),
                |phonemes| Reading { phonemes, origin: Origin::Dictionary },
            )
        };
        let lower = tail.to_ascii_lowercase();
        if lower == "t" && head.to_ascii_lowercase().ends_with('n') && head.len() > 2 {
            let mut reading = read(&head[..head.len() - 1]);
            reading.phonemes.push_str("ᵊnt");
            return Some(reading);
        }
        let mut reading = read(head);
        reading.phonemes = match (lower.as_str(), self.lexicon.british) {
            ("s", _) => self.lexicon.with_s(&reading.phonemes),
            ("d", _) => self.lexicon.with_ed(&reading.phonemes),
            ("ll", _) => reading.phonemes + "ᵊl",
            ("ve", _) => reading.phonemes + "əv",
            ("re", false) => reading.phonemes + "əɹ",
            ("re", true) => reading.phonemes + "ə",
            ("m", _) => reading.phonemes + "əm",
            _ => {
                // "O'Malley", "d'Artagnan": a weak first half.
                let second = read(tail);
                let first =
                    if head.len() == 1 && head.eq_ignore_ascii_case("o") { "O" } else { &reading.phonemes };
                reading.origin = reading.origin.max(second.origin);
                self.lexicon.stressed(first, -2.0) + &second.phonemes
            }
        };
        Some(reading)
    }

    /// Parts of one word stand together, or apart where letters meet digits; not all of them keep their stress.
    fn joined(&self, text: &str, parts: &[Range<usize>], mut readings: Vec<Reading>) -> Reading {
        let origin = readings.iter().map(|reading| reading.origin).max().unwrap_or(Origin::Spelled);
        let mixed = text.bytes().any(|b| b.is_ascii_digit());
        if !mixed {
            self.balance(text, parts, &mut readings);
        }
        let separator = if mixed { " " } else { "" };
        let phonemes: Vec<&str> = readings.iter().map(|reading| reading.phonemes.as_str()).collect();
        Reading { phonemes: phonemes.join(separator), origin }
    }

    /// At most half of a compound's parts (rounded up) keep a primary stress; the lighter ones lose theirs.
    fn balance(&self, text: &str, parts: &[Range<usize>], readings: &mut [Reading]) {
        let weight = |phonemes: &str| -> usize {
            phonemes.chars().map(|c| if "AIOQWYʤʧ".contains(c) { 2 } else { 1 }).sum()
        };
        let mut order: Vec<(bool, usize, usize)> = readings
            .iter()
            .enumerate()
            .map(|(i, reading)| (reading.phonemes.contains(PRIMARY), weight(&reading.phonemes), i))
            .collect();
        let primaries = order.iter().filter(|(primary, ..)| *primary).count();
        let weaker: Vec<usize> = if order.len() == 2 && text[parts[0].clone()].len() == 1 {
            vec![1]
        } else if order.len() < 2 || primaries <= order.len().div_ceil(2) {
            Vec::new()
        } else {
            order.sort_unstable();
            order.iter().take(order.len() / 2).map(|(.., i)| *i).collect()
        };
        for i in weaker {
            readings[i].phonemes = self.lexicon.stressed(&readings[i].phonemes, -0.5);
        }
    }
}

/// An "a" between all consonants: "mrhb" is "marahab".
fn with_vowels(consonants: &str) -> String {
    consonants.chars().map(String::from).collect::<Vec<_>>().join("a")
}

/// misaki's levels: a capital asks for at least some stress, all capitals for primary stress.
fn stress_of_case(word: &str) -> Option<f64> {
    if word == word.to_ascii_lowercase() {
        None
    } else if word == word.to_ascii_uppercase() {
        Some(2.0)
    } else {
        Some(0.5)
    }
}

/// Where the part stands whose tag speaks for the whole: the longest.
fn heaviest(text: &str) -> usize {
    let mut best = (0, 0);
    let mut start = 0;
    for part in text.split('-') {
        if part.len() > best.0 {
            best = (part.len(), start);
        }
        start += part.len() + 1;
    }
    best.1
}

/// Cuts at hyphens and full stops, between letters and digits, and where camel case rises.
fn parts(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut parts = Vec::new();
    let mut start = None;
    for at in 0..=bytes.len() {
        let inside = bytes.get(at).is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'\'' | b','))
            || is_decimal_point(bytes, at);
        if let Some(from) = start
            && (!inside || is_seam(bytes, at))
        {
            parts.push(from..at);
            start = None;
        }
        if inside && start.is_none() {
            start = Some(at);
        }
    }
    parts.retain(|part| bytes[part.clone()].iter().any(u8::is_ascii_alphanumeric));
    parts
}

fn is_decimal_point(bytes: &[u8], at: usize) -> bool {
    at > 0
        && bytes.get(at) == Some(&b'.')
        && bytes[at - 1].is_ascii_digit()
        && bytes.get(at + 1).is_some_and(u8::is_ascii_digit)
}

/// Between the bytes before and at `at`: "B|2", "i|Phone", "AI|Lab".
fn is_seam(bytes: &[u8], at: usize) -> bool {
    let (before, here) = (bytes[at - 1], bytes[at]);
    if before.is_ascii_alphabetic() && here.is_ascii_digit()
        || before.is_ascii_digit() && here.is_ascii_alphabetic()
    {
        return true;
    }
    let next_is_lower = bytes.get(at + 1).is_some_and(u8::is_ascii_lowercase);
    before.is_ascii_lowercase() && here.is_ascii_uppercase()
        || before.is_ascii_uppercase()
            && here.is_ascii_uppercase()
            && next_is_lower
            && !is_plural(&bytes[at + 1..])
}

/// The end of "PDFs" is no word of its own.
fn is_plural(rest: &[u8]) -> bool {
    rest == b"s"
}

/// Single letters, strings without a vowel, and capitals that are short or start as no word does.
fn must_be_spelled(lower: &str, capitals: bool) -> bool {
    let vowels = lower.bytes().filter(|b| b"aeiouy".contains(b)).count();
    if lower.len() == 1 || vowels == 0 {
        return true;
    }
    capitals && (lower.len() <= 4 || !starts_like_a_word(lower) || vowels * 5 < lower.len())
}

fn starts_like_a_word(lower: &str) -> bool {
    const ONSETS: &str = " bl br ch cl cr dr dw fl fr gh gl gn gr kh kl kn kr mc ph pl pr ps pt qu rh sc sh sk sl sm sn \
                          sp sq st sv sw th tr ts tw vl wh wr zh ";
    let consonants = lower.bytes().take_while(|b| !b"aeiouy".contains(b)).count();
    consonants < 2 || ONSETS.contains(&format!(" {} ", &lower[..2]))
}
