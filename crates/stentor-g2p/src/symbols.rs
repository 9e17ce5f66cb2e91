//! The phoneme inventory: which characters the models know, what each is, and how foreign notations fold into it.
//!
//! The inventory is that of Kokoro's `config.json` (`vocab`); misaki writes a part of it, espeak-ng and people
//! who write `/ipa/` links write IPA that has to be folded.

/// Every character of Kokoro's vocabulary.
pub const VOCABULARY: &str = concat!(
    ";:,.!?—…\"()“” ",
    "\u{303}ʣʥʦʨᵝ\u{ab67}AIOQSTWYᵊabcdefhijklmnopqrstuvwxyz",
    "ɑɐɒæβɔɕçɖðʤəɚɛɜɟɡɥɨɪʝɯɰŋɳɲɴøɸθœɹɾɻʁɽʂʃʈʧʊʋʌɣɤχʎʒʔˈˌːʰʲ↓→↗↘ᵻ",
);

/// Symbols that stand for a vowel or diphthong in English.
pub(crate) const VOWELS: &str = "AIOQWYaeiouæɐɑɒɔəɚɛɜɪʊʌᵊᵻ";
pub(crate) const PRIMARY: char = 'ˈ';
pub(crate) const SECONDARY: char = 'ˌ';

pub(crate) fn is_vowel(c: char) -> bool {
    VOWELS.contains(c)
}

pub(crate) fn is_known(c: char) -> bool {
    VOCABULARY.contains(c)
}

/// IPA as dictionaries and people write it, longest first; applied to links after tie bars are removed.
const WRITTEN: &[(&str, &str)] = &[
    ("ɜːɹ", "ɜɹ"),
    ("ɜːr", "ɜɹ"),
    ("ɝː", "ɜɹ"),
    ("aɪ", "I"),
    ("aʊ", "W"),
    ("eɪ", "A"),
    ("oʊ", "O"),
    ("əʊ", "Q"),
    ("ɔɪ", "Y"),
    ("dʒ", "ʤ"),
    ("tʃ", "ʧ"),
    ("l̩", "ᵊl"),
    ("n̩", "ᵊn"),
    ("ɝ", "ɜɹ"),
    ("ɚ", "əɹ"),
    ("ɫ", "l"),
    ("g", "ɡ"),
    ("r", "ɹ"),
    ("'", "ˈ"),
    ("’", "ˈ"),
    ("ʼ", "ˈ"),
    (":", "ː"),
    ("ʍ", "w"),
    ("ħ", "h"),
    ("ɦ", "h"),
    ("ɬ", "l"),
    ("ʀ", "ʁ"),
    ("ɱ", "m"),
    ("ɘ", "ə"),
    ("ɵ", "ə"),
    ("ɞ", "ɜ"),
    ("ʉ", "u"),
    ("ʏ", "y"),
    ("ɶ", "œ"),
    ("ɭ", "l"),
    ("ʐ", "ʒ"),
    ("ʑ", "ʒ"),
    ("ⱱ", "v"),
    ("ʙ", "b"),
    ("ɢ", "ɡ"),
    ("ʟ", "l"),
    ("ɓ", "b"),
    ("ɗ", "d"),
    ("ɠ", "ɡ"),
    ("ʷ", "w"),
    ("ã", "a\u{303}"),
    ("õ", "o\u{303}"),
    ("ẽ", "e\u{303}"),
    ("ĩ", "i\u{303}"),
    ("ũ", "u\u{303}"),
];

