//! How well unknown words are read: dictionary words that the network never saw in training (though it saw forms of
//! many: "walks" where "walk" is asked). `cargo test -p stentor-g2p accuracy -- --nocapture` prints the figures.

use super::lexicon::Lexicon;
use crate::{
    letter_to_sound::LetterToSound,
    symbols::{PRIMARY, SECONDARY},
};

#[derive(Default)]
struct Score {
    words: usize,
    errors: usize,
    phonemes: usize,
    exact: usize,
    stress: usize,
}

impl Score {
    fn add(&mut self, want: &str, got: &str) {
        let bare = |text: &str| crate::symbols::from_dictionary(text).replace([PRIMARY, SECONDARY], "");
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

fn measure(british: bool) -> Score {
    let lexicon = Lexicon::load(british);
    let network = LetterToSound::embedded();
    let mut score = Score::default();
    for word in lexicon.words() {
        let plain = word.len() > 2 && word.bytes().all(|b| b.is_ascii_lowercase());
        if !plain || !LetterToSound::held_out(&word) {
            continue;
        }
        // Entries without a stress are weak forms of small words, such as "of".
        if let Some(want) = lexicon.entry(&word).filter(|want| want.contains(PRIMARY)) {
            score.add(&want, &network.read(&word, british));
        }
    }
    score.print(if british { "British" } else { "American" });
    score
}

#[test]
fn accuracy_on_words_that_were_held_out() {
    for british in [false, true] {
        let score = measure(british);
        assert!(score.words >= 2000, "{}", score.words);
        assert!(score.error_rate() < 0.06, "{}", score.error_rate());
        assert!(score.stress_accuracy() > 0.92, "{}", score.stress_accuracy());
    }
}
