//! The wire form of spoken words and their times, in events and in captions.

use serde::Serialize;
use stentor_types::SourceTiming;
use utoipa::ToSchema;

/// One word of `input`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Word {
    #[serde(rename = "word")]
    pub(crate) text: String,
    /// Seconds from the start of the audio, to the millisecond.
    pub(crate) start: f64,
    pub(crate) end: f64,
    /// Where it stands in `input`, counted in characters (Unicode code points).
    pub(crate) start_char: usize,
    pub(crate) end_char: usize,
}

/// Makes words of timings, in order. Remembers how far it has counted, because counting from the start for each word of a
/// book would take hours.
#[derive(Debug, Default)]
pub(crate) struct WordCounter {
    bytes: usize,
    chars: usize,
}

impl WordCounter {
    /// `original` is the same text each time.
    pub(crate) fn word(&mut self, original: &str, timing: SourceTiming) -> Word {
        Word {
            start_char: self.chars_before(original, timing.source.start),
            end_char: self.chars_before(original, timing.source.end),
            start: milliseconds(timing.start) as f64 / 1000.0,
            end: milliseconds(timing.end) as f64 / 1000.0,
            text: timing.word,
        }
    }

    fn chars_before(&mut self, original: &str, at: usize) -> usize {
        if at < self.bytes {
            *self = Self::default();
        }
        let between = original.as_bytes().get(self.bytes..at).unwrap_or_default();
        // Every byte that does not continue a character begins one.
        self.chars += between.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
        self.bytes = at.min(original.len());
        self.chars
    }
}

/// Whole milliseconds; nothing is heard before the start.
pub(crate) fn milliseconds(seconds: f64) -> u64 {
    (seconds.max(0.0) * 1000.0).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_characters_and_times_in_milliseconds() {
        let text = "Grüße — 你好 end";
        let mut counter = WordCounter::default();
        let mut place = |word: &str| {
            let from = text.find(word).unwrap();
            let timing = SourceTiming {
                word: word.to_owned(),
                source: from..from + word.len(),
                start: 0.123_456,
                end: -1.0,
            };
            let word = counter.word(text, timing);
            assert_eq!((word.start, word.end), (0.123, 0.0));
            let chars: Vec<char> = text.chars().collect();
            assert_eq!(chars[word.start_char..word.end_char].iter().collect::<String>(), word.text);
        };
        ["Grüße", "你好", "end", "Grüße"].into_iter().for_each(&mut place);
    }
}
