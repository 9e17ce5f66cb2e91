//! What the multilingual model's text goes through after its punctuation, whatever its language: lower case,
//! decomposition.

use super::marked::{Glyph, Marked};
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
}
