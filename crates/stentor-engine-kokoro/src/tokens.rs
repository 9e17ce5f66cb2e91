//! Phonemes as the model's token ids, and back from predicted durations to the times of words.

use crate::Config;
use std::collections::HashMap;
use stentor_g2p::Phonemes;
use stentor_types::WordTiming;

/// Marks both ends of every utterance.
const BOUNDARY: u32 = 0;

/// Ids of phoneme characters.
#[derive(Debug, Clone)]
pub(crate) struct Vocabulary(HashMap<char, u32>);

/// An utterance as the model takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tokens {
    /// With the boundary mark at both ends.
    pub(crate) ids: Vec<u32>,
    /// Characters of the phonemes, those that have no id included.
    pub(crate) characters: usize,
    /// For every character, and for the end, how many tokens stand before it.
    before: Vec<usize>,
}

impl Vocabulary {
    pub(crate) fn new(config: &Config) -> Self {
        let single = |(key, id): (&String, &u32)| {
            let mut characters = key.chars();
            characters.next().filter(|_| characters.next().is_none()).map(|character| (character, *id))
        };
        Self(config.vocab.iter().filter_map(single).collect())
    }

    /// Characters without an id are left out.
    pub(crate) fn tokens(&self, phonemes: &str) -> Tokens {
        let (mut ids, mut before) = (vec![BOUNDARY], Vec::new());
        for character in phonemes.chars() {
            before.push(ids.len());
            ids.extend(self.0.get(&character));
        }
        before.push(ids.len());
        ids.push(BOUNDARY);
        Tokens { ids, characters: before.len() - 1, before }
    }
}

impl Tokens {
    /// Phonemes that the model knows.
    pub(crate) fn known(&self) -> usize {
        self.ids.len() - 2
    }

    /// When the words are heard, given the frames that each token lasts. A word without a known phoneme is not heard.
    pub(crate) fn timings(
        &self,
        phonemes: &Phonemes,
        durations: &[usize],
        samples_per_frame: usize,
    ) -> Vec<WordTiming> {
        let mut starts = Vec::with_capacity(durations.len() + 1);
        starts.push(0);
        for frames in durations {
            starts.push(starts[starts.len() - 1] + (frames * samples_per_frame) as u64);
        }
        let heard = |word: &stentor_g2p::PhonemeWord| {
            let tokens = self.before.get(word.phonemes.start)?..self.before.get(word.phonemes.end)?;
            let samples = *starts.get(*tokens.start)?..*starts.get(*tokens.end)?;
            (!samples.is_empty()).then(|| WordTiming { text: word.source.clone(), samples })
        };
        phonemes.words.iter().filter_map(heard).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stentor_g2p::{Origin, PhonemeWord};

    fn word(source: std::ops::Range<usize>, phonemes: std::ops::Range<usize>) -> PhonemeWord {
        PhonemeWord { source, phonemes, origin: Origin::Dictionary }
    }

    #[test]
    fn words_are_timed_by_the_durations_of_their_known_phonemes() {
        let vocabulary = Vocabulary(HashMap::from([('a', 1), ('b', 2), (' ', 3)]));
        let tokens = vocabulary.tokens("a?b ?? b");
        assert_eq!(tokens.ids, [0, 1, 2, 3, 3, 2, 0]);
        assert_eq!((tokens.characters, tokens.known()), (8, 5));
        let words = vec![word(0..3, 0..3), word(4..6, 4..6), word(7..8, 7..8)];
        let phonemes = Phonemes { text: "a?b ?? b".to_owned(), words, ..Phonemes::default() };
        let timings = tokens.timings(&phonemes, &[5, 2, 3, 1, 1, 4, 6], 600);
        let expected =
            [WordTiming { text: 0..3, samples: 3000..6000 }, WordTiming { text: 7..8, samples: 7200..9600 }];
        assert_eq!(timings, expected);
    }

    #[test]
    fn combining_marks_are_characters_of_their_own() {
        let vocabulary = Vocabulary(HashMap::from([('a', 1), ('\u{303}', 17)]));
        assert_eq!(vocabulary.tokens("a\u{303}").ids, [0, 1, 17, 0]);
    }
}
