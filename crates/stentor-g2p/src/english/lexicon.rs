//! The misaki dictionary of one accent, and the context that some of its entries ask for.
//!
//! misaki's own rules read a word, from a dictionary that holds just what the word can lead them to: its forms and stems, the
//! letters for spelling, and the words that stand for symbols. The whole of it stays in its table.

use super::table::{Source, Table};
use crate::symbols::{self, PRIMARY, SECONDARY};
use misaki_rs::{
    Language,
    lexicon::{Lexicon as Misaki, PhonemeEntry, TokenContext},
};
use std::collections::HashMap;

/// Words that the rules read for others: for symbols, and by their own rule.
const ASKED_FOR_BY_NAME: [&str; 9] = ["percent", "and", "plus", "at", "dot", "slash", "versus", "am", "to"];

pub(crate) struct Lexicon {
    /// Letters, and what is asked for by name.
    base: Misaki,
    table: Table,
    pub(crate) british: bool,
}

/// What follows the word that is being read.
#[derive(Default)]
pub(crate) struct Context(TokenContext);

impl Context {
    /// A word was read: its first sound is what the word to its left will see.
    pub(crate) fn word(&mut self, text: &str, phonemes: &str, tag: &str) {
        let sound = phonemes.chars().find(|c| c.is_alphabetic() && !matches!(*c, PRIMARY | SECONDARY | 'ː'));
        if let Some(sound) = sound {
            self.0.future_vowel = Some(symbols::is_vowel(sound));
        }
        self.0.future_to = matches!(text, "to" | "To") || (text == "TO" && matches!(tag, "TO" | "IN"));
    }

    /// A mark: the word before it ends a phrase, unless the mark is a quote or bracket.
    pub(crate) fn mark(&mut self, mark: char) {
        if "!,.:;?—…".contains(mark) {
            self.0.future_vowel = None;
        }
        self.0.future_to = false;
    }
}

impl Lexicon {
    pub(crate) fn load(british: bool) -> Self {
        let table = Table::embedded(british);
        let lang = if british { Language::EnglishGB } else { Language::EnglishUS };
        let (golds, silvers) = (HashMap::new(), HashMap::new());
        let mut base = Misaki { lang, cap_stresses: (0.5, 2.0), golds, silvers };
        for letter in 'A'..='Z' {
            table.copy(letter.to_string(), &mut base);
        }
        for word in ASKED_FOR_BY_NAME.into_iter().chain(["used"]) {
            table.copy(word.to_owned(), &mut base);
        }
        Self { base, table, british }
    }

    /// Whether the word itself, in this or its first-letter-changed case, has an entry.
    pub(crate) fn has(&self, word: &str) -> bool {
        self.in_gold(word) || self.in_silver(word)
    }

    /// Whether the hand-checked dictionary has the word.
    pub(crate) fn in_gold(&self, word: &str) -> bool {
        self.table.has(Source::Gold, word)
            || other_case(word).is_some_and(|other| self.table.has(Source::Gold, &other))
    }

    fn in_silver(&self, word: &str) -> bool {
        let lowered = || {
            let mut chars = word.chars();
            let first = chars.next().filter(|c| c.is_ascii_uppercase() && word.len() > 1)?;
            Some(first.to_ascii_lowercase().to_string() + chars.as_str())
        };
        self.table.has(Source::Silver, word)
            || lowered().is_some_and(|lowered| self.table.has(Source::Silver, &lowered))
    }

    /// A dictionary in which misaki's rules find for `word` what they would find in the whole one.
    fn around(&self, word: &str) -> Misaki {
        let mut small = Misaki {
            lang: self.base.lang,
            cap_stresses: self.base.cap_stresses,
            golds: self.base.golds.clone(),
            silvers: self.base.silvers.clone(),
        };
        for form in stems(word).into_iter().chain(stems(&word.to_lowercase())) {
            let lower = form.to_lowercase();
            let capital = capitalized(&lower);
            for spelling in [form, lower, capital] {
                self.table.copy(spelling, &mut small);
            }
        }
        small
    }

    /// The dictionary's reading, through its special cases and -s, -ed, -ing; `word` must be ASCII.
    /// Acronyms that misaki would spell are left to the caller.
    pub(crate) fn get(
        &self,
        word: &str,
        tag: &str,
        stress: Option<f64>,
        context: &Context,
    ) -> Option<String> {
        if self.would_be_spelled(word) {
            return None;
        }
        let (phonemes, _) = self.around(word).get_word(word, tag, stress, Some(&context.0))?;
        let speakable = phonemes.chars().any(|c| c.is_alphabetic() && !matches!(c, PRIMARY | SECONDARY));
        speakable.then_some(phonemes)
    }

    /// misaki takes every word whose tail is in capitals for an acronym.
    fn would_be_spelled(&self, word: &str) -> bool {
        word.len() > 1
            && word.bytes().all(|b| b.is_ascii_alphabetic())
            && word[1..].bytes().all(|b| b.is_ascii_uppercase())
            && !self.has(word)
            && !self.has(&word.to_ascii_lowercase())
    }

    /// Every entry's word.
    #[cfg(test)]
    pub(crate) fn words(&self) -> impl Iterator<Item = String> {
        let mut words: Vec<String> = self.table.entries().map(|(word, ..)| word).collect();
        words.dedup();
        words.into_iter()
    }

