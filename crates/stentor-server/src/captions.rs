//! Spoken words as SubRip, WebVTT or JSON, written while they are spoken.

use crate::api::words::{WordCounter, milliseconds};
use std::{fmt::Write as _, mem, ops::Range, sync::Arc};
use stentor_text::View;
use stentor_types::SourceTiming;

/// Two lines of a screen.
const LONGEST_CUE: usize = 84;
/// One line; from here on a comma is a good place to end a cue.
const LINE: usize = 42;
/// Seconds that a cue may stand.
const LONGEST_STAND: f64 = 7.0;
/// Seconds of silence that end a cue anywhere.
const LONG_SILENCE: f64 = 0.8;
/// After the end of a sentence this much silence is enough, or this many characters: the dot of "Dr." has neither.
const SHORT_SILENCE: f64 = 0.12;
const SENTENCE: usize = 20;

/// A file of words and times, named as in `response_format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptionFormat {
    Srt,
    Vtt,
    Json,
}

impl CaptionFormat {
    pub const ALL: [Self; 3] = [Self::Srt, Self::Vtt, Self::Json];

    pub fn name(self) -> &'static str {
        match self {
            Self::Srt => "srt",
            Self::Vtt => "vtt",
            Self::Json => "json",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// The value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Srt => "application/x-subrip; charset=utf-8",
            Self::Vtt => "text/vtt; charset=utf-8",
            Self::Json => "application/json",
        }
    }
}

/// Takes words as they are spoken and gives text as soon as it is certain.
#[derive(Debug)]
pub struct Captions {
    format: CaptionFormat,
    per_word: bool,
    /// What the words' places refer to.
    original: Arc<str>,
    /// That text as cues show it.
    view: Arc<View>,
    /// The cue that is not complete yet.
    cue: Vec<SourceTiming>,
    /// Its text so far.
    text: String,
    cues: u64,
    begun: bool,
    counter: WordCounter,
}

impl Captions {
    /// Of the client's own text, and what a reader sees of it; with `per_word` each word is a cue of its own.
    pub fn new(format: CaptionFormat, (original, view): (Arc<str>, Arc<View>), per_word: bool) -> Self {
        Self {
            format,
            per_word,
            original,
            view,
            cue: Vec::new(),
            text: String::new(),
            cues: 0,
            begun: false,
            counter: WordCounter::default(),
        }
    }

    /// Appends to `out` what is complete with `words`, which follow those of earlier calls.
    pub fn push(&mut self, words: Vec<SourceTiming>, out: &mut String) {
        self.begin(out);
        for word in words {
            if self.format == CaptionFormat::Json {
                self.json_word(word, out);
            } else {
                self.add(word, out);
            }
        }
    }

    /// Appends the rest; the audio lasts `seconds`.
    pub fn finish(mut self, seconds: f64, out: &mut String) {
        self.begin(out);
        if self.format == CaptionFormat::Json {
            let end = if self.cues == 0 { "" } else { "\n" };
            let duration = milliseconds(seconds) as f64 / 1000.0;
            write_to(out, format_args!("{end}],\"duration\":{duration}}}\n"));
        } else {
            self.end_cue(out);
        }
    }

    fn begin(&mut self, out: &mut String) {
        if !mem::replace(&mut self.begun, true) {
            out.push_str(match self.format {
                CaptionFormat::Srt => "",
                CaptionFormat::Vtt => "WEBVTT\n\n",
                CaptionFormat::Json => "{\"words\":[",
            });
        }
    }

    fn json_word(&mut self, word: SourceTiming, out: &mut String) {
        let word = self.counter.word(&self.original, word);
        out.push_str(if self.cues == 0 { "\n" } else { ",\n" });
        self.cues += 1;
        // A plain struct always has a JSON form.
        out.push_str(&serde_json::to_string(&word).unwrap_or_default());
    }

    fn add(&mut self, word: SourceTiming, out: &mut String) {
        let view = Arc::clone(&self.view);
        let place = view.shown(&word.source);
        let shown = Shown::of(view.text(), &word.word, &place);
        if let Some(last) = self.cue.last() {
            let last = view.shown(&last.source);
            let gap = view.text().get(last.end..place.start).unwrap_or_default();
            if self.per_word || self.ends_before(&word, gap, shown.chars()) {
                self.end_cue(out);
            } else {
                self.text.push_str(separator(gap));
            }
        }
        let before = if self.cue.is_empty() { shown.before } else { shown.before.trim_start() };
        write_to(&mut self.text, format_args!("{before}{}{}", shown.word, shown.after));
        self.cue.push(word);
    }

