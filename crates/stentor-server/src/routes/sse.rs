//! Speech as server-sent events: sound in base64, words with their times, what it took, or what went wrong.

use crate::{
    ApiError,
    api::words::{Word, WordCounter},
    base64,
    encoded::EncodedSynthesis,
    synthesis::Spoken,
};
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use stentor_types::SourceTiming;
use utoipa::ToSchema;

/// Bytes of the file in one event: clients read line by line and some refuse lines beyond 64 KiB. A multiple of 3, so that
/// what is in base64 needs no padding, and of 2, so that no sample is cut in half.
const DELTA: usize = 24 * 1024;
/// `output_tokens` counts stretches of this many seconds.
const SECONDS_PER_TOKEN: f64 = 0.05;

/// A comment, which readers of events skip.
pub(super) const FILLER: Bytes = Bytes::from_static(b": speaking\n\n");

/// What stands after `data:`.
#[derive(Serialize, ToSchema)]
#[schema(as = SpeechEvent)]
#[serde(tag = "type")]
pub(crate) enum Event {
    #[serde(rename = "speech.audio.delta")]
    Delta { audio: String },
    #[serde(rename = "speech.audio.timestamps")]
    Timestamps { words: Vec<Word> },
    #[serde(rename = "speech.audio.done")]
    Done { usage: Usage },
    #[serde(rename = "speech.audio.error")]
    Error {
        #[schema(schema_with = crate::openapi::error_object)]
        error: Value,
    },
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Usage {
    #[serde(rename = "input_tokens")]
    input: u64,
    #[serde(rename = "output_tokens")]
    output: u64,
    #[serde(rename = "total_tokens")]
    total: u64,
}

/// The events of one request.
pub(super) struct Events {
    encoded: EncodedSynthesis,
    /// `None` where nobody asked for words.
    words: Option<WordCounter>,
    over: bool,
}

impl Events {
    pub(super) fn new(encoded: EncodedSynthesis, words: bool) -> Self {
        Self { encoded, words: words.then(WordCounter::default), over: false }
    }

    /// The next events, never empty; the last of them is `speech.audio.done`.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, ApiError>> {
        let mut out = String::new();
        while out.is_empty() {
            if self.over {
                return None;
            }
            match self.encoded.next_stretch().await {
                Some(Ok(stretch)) => {
                    for bytes in stretch.bytes.chunks(DELTA) {
                        let mut audio = String::new();
                        base64::encode(bytes, &mut audio);
                        Event::Delta { audio }.write(&mut out);
                    }
                    self.write_words(stretch.words, &mut out);
                }
                Some(Err(error)) => {
                    self.over = true;
                    return Some(Err(error));
                }
                None => {
                    self.over = true;
                    Event::Done { usage: Usage::of(&self.spoken()) }.write(&mut out);
                }
            }
        }
        Some(Ok(Bytes::from(out)))
    }

    pub(super) fn spoken(&self) -> Spoken {
        self.encoded.spoken()
    }

    fn write_words(&mut self, timings: Vec<SourceTiming>, out: &mut String) {
        let Some(counter) = self.words.as_mut().filter(|_| !timings.is_empty()) else { return };
        let original = self.encoded.original();
        let words = timings.into_iter().map(|timing| counter.word(original, timing)).collect();
        Event::Timestamps { words }.write(out);
    }
}

/// The event that ends the stream when speaking fails after it has begun.
pub(super) fn failure(error: &ApiError) -> Bytes {
    let mut out = String::new();
    Event::Error { error: error.wire() }.write(&mut out);
    Bytes::from(out)
}

impl Event {
    fn name(&self) -> &'static str {
        match self {
            Self::Delta { .. } => "speech.audio.delta",
            Self::Timestamps { .. } => "speech.audio.timestamps",
            Self::Done { .. } => "speech.audio.done",
            Self::Error { .. } => "speech.audio.error",
        }
    }

    /// JSON never holds a line break, so one `data:` line is enough.
    fn write(&self, out: &mut String) {
        // A tagged enum of strings and numbers always has a JSON form.
        let data = serde_json::to_string(self).unwrap_or_default();
        out.reserve(data.len() + 64);
        for part in ["event: ", self.name(), "\ndata: ", &data, "\n\n"] {
            out.push_str(part);
        }
    }
}

impl Usage {
    fn of(spoken: &Spoken) -> Self {
        let output = (spoken.audio / SECONDS_PER_TOKEN).ceil() as u64;
        Self { input: spoken.units, output, total: spoken.units.saturating_add(output) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_named_twice_and_ends_with_an_empty_line() {
        let mut out = String::new();
        let usage = Usage { input: 14, output: 101, total: 115 };
        Event::Done { usage }.write(&mut out);
        let expected = "event: speech.audio.done\ndata: {\"type\":\"speech.audio.done\",\"usage\":\
                        {\"input_tokens\":14,\"output_tokens\":101,\"total_tokens\":115}}\n\n";
        assert_eq!(out, expected);
    }

    #[test]
    fn a_line_of_sound_stays_under_64_kib() {
        let mut audio = String::new();
        base64::encode(&vec![0; DELTA], &mut audio);
        let mut out = String::new();
        Event::Delta { audio }.write(&mut out);
        assert!(out.len() < 64 * 1024 && !out.contains('='), "{} bytes", out.len());
    }
}
