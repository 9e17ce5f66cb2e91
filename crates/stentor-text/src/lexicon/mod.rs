//! A lexicon: words and phrases that are read in another way than the rules and dictionaries would have it.
//!
//! Entries are checked once, when they are made; after that nothing about them can fail.

mod find;

pub(crate) use find::Finder;

use find::{Trie, lower, spelling};
use serde::Deserialize;
use stentor_types::Language;
use unicode_normalization::UnicodeNormalization as _;

/// Longest word or phrase, in bytes.
pub const MAX_WORD_BYTES: usize = 200;
/// Longest replacement, in bytes.
pub const MAX_REPLACE_BYTES: usize = 400;
/// Longest transcription, in bytes.
pub const MAX_IPA_BYTES: usize = 200;

/// An entry as users write it, in TOML or JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawEntry {
    pub word: String,
    #[serde(default)]
    pub case: Case,
    #[serde(default)]
    pub language: Option<String>,
    #[serde(default)]
    pub replace: Option<String>,
    #[serde(default)]
    pub ipa: Option<String>,
}

/// Which spellings of a word are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Case {
    /// Small and capital letters are the same.
    #[default]
    Any,
    /// Only as it is written here.
    Exact,
}

impl Case {
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Exact => "exact",
        }
    }
}

/// A checked entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    word: String,
    case: Case,
    language: Option<String>,
    replace: Option<String>,
    ipa: Option<String>,
}

/// What is wrong with an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    #[error("`word` must have a letter or a digit")]
    NoWord,
    #[error("`{field}` has more than {limit} bytes")]
    TooLong { field: &'static str, limit: usize },
    #[error("`{field}` holds {what}")]
    Holds { field: &'static str, what: &'static str },
    #[error("it needs `replace` or `ipa`, or both")]
    NoReading,
    #[error("`ipa` has no phoneme")]
    NoPhoneme,
    #[error("`language` is `{0}`, which is no tag such as `en` or `en-gb`")]
    Language(String),
    #[error("`{word}` stands there twice for the same case and language; the other one is entry {first}")]
    Twice { word: String, first: usize },
}

impl Entry {
    /// The word or phrase, with single spaces.
    pub fn word(&self) -> &str {
        &self.word
    }
    pub fn case(&self) -> Case {
        self.case
    }
    /// A lower-case tag; `en` means every English. `None` means every language.
    pub fn language(&self) -> Option<&str> {
        self.language.as_deref()
    }
    /// Text that is read instead; where there are phonemes too, by models that can't take those.
    pub fn replace(&self) -> Option<&str> {
        self.replace.as_deref()
    }
    pub fn ipa(&self) -> Option<&str> {
        self.ipa.as_deref()
    }

    fn speaks(&self, language: &Language) -> bool {
        self.language.as_deref().is_none_or(|tag| {
            let rest = language.as_str().strip_prefix(tag);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        })
    }

    /// What `found`, a place in a text, becomes: text, or a `[word](/ipa/)` link.
    fn reading(&self, found: &str) -> String {
        let visible = self.replace.clone().unwrap_or_else(|| single_spaces(found));
        match &self.ipa {
            Some(ipa) => format!("[{visible}](/{ipa}/)"),
            None => visible,
        }
    }
}

impl TryFrom<RawEntry> for Entry {
    type Error = EntryError;

    fn try_from(raw: RawEntry) -> Result<Self, EntryError> {
        let filled =
            |text: Option<String>| text.map(|text| single_spaces(&text)).filter(|text| !text.is_empty());
        let word: String = single_spaces(&raw.word).nfc().collect();
        let (replace, ipa) = (filled(raw.replace), filled(raw.ipa).map(bare));
        check("word", &word, MAX_WORD_BYTES)?;
        if !word.contains(char::is_alphanumeric) {
            return Err(EntryError::NoWord);
        }
        if replace.is_none() && ipa.is_none() {
            return Err(EntryError::NoReading);
        }
        if let Some(replace) = &replace {
            check("replace", replace, MAX_REPLACE_BYTES)?;
        }
        if let Some(ipa) = &ipa {
            check("ipa", ipa, MAX_IPA_BYTES)?;
            check_link(&word, replace.as_deref(), ipa)?;
        }
        let language = raw.language.map(|tag| tag.trim().to_ascii_lowercase().replace('_', "-"));
        if let Some(tag) = language.as_ref().filter(|tag| tag.parse::<Language>().is_err()) {
            return Err(EntryError::Language(tag.clone()));
        }
        Ok(Self { word, case: raw.case, language, replace, ipa })
    }
}

/// IPA may stand between slashes, as dictionaries print it.
fn bare(ipa: String) -> String {
    match ipa.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
        Some(inner) => inner.trim().to_owned(),
        None => ipa,
    }
}

fn check(field: &'static str, text: &str, limit: usize) -> Result<(), EntryError> {
    if text.len() > limit {
        return Err(EntryError::TooLong { field, limit });
    }
    if text.chars().any(char::is_control) {
        return Err(EntryError::Holds { field, what: "a control character" });
    }
    Ok(())
}

