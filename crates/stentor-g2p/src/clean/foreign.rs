//! Scripts that have no table of their own: Latin letters from deunicode, in words of a length that letter-to-sound
//! can make sense of, because Chinese, Japanese and Thai do not set spaces.

use super::{Clean, Feature, Mark};
use deunicode::deunicode_char;
use std::ops::Range;
use unicode_normalization::char::is_combining_mark;

/// Most Latin letters of one word: long Korean and Hindi words fit, and four or five Chinese syllables do.
const LONGEST: usize = 16;

impl Clean {
    /// Takes in `c` as part of a foreign word, or as the letters or digits that it is like; false when that gives
    /// nothing.
    pub(super) fn push_foreign(&mut self, c: char, source: &Range<usize>) -> bool {
        let Some(ascii) = deunicode_char(c) else { return false };
        if reads_within_latin(c) || !c.is_alphabetic() && !is_combining_mark(c) {
            let plain: String = ascii.chars().filter(char::is_ascii_alphanumeric).collect();
            self.put(&plain, source.clone());
            return !plain.is_empty();
        }
        let mut letters = latin(ascii);
        let open = self.in_foreign_word();
        if letters.is_empty() {
            if open {
                // A length mark or a sign without a sound, such as the virama.
                self.extend_last(source.end);
                return true;
            }
            if ascii.trim().is_empty() || is_combining_mark(c) {
                return false;
            }
            // Ayin and its like, which are written as an apostrophe, open a word with some vowel.
            letters.push('a');
        }
        let goes_on = open && !self.starts_new_word(c, letters.len());
        if !goes_on {
            self.start_word(c, source);
        }
        self.text.push_str(&letters);
        self.origin.resize(self.text.len(), source.clone());
        if let Some(mark) = self.marks.last_mut() {
            mark.visible.end = self.text.len();
            mark.source.end = source.end;
            mark.feature = Feature::Foreign(c);
        }
        true
    }

    /// Whether the text ends in a foreign word.
    pub(super) fn in_foreign_word(&self) -> bool {
        self.marks.last().is_some_and(|mark| {
            matches!(mark.feature, Feature::Foreign(_)) && mark.visible.end == self.text.len()
        })
    }

    fn start_word(&mut self, c: char, source: &Range<usize>) {
        if self.text.ends_with(|c: char| c.is_ascii_alphanumeric()) {
            self.text.push(' ');
            self.origin.push(source.start..source.start);
        }
        let at = self.text.len();
        self.marks.push(Mark { visible: at..at, source: source.clone(), feature: Feature::Foreign(c) });
    }

    /// Whether `c` does not belong to the word that is open: the word is full, or Japanese goes back from the
    /// syllables of endings and particles to what a new word begins with.
    fn starts_new_word(&self, c: char, letters: usize) -> bool {
        let Some(Mark { visible, feature: Feature::Foreign(last), .. }) = self.marks.last() else {
            return true;
        };
        let full = visible.len() + letters > LONGEST && !is_combining_mark(c);
        full || Script::of(*last) != Script::of(c) && Script::of(c) != Script::Hiragana
    }
}

#[derive(PartialEq)]
enum Script {
    Hiragana,
    Katakana,
    Han,
    Other,
}

impl Script {
    fn of(c: char) -> Self {
        match c {
            '\u{3040}'..='\u{309f}' => Self::Hiragana,
            '\u{30a0}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' | '\u{ff66}'..='\u{ff9f}' => Self::Katakana,
            '々' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}' => {
                Self::Han
            }
            _ => Self::Other,
        }
    }
}

/// Rare letters of the scripts that `letters` reads in place; they must not cut the word around them.
fn reads_within_latin(c: char) -> bool {
    matches!(c, '\u{80}'..='\u{52f}' | '\u{1d00}'..='\u{1fff}' | '\u{2c60}'..='\u{2c7f}'
        | '\u{a640}'..='\u{a69f}' | '\u{a720}'..='\u{a7ff}' | '\u{ab30}'..='\u{ab6f}')
}

fn latin(ascii: &str) -> String {
    ascii.chars().filter(char::is_ascii_alphabetic).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The foreign words of a text in Latin letters.
    fn words(input: &str) -> Vec<String> {
        let clean = Clean::new(input);
        assert!(clean.skipped.is_empty(), "{input}");
        clean.marks.iter().map(|mark| clean.text[mark.visible.clone()].to_owned()).collect()
    }

    #[test]
    fn words_are_whole_where_spaces_are_written_and_bounded_where_not() {
        assert_eq!(words("日本語"), ["ribenyu"]);
        assert_eq!(words("日本語のテキスト。"), ["ribenyuno", "tekisuto"]);
        assert_eq!(words("नमस्ते दुनिया"), ["nmste", "duniyaa"]);
        assert_eq!(words("안녕하세요"), ["annyeonghaseyo"]);
        let long = words(&"我们去公园散步吧".repeat(20));
        assert!(long.len() >= 20 && long.iter().all(|word| (5..=LONGEST).contains(&word.len())), "{long:?}");
    }

    #[test]
    fn latin_text_around_stays_apart_and_rare_latin_letters_do_not_cut() {
        assert_eq!(Clean::new("JR東日本2024年まで").text, "JR dongriben 2024 nianmade");
        assert_eq!(Clean::new("“日本”, ƙasa").text, "“riben”, kasa");
    }
}
