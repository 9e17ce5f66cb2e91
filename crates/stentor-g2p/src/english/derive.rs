//! Words that are not in the dictionary but are made of words that are: endings, prefixes and compounds.
//!
//! Only endings that leave the stem's stress and vowels alone are here; -ity, -ion, -ic and their like move them,
//! and the letter-to-sound network knows that better than rules do.

use super::lexicon::Lexicon;
use crate::symbols::{PRIMARY, SECONDARY};

/// Phonemes of `word` (lower case letters), or None when it is not made of known words.
pub(super) fn derive(lexicon: &Lexicon, word: &str, tag: &str) -> Option<String> {
    Deriver { lexicon, tag }.word(word, 2)
}

/// Ending, phonemes in American and in British.
const ENDINGS: &[(&str, &str, &str)] = &[
    ("ness", "nəs", "nəs"),
    ("less", "ləs", "ləs"),
    ("ly", "li", "li"),
    ("ful", "fᵊl", "fᵊl"),
    ("ment", "mənt", "mᵊnt"),
    ("ship", "ʃˌɪp", "ʃˌɪp"),
    ("hood", "hˌʊd", "hˌʊd"),
    ("like", "lˌIk", "lˌIk"),
    ("wise", "wˌIz", "wˌIz"),
    ("ward", "wəɹd", "wəd"),
    ("wards", "wəɹdz", "wədz"),
    ("some", "səm", "səm"),
    ("able", "əbᵊl", "əbᵊl"),
    ("ably", "əbli", "əbli"),
    ("ish", "ɪʃ", "ɪʃ"),
    ("er", "əɹ", "ə"),
    ("ers", "əɹz", "əz"),
    ("est", "əst", "ɪst"),
    ("ism", "ˌɪzəm", "ˌɪzᵊm"),
    ("ist", "ɪst", "ɪst"),
    ("ists", "ɪsts", "ɪsts"),
];

/// Prefix, phonemes in American and in British; secondary stress where they carry one.
const PREFIXES: &[(&str, &str, &str)] = &[
    ("un", "ˌʌn", "ʌn"),
    ("re", "ɹˌi", "ɹˌiː"),
    ("non", "nˌɑn", "nˌɒn"),
    ("pre", "pɹˌi", "pɹˌiː"),
    ("mis", "mˌɪs", "mɪs"),
    ("dis", "dˌɪs", "dɪs"),
    ("de", "dˌi", "diː"),
    ("anti", "ˌænTi", "ˌanti"),
    ("semi", "sˌɛmi", "sˌɛmi"),
    ("multi", "mˌʌlti", "mˌʌlti"),
    ("inter", "ˌɪnTəɹ", "ˌɪntə"),
    ("sub", "sˌʌb", "sˌʌb"),
    ("super", "sˌupəɹ", "sˌuːpə"),
    ("hyper", "hˌIpəɹ", "hˌIpə"),
    ("micro", "mˌIkɹO", "mˌIkɹQ"),
    ("macro", "mˌækɹO", "mˌakɹQ"),
    ("nano", "nˌænO", "nˌanQ"),
    ("cyber", "sˌIbəɹ", "sˌIbə"),
    ("crypto", "kɹˌɪptO", "kɹˌɪptQ"),
    ("neuro", "nˌʊɹO", "njˌʊəɹQ"),
    ("electro", "ɪlˌɛktɹO", "ɪlˌɛktɹQ"),
    ("hydro", "hˌIdɹO", "hˌIdɹQ"),
    ("counter", "kˌWnTəɹ", "kˌWntə"),
    ("ultra", "ˌʌltɹə", "ˌʌltɹə"),
    ("auto", "ˌɔTO", "ˌɔːtQ"),
    ("tele", "tˌɛlə", "tˌɛlɪ"),
    ("over", "ˌOvəɹ", "ˌQvə"),
    ("under", "ˌʌndəɹ", "ˌʌndə"),
    ("out", "ˌWt", "ˌWt"),
];

/// A half of a compound has at least this many letters.
const HALF: usize = 3;

struct Deriver<'a> {
    lexicon: &'a Lexicon,
    tag: &'a str,
}