    /// Whether the cue is complete without `next`; `gap` is what stands between them in the text.
    fn ends_before(&self, next: &SourceTiming, gap: &str, chars: usize) -> bool {
        let (Some(first), Some(last)) = (self.cue.first(), self.cue.last()) else { return false };
        let length = self.text.chars().count();
        let silence = next.start - last.end;
        let sentence = gap.contains(['.', '!', '?', '…', '。', '！', '？']) || gap.contains("\n\n");
        let phrase = gap.contains([',', ';', ':', '，', '、']);
        length + 1 + chars > LONGEST_CUE
            || next.end - first.start > LONGEST_STAND
            || silence > LONG_SILENCE
            || (sentence && (silence > SHORT_SILENCE || length >= SENTENCE))
            || (phrase && length >= LINE)
    }

    fn end_cue(&mut self, out: &mut String) {
        let cue = mem::take(&mut self.cue);
        let text = mem::take(&mut self.text);
        let (Some(first), Some(last)) = (cue.first(), cue.last()) else { return };
        self.cues += 1;
        let start = milliseconds(first.start);
        // Players leave out a cue that takes no time.
        let end = milliseconds(last.end).max(start + 1);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if self.format == CaptionFormat::Srt {
            let (start, end) = (clock(start, ','), clock(end, ','));
            write_to(out, format_args!("{}\n{start} --> {end}\n{text}\n\n", self.cues));
        } else {
            let (start, end) = (clock(start, '.'), clock(end, '.'));
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            write_to(out, format_args!("{start} --> {end}\n{text}\n\n"));
        }
    }
}

/// Writing to a string can't fail.
fn write_to(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

/// A word with the punctuation that stands right at it.
struct Shown<'a> {
    before: &'a str,
    word: &'a str,
    after: &'a str,
}

impl<'a> Shown<'a> {
    /// Of a word at `place` in the text that readers see.
    fn of(text: &'a str, word: &'a str, place: &Range<usize>) -> Self {
        let before = text.get(..place.start).unwrap_or_default();
        let after = text.get(place.end..).unwrap_or_default();
        let opening = ['"', '\'', '(', '“', '‘', '„', '«', '¿', '¡'];
        let closing = [
            '.', ',', ';', ':', '!', '?', '…', '"', '\'', ')', '”', '’', '“', '»', '。', '、', '，', '！',
            '？',
        ];
        let kept = before.trim_end_matches(opening).len();
        let rest = after.trim_start_matches(closing).len();
        Self {
            // A quotation mark between two words without a space belongs to the first.
            before: if before[..kept].ends_with(char::is_whitespace) || kept == 0 {
                &before[kept..]
            } else {
                ""
            },
            word,
            after: &after[..after.len() - rest],
        }
    }

    fn chars(&self) -> usize {
        [self.before, self.word, self.after].iter().map(|part| part.chars().count()).sum()
    }
}

/// What joins two words with `gap` between them: nothing in scripts without spaces, a hyphen where there is one, else a
/// space.
fn separator(gap: &str) -> &str {
    let joins = |c: char| matches!(c, '-' | '–' | '—' | '/');
    let punctuation = |c: char| matches!(c, '。' | '、' | '，' | '！' | '？');
    if gap.chars().all(joins) {
        gap
    } else if gap.chars().all(punctuation) {
        ""
    } else {
        " "
    }
}

