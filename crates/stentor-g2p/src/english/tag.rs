//! Part-of-speech tags for stretches of text, by misaki-rs's port of spaCy's tokenizer and tagger.
//!
//! The tokenizer tries large patterns on every chunk, which is most of a sentence's time; chunks that are plain
//! words, perhaps with one mark at the end, or stand in the list of exceptions are cut here instead. The patterns are built when the
//! first other chunk comes.

use misaki_rs::{
    norms::norm_of,
    spacy_tagger::{Tagger, hash_string},
    spacy_tokenizer::SpacyTokenizer,
    spacy_tokenizer_data::EXCEPTIONS,
};
use std::{collections::HashMap, sync::LazyLock};

static TAGGER: LazyLock<Tagger> = LazyLock::new(Tagger::load);
static TOKENIZER: LazyLock<SpacyTokenizer> = LazyLock::new(SpacyTokenizer::new);
static SPECIAL: LazyLock<HashMap<&str, Cut>> = LazyLock::new(|| EXCEPTIONS.iter().copied().collect());

/// Pieces of a chunk, some with the normal form that the exception gives them.
type Cut = &'static [(&'static str, Option<&'static str>)];

/// Chunks beyond this length are no words; the patterns' time grows with the square of the length.
const LONGEST_CHUNK: usize = 120;
/// Tokens tagged together: far more than the tagger's field of view, few enough to bound its memory.
const TOGETHER: usize = 512;

/// Tags with the byte at which each one's token starts.
pub(crate) struct Tags(Vec<(usize, &'static str)>);

/// Reads the tagger and the exceptions.
pub(crate) fn load() {
    LazyLock::force(&TAGGER);
    LazyLock::force(&SPECIAL);
}

impl Tags {
    pub(crate) fn of(text: &str) -> Self {
        let mut tokens: Vec<(String, String, bool)> = Vec::new();
        let mut starts = Vec::new();
        let mut at = 0;
        for chunk in text.split_inclusive(' ') {
            let word = chunk.trim_end();
            let mut start = at;
            for (piece, norm) in pieces(word) {
                starts.push(start);
                start += piece.len();
                let spaced = start == at + word.len();
                tokens.push((piece, norm, spaced));
            }
            at += chunk.len();
        }
        let tags = tokens.chunks(TOGETHER).flat_map(|tokens| TAGGER.tag(tokens));
        Self(starts.into_iter().zip(tags).collect())
    }

    /// The tag of the token that covers byte `at`.
    pub(crate) fn at(&self, at: usize) -> &'static str {
        match self.0.partition_point(|(start, _)| *start <= at) {
            0 => "NN",
            after => self.0[after - 1].1,
        }
    }
}

/// Tokens of a chunk without spaces, with the normal form that the tagger wants.
fn pieces(chunk: &str) -> Vec<(String, String)> {
    let plain = |text: &str| (text.to_owned(), norm_of(text, hash_string));
    if chunk.is_empty() {
        return Vec::new();
    }
    if let Some(word) = simple(chunk) {
        let mut pieces = vec![plain(word)];
        if word.len() < chunk.len() {
            pieces.push(plain(&chunk[word.len()..]));
        }
        return pieces;
    }
    if let Some(cut) = SPECIAL.get(chunk) {
        let piece = |(text, norm): &(&str, Option<&str>)| {
            let norm = norm.map_or_else(|| norm_of(text, hash_string), str::to_owned);
            ((*text).to_owned(), norm)
        };
        return cut.iter().map(piece).collect();
    }
    if chunk.len() > LONGEST_CHUNK {
        return vec![plain(chunk)];
    }
    by_patterns(chunk)
}

fn by_patterns(chunk: &str) -> Vec<(String, String)> {
    TOKENIZER
        .tokenize(chunk)
        .into_iter()
        .map(|token| {
            let norm = token.norm.unwrap_or_else(|| norm_of(&token.text, hash_string));
            (token.text, norm)
        })
        .collect()
}

/// The word of a chunk that is letters and at most one closing mark, none of it a special case.
fn simple(chunk: &str) -> Option<&str> {
    let word = chunk.strip_suffix([',', '.', '!', '?', ';', ':']).unwrap_or(chunk);
    let letters = !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphabetic());
    // "A." and "Ph." are suffix rules of their own; a capital before the full stop is left to the patterns.
    let clear = word.len() == chunk.len() || word.ends_with(|c: char| c.is_ascii_lowercase());
    (letters && clear && !SPECIAL.contains_key(chunk) && !SPECIAL.contains_key(word)).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_are_cut_as_the_patterns_cut_them() {
        for (chunk, _) in EXCEPTIONS {
            if !chunk.is_empty() && !chunk.contains(char::is_whitespace) {
                assert_eq!(pieces(chunk), by_patterns(chunk), "{chunk}");
            }
        }
    }
}
