//! Finds entries in a text: the longest one that starts at a place and ends where a word ends.

use super::{Case, Entry, Lexicon, single_spaces};
use std::collections::HashMap;
use stentor_types::Language;
use unicode_normalization::{
    UnicodeNormalization as _,
    char::{decompose_canonical, is_combining_mark},
};

/// Folded words, character by character.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Trie {
    /// Node zero is the root.
    steps: HashMap<(u32, char), u32>,
    ends: HashMap<u32, Vec<usize>>,
    nodes: u32,
}

impl Trie {
    /// The entries that end where `word` does.
    pub(super) fn place(&mut self, word: &str) -> &mut Vec<usize> {
        let mut node = 0;
        for c in word.chars() {
            fold(c, |c| {
                let fresh = self.nodes + 1;
                node = *self.steps.entry((node, c)).or_insert(fresh);
                self.nodes = self.nodes.max(node);
            });
        }
        self.ends.entry(node).or_default()
    }
}

/// What a character is looked for as: letters of one word may be small or capital, composed or not, and have any apostrophe.
fn fold(c: char, mut put: impl FnMut(char)) {
    let mut letter = |c: char| match c {
        'ß' => ['s', 's'].into_iter().for_each(&mut put),
        'ς' => put('σ'),
        'ſ' => put('s'),
        _ => put(c),
    };
    if c.is_whitespace() {
        letter(' ');
    } else if is_apostrophe(c) {
        letter('\'');
    } else if c.is_ascii() {
        letter(c.to_ascii_lowercase());
    } else {
        decompose_canonical(c, |c| c.to_lowercase().for_each(&mut letter));
    }
}

/// A word as it is compared letter by letter: what can't be told apart by looking at it is the same.
pub(super) fn spelling(word: &str) -> String {
    single_spaces(word).chars().map(|c| if is_apostrophe(c) { '\'' } else { c }).nfc().collect()
}

/// The same without regard to case.
pub(super) fn lower(word: &str) -> String {
    spelling(word).to_lowercase()
}

/// Entries of several lexicons that hold for one language; of two that fit equally the first lexicon's counts.
pub(crate) struct Finder<'a> {
    lexicons: &'a [&'a Lexicon],
    language: &'a Language,
}

/// An entry at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) end: usize,
    pub(crate) lexicon: usize,
    pub(crate) entry: usize,
    pub(crate) reading: String,
}

impl<'a> Finder<'a> {
    pub(crate) fn new(lexicons: &'a [&'a Lexicon], language: &'a Language) -> Self {
        Self { lexicons, language }
    }

    /// Nothing can be found.
    pub(crate) fn is_empty(&self) -> bool {
        self.lexicons.iter().all(|lexicon| lexicon.is_empty())
    }

    /// The longest entry that starts at `pos`.
    pub(crate) fn at(&self, text: &str, pos: usize) -> Option<Found> {
        if !starts_word(text, pos) {
            return None;
        }
        let mut best: Option<Found> = None;
        for (index, lexicon) in self.lexicons.iter().enumerate() {
            let longer = |end: usize| best.as_ref().is_none_or(|best| end > best.end);
            if let Some((end, entry)) = self.longest(lexicon, text, pos).filter(|(end, _)| longer(*end)) {
                let reading = lexicon.entries[entry].reading(&text[pos..end]);
                best = Some(Found { end, lexicon: index, entry, reading });
            }
        }
        best
    }

    fn longest(&self, lexicon: &Lexicon, text: &str, pos: usize) -> Option<(usize, usize)> {
        let trie = &lexicon.trie;
        let mut node = 0;
        let mut best = None;
        let mut spaced = false;
        for (i, c) in text[pos..].char_indices() {
            if c.is_whitespace() {
                // Any run of spaces is one; a blank line parts more than words.
                if spaced {
                    continue;
                }
                spaced = true;
                let gap = &text[pos + i..];
                let gap = &gap[..gap.len() - gap.trim_start().len()];
                if gap.len() > 64 || gap.bytes().filter(|b| *b == b'\n').count() > 1 {
                    break;
                }
            } else {
                spaced = false;
            }
            let mut next = Some(node);
            fold(c, |c| next = next.and_then(|node| trie.steps.get(&(node, c)).copied()));
            let Some(next) = next else { break };
            node = next;
            let end = pos + i + c.len_utf8();
            let Some(entries) = trie.ends.get(&node).filter(|_| ends_word(text, end)) else { continue };
            best = self.choose(lexicon, entries, &text[pos..end]).map(|entry| (end, entry)).or(best);
        }
        best
    }

    /// Of entries for the same letters: who asks for exact case first, then who asks for a language, the narrower first.
    fn choose(&self, lexicon: &Lexicon, entries: &[usize], found: &str) -> Option<usize> {
        let fits = |entry: &Entry| {
            entry.speaks(self.language)
                && (entry.case == Case::Any || spelling(found) == spelling(&entry.word))
        };
        // "Maße" and "Masse" may be two entries, though either has the letters of "MASSE".
        let closer = |entry: &Entry| entries.len() > 1 && lower(found) == lower(&entry.word);
        let fitting = entries.iter().copied().filter(|index| fits(&lexicon.entries[*index]));
        fitting.max_by_key(|index| {
            let entry = &lexicon.entries[*index];
            (entry.case, closer(entry), entry.language.as_ref().map_or(0, String::len))
        })
    }
}