/// `01:02:03,456`, with `mark` before the milliseconds.
fn clock(ms: u64, mark: char) -> String {
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}{mark}{:03}", ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each word of `text` takes 0.3 s and is followed by `gap(index)` seconds of silence.
    fn timings(text: &str, gap: impl Fn(usize) -> f64) -> Vec<SourceTiming> {
        let edge = |c: char| c.is_whitespace() || ".,!?\"()“”<>*-".contains(c);
        let mut now = 0.1;
        let words = text.split(edge).filter(|word| !word.is_empty()).enumerate();
        words
            .map(|(index, word)| {
                let from = word.as_ptr() as usize - text.as_ptr() as usize;
                let start = now;
                now += 0.3 + gap(index);
                let source = from..from + word.len();
                SourceTiming { word: word.to_owned(), source, start, end: start + 0.3 }
            })
            .collect()
    }

    /// Pushed one word at a time and all at once, which must make no difference.
    fn written(format: CaptionFormat, text: &str, per_word: bool, gap: impl Fn(usize) -> f64) -> String {
        let words = timings(text, gap);
        let mut one_by_one = String::new();
        let mut captions = Captions::new(format, (text.into(), Arc::new(View::verbatim(text))), per_word);
        for word in words.clone() {
            captions.push(vec![word], &mut one_by_one);
        }
        captions.finish(9.0, &mut one_by_one);
        let mut at_once = String::new();
        let mut captions = Captions::new(format, (text.into(), Arc::new(View::verbatim(text))), per_word);
        captions.push(words, &mut at_once);
        captions.finish(9.0, &mut at_once);
        assert_eq!(one_by_one, at_once);
        at_once
    }

    #[test]
    fn subrip_has_numbered_cues_of_whole_sentences() {
        let text = "Dr. Smith said \"Hello,\" and left.\nThen (at last) well-known *music* played!";
        let srt = written(CaptionFormat::Srt, text, false, |_| 0.0);
        let expected = "1\n00:00:00,100 --> 00:00:01,900\nDr. Smith said \"Hello,\" and left.\n\n\
                        2\n00:00:01,900 --> 00:00:04,000\nThen (at last) well-known music played!\n\n";
        assert_eq!(srt, expected);
    }

    #[test]
    fn a_short_sentence_before_a_silence_is_a_cue() {
        let srt = written(CaptionFormat::Srt, "Hi. How are you?", false, |_| 0.2);
        assert!(srt.contains("\nHi.\n\n2\n"), "{srt}");
        let srt = written(CaptionFormat::Srt, "well then", false, |_| 1.0);
        assert!(srt.contains("\nwell\n\n2\n"), "{srt}");
    }

    #[test]
    fn no_cue_is_longer_than_two_lines_or_seven_seconds() {
        let text = "abcdefghi ".repeat(60);
        for (pace, most_chars) in [(0.0, LONGEST_CUE), (0.7, 70)] {
            let srt = written(CaptionFormat::Srt, &text, false, |_| pace);
            let longest = srt.lines().map(|line| line.chars().count()).max().unwrap();
            assert!((20..=most_chars).contains(&longest), "{longest}");
        }
        let comma = written(CaptionFormat::Srt, &"abcdefghi, ".repeat(9), false, |_| 0.0);
        assert!(comma.contains("abcdefghi,\n"), "{comma}");
    }

    #[test]
    fn webvtt_spells_signs_of_markup_as_entities() {
        let vtt = written(CaptionFormat::Vtt, "R&D at 5", true, |_| 0.0);
        let expected = "WEBVTT\n\n00:00:00.100 --> 00:00:00.400\nR&amp;D\n\n\
                        00:00:00.400 --> 00:00:00.700\nat\n\n00:00:00.700 --> 00:00:01.000\n5\n\n";
        assert_eq!(vtt, expected);
    }

    #[test]
    fn json_holds_words_with_their_places_and_is_valid_without_any() {
        let json = |text: &str| -> serde_json::Value {
            serde_json::from_str(&written(CaptionFormat::Json, text, false, |_| 0.0)).unwrap()
        };
        let some = json("Café, twice.");
        assert_eq!(some["duration"], 9.0);
        let second = serde_json::json!(
            {"word": "twice", "start": 0.4, "end": 0.7, "start_char": 6, "end_char": 11});
        assert_eq!(some["words"][1], second);
        assert_eq!(json("...")["words"], serde_json::json!([]));
        assert_eq!(written(CaptionFormat::Srt, "...", false, |_| 0.0), "");
        assert_eq!(written(CaptionFormat::Vtt, "...", false, |_| 0.0), "WEBVTT\n\n");
    }

    #[test]
    fn hours_are_told() {
        assert_eq!(clock(3_723_004, ','), "01:02:03,004");
        assert_eq!(clock(360_000_000, '.'), "100:00:00.000");
    }
}
