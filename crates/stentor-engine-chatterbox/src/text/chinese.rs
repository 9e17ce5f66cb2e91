//! Chinese for the multilingual model: words parted by spaces, characters written as the keys that type them
//! (Cangjie).

use super::marked::{Glyph, Marked};
use std::collections::HashMap;

/// Longer entries of a word list are phrases that need no reading of their own.
const LONGEST_WORD: usize = 16;

/// Codes of Chinese characters: the keys that write them, and which of the characters with the same keys it
/// is.
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
            let keys = keys.chars().chain(place.chars()).chain(['.']);
            let tokens = keys.flat_map(|key| ['[', 'c', 'j', '_', key, ']']).collect();
            Some((character, tokens))
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

/// Letters without case (category Lo). The table also has punctuation and the iteration mark, which stay as
/// they are.
fn is_other_letter(c: char) -> bool {
    let number_or_modifier = matches!(c,
        '\u{3005}'..='\u{3007}' | '\u{3021}'..='\u{3029}' | '\u{3031}'..='\u{3035}' | '\u{3038}'..='\u{303b}'
        | '\u{309d}' | '\u{309e}' | '\u{30fc}'..='\u{30fe}');
    c.is_alphabetic() && !c.is_lowercase() && !c.is_uppercase() && !number_or_modifier
}

/// Words of Chinese with how often they are met, to tell where one ends.
pub(super) struct Words {
    /// Logarithms of probabilities.
    known: HashMap<String, f32>,
    unknown: f32,
    /// Characters of the longest.
    longest: usize,
}

impl Words {
    /// Reads a word list: one a line, with its count behind a space; more columns are passed over.
    pub(super) fn parse(list: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(list).map_err(|error| error.to_string())?;
        let mut counts: HashMap<String, f64> = HashMap::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let mut fields = line.split_whitespace();
            let word = fields.next().unwrap_or_default();
            let count = fields.next().and_then(|count| count.parse::<f64>().ok());
            let count = count.filter(|count| count.is_finite() && *count >= 0.0);
            counts.insert(
                word.to_owned(),
                count.ok_or_else(|| format!("`{line}` is not a word and its count"))?,
            );
        }
        let total = counts.values().sum::<f64>().max(1.0);
        let longest = counts.keys().map(|word| word.chars().count()).max().unwrap_or(1).min(LONGEST_WORD);
        let known = counts.into_iter().map(|(word, n)| (word, (n.max(1.0) / total).ln() as f32)).collect();
        Ok(Self { known, unknown: (1.0 / total).ln() as f32, longest })
    }

    /// Puts a space between words, signs and stretches of other scripts.
    pub(super) fn part(&self, text: &mut Marked) {
        let glyphs = std::mem::take(&mut text.glyphs);
        let kind = |glyph: &Glyph| Kind::of(glyph.character);
        for run in glyphs.chunk_by(|l, r| kind(l) == kind(r) && kind(l) != Kind::Sign) {
            let ends = match kind(&run[0]) {
                Kind::Space => continue,
                Kind::Han => self.ends(run),
                Kind::Other | Kind::Sign => vec![run.len()],
            };
            let mut start = 0;
            for end in ends {
                if let Some(last) = text.glyphs.last().map(|glyph: &Glyph| glyph.from.end) {
                    text.glyphs.push(Glyph { character: ' ', from: last..run[start].from.start.max(last) });
                }
                text.glyphs.extend_from_slice(&run[start..end]);
                start = end;
            }
        }
    }

    /// Where the words of the likeliest reading of `run` end.
    fn ends(&self, run: &[Glyph]) -> Vec<usize> {
        let characters: Vec<char> = run.iter().map(|glyph| glyph.character).collect();
        // From each place to the end: how likely, and where the first word ends.
        let mut best = vec![(0.0_f32, characters.len()); characters.len() + 1];
        let mut word = String::new();
        for start in (0..characters.len()).rev() {
            best[start] = (f32::NEG_INFINITY, start + 1);
            word.clear();
            for (length, character) in characters[start..].iter().take(self.longest).enumerate() {
                word.push(*character);
                let single = (length == 0).then_some(self.unknown);
                let Some(likely) = self.known.get(&word).copied().or(single) else { continue };
                let end = start + length + 1;
                if likely + best[end].0 >= best[start].0 {
                    best[start] = (likely + best[end].0, end);
                }
            }
        }
        std::iter::successors(Some(best[0].1), |end| (*end < characters.len()).then(|| best[*end].1))
            .collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Han,
    Space,
    /// Letters and digits of other scripts stay together.
    Other,
    Sign,
}

impl Kind {
    fn of(c: char) -> Self {
        match c {
            '\u{3005}'..='\u{3007}' | '\u{3400}'..='\u{9fff}' | '\u{20000}'..='\u{3ffff}' => Self::Han,
            c if c.is_whitespace() => Self::Space,
            c if c.is_alphanumeric() => Self::Other,
            _ => Self::Sign,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_with_the_same_keys_are_counted() {
        let table = Cangjie::parse(r#"["人\to","入\to","，\tzxab","々\tx"]"#.as_bytes()).unwrap();
        let mut text = Marked::new("入，人々x");
        table.encode(&mut text);
        assert_eq!(text.flatten().0, "[cj_o][cj_1][cj_.]，[cj_o][cj_.]々x");
        assert!(Cangjie::parse(b"[\"x\"]").is_err());
    }

    #[test]
    fn words_are_parted_by_the_likeliest_reading() {
        let words =
            Words::parse("研究 50 v\n研究生 20 n\n生命 40 n\n命 5 n\n起源 30 n\n生 9\n".as_bytes()).unwrap();
        let spoken = "研究生命起源，abc 12我";
        let mut text = Marked::new(spoken);
        words.part(&mut text);
        let (flat, from) = text.flatten();
        assert_eq!(flat, "研究 生命 起源 ， abc 12 我");
        let inner: Vec<_> = from.iter().filter(|range| !range.is_empty()).collect();
        assert_eq!((inner[0], inner[inner.len() - 1]), (&(0..3), &(spoken.len() - 3..spoken.len())));
        assert!(Words::parse("研究 x".as_bytes()).is_err());
    }
}