/// espeak-ng's `--ipa --tie=^` output, as misaki folds it for languages other than English.
const ESPEAK: &[(&str, &str)] = &[
    ("a^ɪ", "I"),
    ("a^ʊ", "W"),
    ("d^z", "ʣ"),
    ("d^ʒ", "ʤ"),
    ("e^ɪ", "A"),
    ("o^ʊ", "O"),
    ("ə^ʊ", "Q"),
    ("s^s", "S"),
    ("t^s", "ʦ"),
    ("t^ʃ", "ʧ"),
    ("ɔ^ɪ", "Y"),
    ("g", "ɡ"),
    ("ã", "a\u{303}"),
    ("õ", "o\u{303}"),
    ("ẽ", "e\u{303}"),
    ("ĩ", "i\u{303}"),
    ("ũ", "u\u{303}"),
    ("ɬ", "l"),
    ("ɭ", "l"),
    ("ɫ", "l"),
    ("ɦ", "h"),
    ("ʉ", "u"),
    ("ɵ", "ə"),
    ("ʏ", "y"),
    ("ʐ", "ʒ"),
    ("ʑ", "ʒ"),
    ("ʀ", "ʁ"),
    ("ɱ", "m"),
];

/// Phonemes of a link. Valid symbols stay, obvious IPA is folded, anything else is dropped. IPA marks the stressed
/// syllable, the models' dictionaries its vowel: marks move there.
pub(crate) fn from_written(ipa: &str) -> String {
    let untied: String = ipa.chars().filter(|c| !matches!(c, '\u{361}' | '\u{35c}' | '^')).collect();
    stress_at_vowels(&substitute(&untied, WRITTEN))
}

/// Moves each mark of stress over the consonants behind it.
fn stress_at_vowels(phonemes: &str) -> String {
    let is_nucleus = |c: char| is_vowel(c) || "yøœɨɯɤʉ".contains(c);
    let mut out = String::with_capacity(phonemes.len());
    // A mark that waits for its vowel, and where it stood.
    let mut waiting: Option<(char, usize)> = None;
    for c in phonemes.chars() {
        if matches!(c, PRIMARY | SECONDARY) || !c.is_alphabetic() && c != 'ː' {
            // No vowel came.
            if let Some((mark, at)) = waiting.take() {
                out.insert(at, mark);
            }
        }
        if matches!(c, PRIMARY | SECONDARY) {
            waiting = Some((c, out.len()));
            continue;
        }
        if let Some((mark, _)) = waiting.take_if(|_| is_nucleus(c)) {
            out.push(mark);
        }
        out.push(c);
    }
    if let Some((mark, at)) = waiting {
        out.insert(at, mark);
    }
    out
}

/// Phonemes of one word from espeak-ng's IPA.
pub(crate) fn from_espeak(ipa: &str) -> String {
    substitute(ipa, ESPEAK)
}

fn substitute(text: &str, table: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some((from, to)) = table.iter().find(|(from, _)| rest.starts_with(from)) {
            out.push_str(to);
            rest = &rest[from.len()..];
        } else {
            if is_known(c) {
                out.push(c);
            }
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// What Kokoro expects of a dictionary's American flap and glottal stop.
pub(crate) fn from_dictionary(phonemes: &str) -> String {
    phonemes
        .chars()
        .filter_map(|c| match c {
            'ɾ' => Some('T'),
            'ʔ' => Some('t'),
            c => is_known(c).then_some(c),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_ipa_is_folded_and_valid_symbols_stay() {
        for (ipa, want) in [
            ("kˈOkəɹO", "kˈOkəɹO"),
            ("ˈkoʊkəroʊ", "kˈOkəɹO"),
            ("ˈstrɛŋθ təˈmɑːtoʊ ˌɪnˈtɛns", "stɹˈɛŋθ təmˈɑːtO ˌɪntˈɛns"),
            ("ˈst ˈa ˈ", "ˈst ˈa ˈ"),
            ("d͡ʒeɪn", "ʤAn"),
            ("tʃaɪld", "ʧIld"),
            ("bɔɪ, haʊs", "bY, hWs"),
            ("nɝːs", "nɜɹs"),
            ("'go:l", "ɡˈoːl"),
            ("ni中hW", "nihW"),
        ] {
            assert_eq!(from_written(ipa), want, "{ipa}");
        }
    }

    #[test]
    fn espeak_ties_and_hyphens_disappear() {
        assert_eq!(from_espeak("bˈe^ɪŋ"), "bˈAŋ");
        assert_eq!(from_espeak("lə-"), "lə");
        assert_eq!(from_espeak("d^ʒˈiæ"), "ʤˈiæ");
    }
}
