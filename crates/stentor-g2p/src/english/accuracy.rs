//! How well unknown words are read: dictionary words that the network never saw, and that the dictionary is made to
//! forget. `cargo test -p stentor-g2p accuracy -- --nocapture` prints the figures.

use super::{derive, lexicon::Lexicon};
use crate::{
    letter_to_sound::LetterToSound,
    symbols::{PRIMARY, SECONDARY},
};

struct Score {
    words: usize,
    errors: usize,
    phonemes: usize,
    exact: usize,
    stress: usize,
}

impl Score {
    fn new() -> Self {
        Self { words: 0, errors: 0, phonemes: 0, exact: 0, stress: 0 }
    }

    fn add(&mut self, want: &str, got: &str) {
        let bare = |text: &str| crate::symbols::finish(text).replace([PRIMARY, SECONDARY], "");
        let (want_bare, got_bare): (Vec<char>, Vec<char>) =
            (bare(want).chars().collect(), bare(got).chars().collect());
        self.words += 1;
        self.errors += distance(&want_bare, &got_bare);
        self.phonemes += want_bare.len();
        self.exact += usize::from(want_bare == got_bare);
        self.stress += usize::from(stressed_vowel(want) == stressed_vowel(got));
    }

    fn error_rate(&self) -> f64 {
        self.errors as f64 / self.phonemes as f64
    }

    fn stress_accuracy(&self) -> f64 {
        self.stress as f64 / self.words as f64
    }

    fn print(&self, what: &str) {
        println!(
            "{what}: {} words, phoneme error rate {:.1} %, words right {:.1} %, primary stress right {:.1} %",
            self.words,
            100.0 * self.error_rate(),
            100.0 * self.exact as f64 / self.words as f64,
            100.0 * self.stress_accuracy()
        );
    }
}

/// Which vowel of the word has the primary stress.
fn stressed_vowel(phonemes: &str) -> Option<usize> {
    let at = phonemes.find(PRIMARY)?;
    Some(phonemes[..at].chars().filter(|c| crate::symbols::is_vowel(*c)).count())
}

fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// Network alone, and derivation where it applies with the network for the rest.
fn measure(british: bool) -> (Score, Score) {
    let mut lexicon = Lexicon::load(british);
    let network = LetterToSound::embedded();
    let held_out: Vec<(String, String)> = lexicon
        .words()
        .filter(|word| word.len() > 2 && word.bytes().all(|b| b.is_ascii_lowercase()) && LetterToSound::held_out(word))
        .collect::<Vec<_>>()
        .into_iter()
        .filter_map(|word| Some((lexicon.forget(&word)?, word)))
        .map(|(phonemes, word)| (word, phonemes))
        .filter(|(_, phonemes)| phonemes.contains(PRIMARY))
        .collect();
    let (mut alone, mut derived, mut same, mut fallback) = (Score::new(), Score::new(), Score::new(), Score::new());
    for (word, want) in &held_out {
        let read = network.read(word, british);
        alone.add(want, &read);
        let made = derive::derive(&lexicon, word, "NN");
        if let Some(made) = &made {
            derived.add(want, made);
            same.add(want, &read);
        }
        fallback.add(want, made.as_ref().unwrap_or(&read));
    }
    let accent = if british { "British" } else { "American" };
    alone.print(&format!("{accent}, network alone"));
    derived.print(&format!("{accent}, derivation where it applies"));
    same.print(&format!("{accent}, network on those words"));
    fallback.print(&format!("{accent}, both as in use"));
    (alone, fallback)
}

#[test]
fn accuracy_on_words_that_were_held_out() {
    for british in [false, true] {
        let (alone, fallback) = measure(british);
        assert!(alone.words >= 2000);
        assert!(alone.error_rate() < 0.07, "{}", alone.error_rate());
        assert!(alone.stress_accuracy() > 0.8, "{}", alone.stress_accuracy());
        assert!(fallback.error_rate() < 0.07, "{}", fallback.error_rate());
    }
}