/// Scripts that put no space between words, or glue endings to them: an entry may stand anywhere.
fn is_glued(c: char) -> bool {
    matches!(c,
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1100}'..='\u{11ff}' | '\u{1780}'..='\u{17ff}' | '\u{3040}'..='\u{30ff}'
        | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || is_combining_mark(c)
}

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '’' | 'ʼ' | '＇')
}

fn starts_word(text: &str, pos: usize) -> bool {
    let (Some(first), before) = (text[pos..].chars().next(), text[..pos].chars().next_back()) else {
        return false;
    };
    if !is_word(first) || is_glued(first) {
        return !first.is_whitespace() && before != Some(first);
    }
    let Some(before) = before else { return true };
    let elided = is_apostrophe(before) && text[..pos - before.len_utf8()].ends_with(is_word);
    !(is_word(before) && !is_glued(before) || elided)
}

fn ends_word(text: &str, end: usize) -> bool {
    let mut rest = text[end..].chars();
    let (Some(last), next) = (text[..end].chars().next_back(), rest.next()) else { return false };
    let Some(next) = next else { return true };
    // Vowels and finals of Korean syllables that are written out belong to the letter before them.
    if is_combining_mark(next) || matches!(next, '\u{1160}'..='\u{11ff}') || !is_word(last) && next == last {
        return false;
    }
    if !is_word(last) || is_glued(last) || is_glued(next) {
        return true;
    }
    if is_apostrophe(next) {
        // "SQL's" holds the word, "don't" does not hold "don".
        let mut tail = rest.take_while(|c| is_word(*c));
        return matches!((tail.next(), tail.next()), (None | Some('s' | 'S'), None));
    }
    !is_word(next)
}

#[cfg(test)]
mod tests {
    use super::super::RawEntry;
    use super::*;

    fn lexicon(rows: &[(&str, Case, Option<&str>, &str)]) -> Lexicon {
        let own = |text: &str| Some(text.to_owned());
        let raw = rows.iter().map(|(word, case, language, replace)| RawEntry {
            word: (*word).to_owned(),
            case: *case,
            language: language.and_then(own),
            replace: own(replace),
            ipa: None,
        });
        Lexicon::from_raw(raw).expect("good entries")
    }

    /// `text` with each entry in angle brackets.
    fn marked(lexicon: &Lexicon, language: &str, text: &str) -> String {
        let language = language.parse().expect("a tag");
        let lexicons = [lexicon];
        let finder = Finder::new(&lexicons, &language);
        let (mut out, mut pos) = (String::new(), 0);
        while let Some(c) = text[pos..].chars().next() {
            if let Some(found) = finder.at(text, pos) {
                out.extend(["<", found.reading.as_str(), ">"]);
                pos = found.end;
            } else {
                out.push(c);
                pos += c.len_utf8();
            }
        }
        out
    }

