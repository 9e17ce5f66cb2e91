//! What the multilingual model's text goes through after its punctuation: lower case, decomposition, and the steps of single
//! languages.

use super::marked::{Glyph, Marked};
use std::collections::HashMap;
use unicode_normalization::char::{canonical_combining_class, decompose_compatible};

/// The reference's languages.
pub(super) const LANGUAGES: [&str; 23] = [
    "ar", "da", "de", "el", "en", "es", "fi", "fr", "he", "hi", "it", "ja", "ko", "ms", "nl", "no", "pl",
    "pt", "ru", "sv", "sw", "tr", "zh",
];

/// Small letters; the sigma at a word's end gets its own form.
pub(super) fn lower(text: &mut Marked) {
    let (flat, _) = text.flatten();
    let mut lowered = flat.to_lowercase().chars().collect::<Vec<_>>().into_iter();
    let mut out = Vec::with_capacity(text.glyphs.len());
    for glyph in text.glyphs.drain(..) {
        // Where a letter stands decides which sigma it is, but never how many characters.
        for character in lowered.by_ref().take(glyph.character.to_lowercase().count()) {
            out.push(Glyph { character, from: glyph.from.clone() });
        }
    }
    text.glyphs = out;
}

/// Compatibility decomposition (NFKD): accents apart, Hangul as Jamo, marks in canonical order.
pub(super) fn decompose(text: &mut Marked) {
    let mut out: Vec<Glyph> = Vec::with_capacity(text.glyphs.len());
    for glyph in text.glyphs.drain(..) {
        decompose_compatible(glyph.character, |character| {
            out.push(Glyph { character, from: glyph.from.clone() });
        });
    }
    let class = |glyph: &Glyph| canonical_combining_class(glyph.character);
    for marks in out.chunk_by_mut(|left, right| class(left) != 0 && class(right) != 0) {
        marks.sort_by_key(class);
    }
    text.glyphs = out;
}

/// Codes of Chinese characters: the keys that write them, and which of the characters with the same keys it is.
pub(super) struct Cangjie(HashMap<char, String>);

impl Cangjie {
    /// Reads `Cangjie5_TC.json`: a list of `"character<tab>keys"`.
    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        let entries: Vec<String> = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let mut keys_of: HashMap<&str, &str> = HashMap::new();
        let mut written: HashMap<&str, Vec<&str>> = HashMap::new();
        for entry in &entries {
            let mut fields = entry.split('\t');
            let (Some(word), Some(keys)) = (fields.next(), fields.next()) else {
                return Err(format!("`{entry}` is not a character and its keys"));
            };
            keys_of.insert(word, keys);
            written.entry(keys).or_default().push(word);
        }
        let code = |(word, keys): (&str, &str)| {
            let mut characters = word.chars();
            let character = characters.next().filter(|_| characters.next().is_none())?;
            let place = written.get(keys)?.iter().position(|other| *other == word)?;
            let place = if place > 0 { place.to_string() } else { String::new() };
            let tokens: String = keys.chars().chain(place.chars()).map(|key| format!("[cj_{key}]")).collect();
            Some((character, tokens + "[cj_.]"))
        };
        Ok(Self(keys_of.into_iter().filter_map(code).collect()))
    }

    /// Characters that have a code are written in it; all others stay.
    pub(super) fn encode(&self, text: &mut Marked) {
        let mut out = Vec::with_capacity(text.glyphs.len() * 4);
        for glyph in text.glyphs.drain(..) {
            match self.0.get(&glyph.character).filter(|_| is_other_letter(glyph.character)) {
                Some(code) => {
                    let keys = code.chars();
                    out.extend(keys.map(|character| Glyph { character, from: glyph.from.clone() }));
                }
                None => out.push(glyph),
            }
        }
        text.glyphs = out;
    }
}

/// Letters without case (category Lo). The table also has punctuation and the iteration mark, which stay as they are.
fn is_other_letter(c: char) -> bool {
    let number_or_modifier = matches!(c,
        '\u{3005}'..='\u{3007}' | '\u{3021}'..='\u{3029}' | '\u{3031}'..='\u{3035}' | '\u{3038}'..='\u{303b}'
        | '\u{309d}' | '\u{309e}' | '\u{30fc}'..='\u{30fe}');
    c.is_alphabetic() && !c.is_lowercase() && !c.is_uppercase() && !number_or_modifier
}

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_normalization::UnicodeNormalization;

    #[test]
    fn decomposition_is_that_of_the_whole_string() {
        for text in ["a\u{323}\u{302}e\u{302}\u{323}", "값 ﬁ ½ ｶﾞ", "é\u{327}", "\u{301}\u{327}x"] {
            let mut marked = Marked::new(text);
            decompose(&mut marked);
            assert_eq!(marked.flatten().0, text.nfkd().collect::<String>());
        }
    }

    #[test]
    fn small_letters_are_those_of_the_whole_string() {
        for text in ["ΟΔΟΣ ΣΑΣ", "İIß", "ÉCOLE"] {
            let mut marked = Marked::new(text);
            lower(&mut marked);
            let (flat, from) = marked.flatten();
            assert_eq!(flat, text.to_lowercase());
            assert_eq!(from.last().map(|range| range.end), Some(text.len()));
        }
    }

    #[test]
    fn characters_with_the_same_keys_are_counted() {
        let table = Cangjie::parse(r#"["人\to","入\to","，\tzxab","々\tx"]"#.as_bytes()).unwrap();
        let mut text = Marked::new("入，人々x");
        table.encode(&mut text);
        assert_eq!(text.flatten().0, "[cj_o][cj_1][cj_.]，[cj_o][cj_.]々x");
        assert!(Cangjie::parse(b"[\"x\"]").is_err());
    }
}
