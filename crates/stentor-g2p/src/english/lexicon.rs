//! The misaki dictionary of one accent, and the context that some of its entries ask for.

use crate::symbols::{self, PRIMARY, SECONDARY};
use misaki_rs::{
    Language,
    lexicon::{Lexicon as Misaki, PhonemeEntry, TokenContext},
};

pub(crate) struct Lexicon {
    misaki: Misaki,
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
    /// Parses the embedded dictionaries; a few tenths of a second.
    pub(crate) fn load(british: bool) -> Self {
        let language = if british { Language::EnglishGB } else { Language::EnglishUS };
        Self { misaki: Misaki::new(language), british }
    }

    /// Whether the word itself, in this or its first-letter-changed case, has an entry.
    pub(crate) fn has(&self, word: &str) -> bool {
        self.in_gold(word) || self.silver(word).is_some()
    }

    /// Whether the hand-checked dictionary has the word.
    pub(crate) fn in_gold(&self, word: &str) -> bool {
        self.misaki.in_gold(word)
    }

    fn silver(&self, word: &str) -> Option<&PhonemeEntry> {
        let entries = &self.misaki.silvers;
        entries.get(word).or_else(|| {
            let mut chars = word.chars();
            let first = chars.next().filter(|c| c.is_ascii_uppercase() && word.len() > 1)?;
            entries.get(&(first.to_ascii_lowercase().to_string() + chars.as_str()))
        })
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
        let (phonemes, _) = self.misaki.get_word(word, tag, stress, Some(&context.0))?;
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
    pub(crate) fn words(&self) -> impl Iterator<Item = &String> {
        let silver = self.misaki.silvers.keys().filter(|word| !self.misaki.golds.contains_key(*word));
        self.misaki.golds.keys().chain(silver)
    }

    /// The plain entry of a word.
    #[cfg(test)]
    pub(crate) fn entry(&self, word: &str) -> Option<String> {
        match self.misaki.golds.get(word).or_else(|| self.misaki.silvers.get(word))? {
            PhonemeEntry::Simple(phonemes) => Some(phonemes.clone()),
            PhonemeEntry::Tagged(map) => map.get("DEFAULT").cloned().flatten(),
        }
    }

    /// Names of the letters, the last one stressed most.
    pub(crate) fn spelled(&self, letters: &str) -> String {
        let names: String = letters
            .chars()
            .filter_map(|c| match self.misaki.golds.get(&c.to_ascii_uppercase().to_string()) {
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
        self.misaki.apply_stress(phonemes, Some(level))
    }

    pub(crate) fn with_s(&self, stem: &str) -> String {
        self.misaki.append_s(stem)
    }

    pub(crate) fn with_ed(&self, stem: &str) -> String {
        self.misaki.append_ed(stem)
    }
}