    #[test]
    fn only_whole_words_are_found() {
        let lexicon = lexicon(&[
            ("sql", Case::Any, None, "1"),
            ("don", Case::Any, None, "2"),
            ("C++", Case::Any, None, "3"),
        ]);
        let rows = [
            ("SQL, sql.", "<1>, <1>."),
            ("MySQL sqlite sql_x sql9", "MySQL sqlite sql_x sql9"),
            ("SQL's sql-based", "<1>'s <1>-based"),
            ("don't Don", "don't <2>"),
            ("C++ C+++", "<3> C+++"),
            ("sql\u{301}", "sql\u{301}"),
        ];
        for (text, want) in rows {
            assert_eq!(marked(&lexicon, "en", text), want);
        }
    }

    #[test]
    fn words_that_look_the_same_are_the_same() {
        for (word, text) in [
            ("don't", "Don’t"),
            ("O’Brien", "O'BRIEN"),
            ("caf\u{e9}", "Cafe\u{301}"),
            ("cafe\u{301}", "CAF\u{c9}"),
            ("Stra\u{df}e", "STRASSE"),
            ("STRASSE", "straße"),
            ("ὈΔΥΣΣΕΎΣ", "Ὀδυσσεύς"),
            ("서울", "\u{1109}\u{1165}\u{110b}\u{116e}\u{11af}"),
            ("\u{1109}\u{1165}\u{110b}\u{116e}\u{11af}", "서울"),
        ] {
            for case in [Case::Any, Case::Exact] {
                let lexicon = lexicon(&[(word, case, None, "1")]);
                let same = case == Case::Any || lower(word) == spelling(text);
                let want = if same { "a <1>, b".to_owned() } else { format!("a {text}, b") };
                assert_eq!(marked(&lexicon, "ko", &format!("a {text}, b")), want, "{word} {case:?}");
            }
        }
        let lexicon = lexicon(&[("cafe", Case::Any, None, "1"), ("서우", Case::Any, None, "2")]);
        for text in ["café", "cafe\u{301}", "서울", "\u{1109}\u{1165}\u{110b}\u{116e}\u{11af}"] {
            assert_eq!(marked(&lexicon, "ko", text), text);
        }
    }

    #[test]
    fn words_that_only_capitals_make_the_same_are_two_entries() {
        let lexicon = lexicon(&[("Maße", Case::Any, None, "1"), ("Masse", Case::Any, None, "2")]);
        assert_eq!(marked(&lexicon, "de", "Maße Masse MASSE"), "<1> <2> <2>");
    }

    #[test]
    fn a_phrase_wins_over_its_words_and_spaces_may_be_of_any_kind() {
        let lexicon = lexicon(&[("New", Case::Any, None, "n"), ("New  York", Case::Any, None, "ny")]);
        assert_eq!(marked(&lexicon, "en", "New \n York, new Jersey"), "<ny>, <n> Jersey");
        assert_eq!(marked(&lexicon, "en", "New\n\nYork"), "<n>\n\nYork");
    }

    #[test]
    fn case_and_language_rules_are_kept() {
        let rows = [
            ("us", Case::Exact, None, "we"),
            ("US", Case::Exact, None, "states"),
            ("polish", Case::Any, Some("en"), "shine"),
            ("polish", Case::Any, Some("en-gb"), "buff"),
        ];
        let lexicon = lexicon(&rows);
        assert_eq!(marked(&lexicon, "en-us", "us US Us polish"), "<we> <states> Us <shine>");
        assert_eq!(marked(&lexicon, "en-gb", "Polish"), "<buff>");
        assert_eq!(marked(&lexicon, "fr", "polish"), "polish");
    }

    #[test]
    fn scripts_without_spaces_have_words_anywhere() {
        let lexicon = lexicon(&[("東京", Case::Any, None, "とうきょう"), ("서울", Case::Any, None, "s")]);
        assert_eq!(marked(&lexicon, "ja", "私は東京に"), "私は<とうきょう>に");
        assert_eq!(marked(&lexicon, "ko", "서울은"), "<s>은");
    }

    #[test]
    fn of_two_lexicons_the_first_wins_when_both_fit() {
        let (one, two) = (lexicon(&[("a", Case::Any, None, "1")]), lexicon(&[("a", Case::Any, None, "2")]));
        let language = Language::en_us();
        let lexicons = [&one, &two];
        let found = Finder::new(&lexicons, &language).at("a", 0).expect("an entry");
        assert_eq!((found.lexicon, found.reading.as_str()), (0, "1"));
    }
}
