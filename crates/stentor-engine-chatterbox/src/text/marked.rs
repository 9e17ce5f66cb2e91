//! Text whose every character knows which bytes of the spoken text it stands for, through any rewriting.

use std::ops::Range;

/// One character and the bytes of the spoken text behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glyph {
    pub(super) character: char,
    pub(super) from: Range<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Marked {
    pub(super) glyphs: Vec<Glyph>,
}

/// White space as Python sees it; the four separators among the controls count there.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

impl Marked {
    /// Reads a spoken text. Of a `[word](/ipa/)` link only the word is left: this family has no use for
    /// phonemes.
    pub(super) fn new(spoken: &str) -> Self {
        let mut glyphs = Vec::with_capacity(spoken.len());
        let mut copy = |range: Range<usize>| {
            for (at, character) in spoken[range.clone()].char_indices() {
                let start = range.start + at;
                glyphs.push(Glyph { character, from: start..start + character.len_utf8() });
            }
        };
        let mut at = 0;
        while let Some(open) = spoken[at..].find('[').map(|i| at + i) {
            copy(at..open);
            // A bracket that opens no link is a character like others.
            let (visible, end) = link(&spoken[open..]).map_or((0..1, 1), |(close, end)| (1..close, end));
            copy(open + visible.start..open + visible.end);
            at = open + end;
        }
        copy(at..spoken.len());
        Self { glyphs }
    }

    /// A first letter in lower case becomes a capital.
    pub(super) fn capitalise(&mut self) {
        let Some(first) = self.glyphs.first().filter(|glyph| glyph.character.is_lowercase()).cloned() else {
            return;
        };
        let capital =
            first.character.to_uppercase().map(|character| Glyph { character, from: first.from.clone() });
        self.glyphs.splice(0..1, capital);
    }

    /// Runs of white space become one space; there is none at the ends.
    pub(super) fn collapse_spaces(&mut self) {
        let mut out: Vec<Glyph> = Vec::with_capacity(self.glyphs.len());
        for glyph in self.glyphs.drain(..) {
            if !is_space(glyph.character) {
                out.push(glyph);
            } else if let Some(last) = out.last_mut() {
                if last.character == ' ' {
                    last.from.end = glyph.from.end;
                } else {
                    out.push(Glyph { character: ' ', ..glyph });
                }
            }
        }
        self.glyphs = out;
        self.trim_end_spaces();
    }

    pub(super) fn trim_end_spaces(&mut self) {
        while self.glyphs.last().is_some_and(|glyph| glyph.character == ' ') {
            self.glyphs.pop();
        }
    }

    /// White space at both ends goes.
    pub(super) fn trim(&mut self) {
        while self.glyphs.last().is_some_and(|glyph| is_space(glyph.character)) {
            self.glyphs.pop();
        }
        let lead = self.glyphs.iter().take_while(|glyph| is_space(glyph.character)).count();
        self.glyphs.drain(..lead);
    }

    /// Every `old`, from the left and without overlap, becomes `new`, which stands for the same bytes.
    pub(super) fn replace(&mut self, old: &str, new: &str) {
        let old: Vec<char> = old.chars().collect();
        let mut out = Vec::with_capacity(self.glyphs.len());
        let mut at = 0;
        while at < self.glyphs.len() {
            let window = self.glyphs.get(at..at + old.len());
            let found = window.filter(|window| window.iter().map(|g| &g.character).eq(old.iter()));
            if let Some(window) = found {
                let from = window[0].from.start..window[window.len() - 1].from.end;
                out.extend(new.chars().map(|character| Glyph { character, from: from.clone() }));
                at += old.len();
            } else {
                out.push(self.glyphs[at].clone());
                at += 1;
            }
        }
        self.glyphs = out;
    }

    pub(super) fn last(&self) -> Option<char> {
        self.glyphs.last().map(|glyph| glyph.character)
    }

    /// Appends a character that stands for nothing in the spoken text.
    pub(super) fn append(&mut self, character: char) {
        let end = self.glyphs.last().map_or(0, |glyph| glyph.from.end);
        self.glyphs.push(Glyph { character, from: end..end });
    }

    /// The text, and where each of its bytes came from.
    pub(super) fn flatten(&self) -> (String, Vec<Range<usize>>) {
        let mut text = String::with_capacity(self.glyphs.len());
        let mut from = Vec::with_capacity(self.glyphs.len());
        for glyph in &self.glyphs {
            text.push(glyph.character);
            from.extend(std::iter::repeat_n(glyph.from.clone(), glyph.character.len_utf8()));
        }
        (text, from)
    }
}

/// Of a link at the start of `text`: where its word and where itself ends.
pub(crate) fn link(text: &str) -> Option<(usize, usize)> {
    let close = 1 + text.strip_prefix('[')?.find(['[', ']', '\n'])?;
    let ipa = text[close..].strip_prefix("](/").filter(|_| close > 1)?;
    let slash = ipa.find(['/', '\n']).filter(|slash| *slash > 0)?;
    ipa[slash..].starts_with("/)").then_some((close, close + 3 + slash + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_knows_its_bytes() {
        let spoken = "  a [né](/nˈeɪ/)…  b ";
        let mut text = Marked::new(spoken);
        text.collapse_spaces();
        text.replace("…", ", ");
        let (flat, from) = text.flatten();
        assert_eq!(flat, "a né,  b");
        let sources: Vec<&str> = from.iter().map(|range| &spoken[range.clone()]).collect();
        assert_eq!(sources, ["a", " ", "n", "é", "é", "…", "…", "  ", "b"]);
    }

    #[test]
    fn only_whole_links_lose_their_phonemes() {
        for (spoken, read) in [
            ("[a b](/x/) c", "a b c"),
            ("[a](b)", "[a](b)"),
            ("[a](//)", "[a](//)"),
            ("[laugh] [x", "[laugh] [x"),
            ("[[a](/b/)]", "[a]"),
        ] {
            assert_eq!(Marked::new(spoken).flatten().0, read);
        }
    }
}