impl Deriver<'_> {
    fn word(&self, word: &str, depth: usize) -> Option<String> {
        if word.len() < 5 || depth == 0 {
            return None;
        }
        self.inflection(word, depth)
            .or_else(|| self.ending(word, depth))
            .or_else(|| self.prefix(word, depth))
            .or_else(|| self.compound(word))
    }

    /// A stem: in the dictionary, or itself derived.
    fn stem(&self, word: &str, depth: usize) -> Option<String> {
        if word.len() < HALF {
            return None;
        }
        self.lexicon.stem(word, self.tag).or_else(|| self.word(word, depth - 1))
    }

    /// -s, -ed, -ing on a derived stem, or after a doubled consonant, where the dictionary's own rules stop.
    fn inflection(&self, word: &str, depth: usize) -> Option<String> {
        if let Some(stem) = word.strip_suffix("ing") {
            return self.verb(stem, depth).map(|stem| self.lexicon.with_ing(&stem));
        }
        if let Some(stem) = word.strip_suffix("ed") {
            return self.verb(stem, depth).map(|stem| self.lexicon.with_ed(&stem));
        }
        let stem = word.strip_suffix('s').filter(|stem| !stem.ends_with(['s', 'u', 'i']))?;
        let ies = stem.strip_suffix("ie").and_then(|stem| self.stem(&format!("{stem}y"), depth));
        let es = || stem.strip_suffix('e').and_then(|stem| self.stem(stem, depth));
        ies.or_else(|| self.stem(stem, depth)).or_else(es).map(|stem| self.lexicon.with_s(&stem))
    }

    /// "nett" of "netting": as it is, without the doubling, with the silent e.
    fn verb(&self, stem: &str, depth: usize) -> Option<String> {
        let single = undoubled(stem).and_then(|single| self.stem(single, depth));
        single.or_else(|| self.stem(&format!("{stem}e"), depth)).or_else(|| self.stem(stem, depth))
    }

    fn ending(&self, word: &str, depth: usize) -> Option<String> {
        for (ending, american, british) in ENDINGS {
            let Some(stem) = word.strip_suffix(ending).filter(|stem| stem.len() >= HALF) else { continue };
            let vowel = ending.starts_with(['a', 'e', 'i']);
            let from_y = stem.strip_suffix('i').and_then(|stem| self.stem(&format!("{stem}y"), depth));
            let found = from_y
                .or_else(|| if vowel { self.verb(stem, depth) } else { self.stem(stem, depth) });
            if let Some(found) = found {
                return Some(self.with_ending(&found, ending, if self.lexicon.british { british } else { american }));
            }
        }
        None
    }

    fn with_ending(&self, stem: &str, ending: &str, phonemes: &str) -> String {
        let vowel = phonemes.trim_start_matches([PRIMARY, SECONDARY]).starts_with(crate::symbols::is_vowel);
        // A British r that the stem's end hides is heard again before a vowel.
        let linking = vowel && self.lexicon.british && (stem.ends_with('ə') || stem.ends_with("ɔː") || stem.ends_with("ɑː"));
        // "simply", not "simple-ly"
        let stem = if ending == "ly" { stem.strip_suffix("ᵊl").or(stem.strip_suffix('l')).unwrap_or(stem) } else { stem };
        // "water-er" flaps already; a plain t between vowels does so only now.
        let flap = vowel && !self.lexicon.british && flaps(stem);
        let stem = if flap { format!("{}T", &stem[..stem.len() - 1]) } else { stem.to_owned() };
        format!("{stem}{}{phonemes}", if linking { "ɹ" } else { "" })
    }

    fn prefix(&self, word: &str, depth: usize) -> Option<String> {
        PREFIXES.iter().find_map(|(prefix, american, british)| {
            let rest = word.strip_prefix(prefix).filter(|rest| rest.len() >= 4)?;
            let stem = self.stem(rest, depth)?;
            Some(format!("{}{stem}", if self.lexicon.british { british } else { american }))
        })
    }

    /// Two dictionary words; the split whose shorter half is longest. The first half keeps the main stress.
    fn compound(&self, word: &str) -> Option<String> {
        let mut best: Option<(usize, String, String)> = None;
        for at in HALF..=word.len().saturating_sub(HALF) {
            let (head, tail) = word.split_at(at);
            let shorter = head.len().min(tail.len());
            if best.as_ref().is_some_and(|(known, ..)| *known >= shorter) || !has_vowel(head) || !has_vowel(tail) {
                continue;
            }
            if !self.lexicon.in_gold(head) || !self.tail_is_known(tail) {
                continue;
            }
            if let (Some(first), Some(second)) = (self.lexicon.stem(head, "NN"), self.tail(tail)) {
                best = Some((shorter, first, second));
            }
        }
        let (shorter, first, second) = best?;
        (shorter >= 4 || word.len() >= 8 || shorter == 3 && word.len() >= 7)
            .then(|| first + &self.lexicon.stressed(&second, -0.5))
    }

    fn tail_is_known(&self, tail: &str) -> bool {
        self.lexicon.in_gold(tail) || tail.strip_suffix('s').is_some_and(|tail| self.lexicon.in_gold(tail))
    }

    fn tail(&self, tail: &str) -> Option<String> {
        self.lexicon.stem(tail, "NN").or_else(|| {
            let stem = self.lexicon.stem(tail.strip_suffix('s').filter(|stem| stem.len() >= HALF)?, "NN")?;
            Some(self.lexicon.with_s(&stem))
        })
    }
}

fn undoubled(stem: &str) -> Option<&str> {
    let bytes = stem.as_bytes();
    let [.., a, b] = bytes else { return None };
    (a == b && b"bdfgklmnprstvz".contains(b)).then(|| &stem[..stem.len() - 1])
}

fn has_vowel(word: &str) -> bool {
    word.contains(['a', 'e', 'i', 'o', 'u', 'y'])
}

/// Whether a final t comes after a vowel, and so turns to a flap before another.
fn flaps(phonemes: &str) -> bool {
    let mut end = phonemes.chars().rev();
    end.next() == Some('t') && end.next().is_some_and(|c| crate::symbols::is_vowel(c) || c == 'ɹ')
}