/// What stands in a link must not end it.
fn check_link(word: &str, replace: Option<&str>, ipa: &str) -> Result<(), EntryError> {
    let visible = replace.map_or(("word", word), |replace| ("replace", replace));
    if visible.1.contains(['[', ']']) {
        return Err(EntryError::Holds {
            field: visible.0,
            what: "a bracket, which an entry with `ipa` can't",
        });
    }
    if visible.1.len() > MAX_WORD_BYTES {
        return Err(EntryError::TooLong { field: visible.0, limit: MAX_WORD_BYTES });
    }
    if ipa.contains(['/', '[', ']', '(', ')']) {
        return Err(EntryError::Holds { field: "ipa", what: "a slash or a bracket" });
    }
    if has_phoneme(ipa) { Ok(()) } else { Err(EntryError::NoPhoneme) }
}

/// Something in `ipa` is a sound rather than a mark of stress or length.
pub(crate) fn has_phoneme(ipa: &str) -> bool {
    ipa.contains(|c: char| c.is_alphabetic() && !matches!(c, 'ˈ' | 'ˌ' | 'ː' | 'ˑ' | 'ʰ' | 'ʲ' | 'ʷ'))
}

pub(crate) fn single_spaces(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Checked entries, ready to be looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lexicon {
    entries: Vec<Entry>,
    trie: Trie,
}

impl Lexicon {
    /// Fails, with the index of the entry at fault, when two entries mean the same word.
    pub fn new(entries: Vec<Entry>) -> Result<Self, (usize, EntryError)> {
        let mut trie = Trie::default();
        for (index, entry) in entries.iter().enumerate() {
            let same = |other: &usize| {
                let other = &entries[*other];
                let spelled = match entry.case {
                    Case::Any => lower(&other.word) == lower(&entry.word),
                    Case::Exact => spelling(&other.word) == spelling(&entry.word),
                };
                spelled && other.case == entry.case && other.language == entry.language
            };
            let place = trie.place(&entry.word);
            if let Some(first) = place.iter().find(|other| same(other)) {
                return Err((index, EntryError::Twice { word: entry.word.clone(), first: first + 1 }));
            }
            place.push(index);
        }
        Ok(Self { entries, trie })
    }

    /// Reads entries as users write them; an error names the entry at fault by its index.
    pub fn from_raw(raw: impl IntoIterator<Item = RawEntry>) -> Result<Self, (usize, EntryError)> {
        let entries = raw.into_iter().enumerate().map(|(i, raw)| Entry::try_from(raw).map_err(|e| (i, e)));
        Self::new(entries.collect::<Result<_, _>>()?)
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(word: &str) -> RawEntry {
        RawEntry { word: word.to_owned(), replace: Some("x".to_owned()), ..RawEntry::default() }
    }

    fn wrong(change: impl FnOnce(&mut RawEntry)) -> EntryError {
        let mut entry = raw("SQL");
        change(&mut entry);
        Entry::try_from(entry).expect_err("a bad entry")
    }

    #[test]
    fn each_mistake_in_an_entry_is_named() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(wrong(|e| e.word = " ! ".into()), EntryError::NoWord);
        assert_eq!(wrong(|e| e.replace = some(" ")), EntryError::NoReading);
        assert_eq!(wrong(|e| e.ipa = some("ˈˌ")), EntryError::NoPhoneme);
        assert_eq!(wrong(|e| e.language = some("english!")), EntryError::Language("english!".into()));
        for (text, field) in
            [(wrong(|e| e.word = "a\u{7}".into()), "word"), (wrong(|e| e.ipa = some("a/b")), "ipa")]
        {
            assert!(matches!(text, EntryError::Holds { field: at, .. } if at == field), "{text}");
        }
        let long = wrong(|e| e.replace = Some("a".repeat(401)));
        assert_eq!(long, EntryError::TooLong { field: "replace", limit: 400 });
    }

    #[test]
    fn the_same_word_twice_is_a_mistake_unless_case_or_language_differ() {
        let french = RawEntry { language: Some("fr".into()), ..raw("sql") };
        let exact = RawEntry { case: Case::Exact, ..raw("SQL") };
        let lexicon = Lexicon::from_raw([raw("SQL"), french, exact]).expect("three entries");
        assert_eq!(lexicon.entries().len(), 3);
        let twice = Lexicon::from_raw([raw("a"), raw("Sql"), raw("  SQL ")]).expect_err("a double");
        assert_eq!(twice, (2, EntryError::Twice { word: "SQL".into(), first: 2 }));
    }

    #[test]
    fn ipa_may_stand_between_slashes() {
        let entry =
            Entry::try_from(RawEntry { ipa: Some("/ˈsiːkwəl/".into()), replace: None, ..raw("SQL") });
        assert_eq!(entry.expect("an entry").reading("sql"), "[sql](/ˈsiːkwəl/)");
    }
}
