//! Text to tokens, one front end for each family; every token knows the text that it came from.

use std::{collections::BTreeMap, ops::Range, path::PathBuf};
use stentor_engine::EngineError;
use stentor_types::Language;

/// A text as T3 takes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TextTokens {
    pub ids: Vec<u32>,
    /// Bytes of the spoken text behind each id; empty for start, stop and language tokens.
    pub source: Vec<Range<usize>>,
}

/// A family's tokenizer.
pub enum Tokenizer {}

impl Tokenizer {
    /// Opens the tokenizer of `files`, by role: `tokenizer` (a `tokenizer.json`, English or multilingual by its size) and
    /// optionally `cangjie`; or `vocab`, `merges` and `added_tokens` (Turbo, Nano).
    pub fn load(_files: &BTreeMap<String, PathBuf>) -> Result<Self, String> {
        Err(String::new())
    }

    /// The tokens of one chunk, with start and stop tokens where the family has them.
    pub fn encode(&self, _text: &str, _language: &Language) -> Result<TextTokens, EngineError> {
        match *self {}
    }

    pub fn languages(&self) -> Vec<Language> {
        match *self {}
    }

    /// Cues such as `[laugh]` that a text may hold.
    pub fn tags(&self) -> Vec<String> {
        match *self {}
    }

    /// Entries of the vocabulary, added ones included.
    pub fn vocabulary(&self) -> usize {
        match *self {}
    }
}