    /// The plain entry of a word.
    #[cfg(test)]
    pub(crate) fn entry(&self, word: &str) -> Option<String> {
        let silver = || self.table.get(Source::Silver, word);
        match self.table.get(Source::Gold, word).or_else(silver)? {
            PhonemeEntry::Simple(phonemes) => Some(phonemes),
            PhonemeEntry::Tagged(map) => map.get("DEFAULT").cloned().flatten(),
        }
    }

    /// Names of the letters, the last one stressed most.
    pub(crate) fn spelled(&self, letters: &str) -> String {
        let names: String = letters
            .chars()
            .filter_map(|c| match self.base.golds.get(&c.to_ascii_uppercase().to_string()) {
                Some(PhonemeEntry::Simple(name)) => Some(name.as_str()),
                _ => None,
            })
            .collect();
        let flat = self.stressed(&names, 0.0);
        match flat.rfind(SECONDARY) {
            Some(at) => format!("{}{PRIMARY}{}", &flat[..at], &flat[at + SECONDARY.len_utf8()..]),
            None => flat,
        }
    }

    /// Moves or removes stress marks as misaki's levels say: -2 none, -1 weaker, 0 secondary, 1 and 2 primary.
    pub(crate) fn stressed(&self, phonemes: &str, level: f64) -> String {
        self.base.apply_stress(phonemes, Some(level))
    }

    pub(crate) fn with_s(&self, stem: &str) -> String {
        self.base.append_s(stem)
    }

    pub(crate) fn with_ed(&self, stem: &str) -> String {
        self.base.append_ed(stem)
    }
}

impl Table {
    /// Puts what it knows of exactly this word into a dictionary.
    fn copy(&self, word: String, into: &mut Misaki) {
        if let Some(entry) = self.get(Source::Silver, &word) {
            into.silvers.insert(word.clone(), entry);
        }
        if let Some(entry) = self.get(Source::Gold, &word) {
            into.golds.insert(word, entry);
        }
    }
}

/// The word, and what is left of it without one of the endings that misaki takes off.
fn stems(word: &str) -> Vec<String> {
    let mut stems = vec![word.to_owned()];
    let mut without = |ending: &str, instead: &str| {
        if let Some(stem) = word.strip_suffix(ending) {
            stems.push(format!("{stem}{instead}"));
        }
    };
    for (ending, instead) in [
        ("s", ""),
        ("es", ""),
        ("'s", ""),
        ("ies", "y"),
        ("d", ""),
        ("ed", ""),
        ("ing", ""),
        ("ing", "e"),
        ("'", ""),
        ("s'", "'s"),
    ] {
        without(ending, instead);
    }
    // "running": the letter that was doubled goes too.
    if let Some(doubled) = word.strip_suffix("ing").and_then(|stem| stem.get(..stem.len().saturating_sub(1)))
    {
        stems.push(doubled.to_owned());
    }
    stems
}

/// misaki lets "paris" answer for "Paris" and the other way round; one letter and any other casing answer for themselves.
fn other_case(word: &str) -> Option<String> {
    word.chars().nth(1)?;
    let lower = word.to_lowercase();
    let capital = capitalized(&lower);
    if word == lower { (capital != lower).then_some(capital) } else { (word == capital).then_some(lower) }
}

fn capitalized(lower: &str) -> String {
    let mut chars = lower.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAGS: [&str; 9] = ["NN", "NNP", "VB", "VBD", "IN", "DT", "JJ", "ADD", "PRP"];

    /// Every `step`th word in the forms that texts bring, read by the small dictionary and by the whole one.
    fn compare(british: bool, step: usize) {
        let lexicon = Lexicon::load(british);
        let whole = Misaki::new(if british { Language::EnglishGB } else { Language::EnglishUS });
        let contexts = [
            TokenContext::default(),
            TokenContext { future_vowel: Some(true), future_to: false },
            TokenContext { future_vowel: Some(false), future_to: true },
        ];
        let words: Vec<String> = lexicon.words().collect();
        let mut known = 0;
        for (at, word) in words.iter().enumerate().filter(|(at, word)| at % step == 0 || word.len() < 4) {
            let stem = word.strip_suffix('y').map_or(word.clone(), |stem| stem.to_owned() + "ie");
            let mute = word.strip_suffix('e').unwrap_or(word);
            let doubled = format!("{word}{}", word.chars().last().unwrap_or('x'));
            for form in [
                word.clone(),
                word.to_lowercase(),
                word.to_uppercase(),
                capitalized(&word.to_lowercase()),
                format!("{stem}s"),
                format!("{word}es"),
                format!("{word}'s"),
                format!("{word}s'"),
                format!("{word}'"),
                format!("{mute}ed"),
                format!("{word}d"),
                format!("{mute}ing"),
                format!("{doubled}ing"),
                format!("{}S", word.to_uppercase()),
                format!("{word}."),
                format!("{word}.{word}"),
                format!("x{word}"),
            ] {
                let (tag, context) = (TAGS[at % TAGS.len()], &contexts[at % contexts.len()]);
                let stress = [None, Some(0.5), Some(2.0), Some(-1.0)][at % 4];
                let want = whole.get_word(&form, tag, stress, Some(context));
                assert_eq!(
                    lexicon.around(&form).get_word(&form, tag, stress, Some(context)),
                    want,
                    "{form} {tag}"
                );
                assert_eq!(lexicon.in_gold(&form), whole.in_gold(&form), "{form}");
                known += usize::from(want.is_some());
            }
        }
        assert!(known > words.len() / step, "{known} of {}", words.len());
    }

    #[test]
    fn a_word_is_read_as_from_the_whole_dictionary() {
        compare(false, 97);
        compare(true, 97);
    }
}
