//! How a client wants its answer: a file of sound, events that carry sound, or captions; with or without the words' times.

use super::speech::{invalid, take_text};
use crate::{ApiError, captions::CaptionFormat};
use serde_json::{Map, Value};
use stentor_types::{AudioFormat, SampleRate};

/// What `sample_rate` may be, in hertz; Opus has only those that divide 48,000.
pub(crate) const RATES: [u32; 9] = [8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000];
const OPUS_RATE: u32 = 48_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    File(AudioFormat),
    /// Server-sent events; with `words` some of them carry the times of words.
    Events {
        format: AudioFormat,
        words: bool,
    },
    /// No sound, only what is said when; with `per_word` each word is a cue of its own.
    Captions {
        format: CaptionFormat,
        per_word: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delivery {
    pub(crate) form: Form,
    /// Of the sound in files and events.
    pub(crate) rate: SampleRate,
}

impl Delivery {
    /// Takes `response_format`, `stream_format`, `timestamps` and `sample_rate` out of the body.
    pub(crate) fn take(fields: &mut Map<String, Value>) -> Result<Self, ApiError> {
        let words = timestamps(fields.remove("timestamps"))?;
        let events = wants_events(fields)?;
        let name = take_text(fields, "response_format")?;
        let asked = sample_rate(fields.remove("sample_rate"))?;
        let captions = name.as_deref().and_then(CaptionFormat::from_name);
        let form = match (captions, events) {
            (Some(_), true) => {
                let message = "\"sse\" carries sound: name a `response_format` of sound, and ask for \
                               `timestamps` to get the words too";
                return Err(invalid("stream_format", message));
            }
            (Some(format), false) => Form::Captions { format, per_word: words },
            (None, true) => Form::Events { format: audio_format(name.as_deref())?, words },
            (None, false) if words => {
                let message = "a file of sound has no place for `timestamps`: ask for `stream_format` \"sse\", \
                               or for `response_format` json, srt or vtt";
                return Err(invalid("timestamps", message));
            }
            (None, false) => Form::File(audio_format(name.as_deref())?),
        };
        let rate = asked.unwrap_or(SampleRate::HZ_24000);
        if form.audio() == Some(AudioFormat::Opus) && !OPUS_RATE.is_multiple_of(rate.0) {
            let message = "`sample_rate` of opus must be 8000, 12000, 16000, 24000 or 48000";
            return Err(invalid("sample_rate", message));
        }
        Ok(Self { form, rate })
    }
}

impl Form {
    /// The format of the sound, where there is any.
    pub(crate) fn audio(self) -> Option<AudioFormat> {
        match self {
            Self::File(format) | Self::Events { format, .. } => Some(format),
            Self::Captions { .. } => None,
        }
    }

    /// As in `response_format`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::File(format) | Self::Events { format, .. } => format.name(),
            Self::Captions { format, .. } => format.name(),
        }
    }
}

/// A list of granularities, of which there is one. An empty list asks for nothing.
fn timestamps(value: Option<Value>) -> Result<bool, ApiError> {
    let bad = || invalid("timestamps", "`timestamps` must be [\"word\"]");
    let Some(value) = value else { return Ok(false) };
    let Value::Array(items) = value else { return Err(bad()) };
    if items.iter().all(|item| item == "word") { Ok(!items.is_empty()) } else { Err(bad()) }
}

fn wants_events(fields: &mut Map<String, Value>) -> Result<bool, ApiError> {
    match take_text(fields, "stream_format")?.as_deref() {
        None | Some("audio") => Ok(false),
        Some("sse") => Ok(true),
        Some(_) => Err(invalid("stream_format", "`stream_format` must be audio or sse")),
    }
}

fn audio_format(name: Option<&str>) -> Result<AudioFormat, ApiError> {
    let Some(name) = name else { return Ok(AudioFormat::default()) };
    name.parse().map_err(|()| {
        let audio = AudioFormat::ALL.map(AudioFormat::name).join(", ");
        let captions = CaptionFormat::ALL.map(CaptionFormat::name).join(", ");
        invalid("response_format", format!("`response_format` must be one of {audio}, {captions}"))
    })
}

fn sample_rate(value: Option<Value>) -> Result<Option<SampleRate>, ApiError> {
    let Some(value) = value else { return Ok(None) };
    let rate = value.as_u64().and_then(|rate| RATES.into_iter().find(|known| u64::from(*known) == rate));
    let rate = rate.ok_or_else(|| {
        let names = RATES.map(|rate| rate.to_string()).join(", ");
        invalid("sample_rate", format!("`sample_rate` must be one of {names}"))
    })?;
    Ok(Some(SampleRate(rate)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn take(body: Value) -> Result<Delivery, ApiError> {
        let Value::Object(mut fields) = body else { panic!("an object") };
        let delivery = Delivery::take(&mut fields)?;
        assert!(fields.is_empty(), "left behind: {fields:?}");
        Ok(delivery)
    }

    #[test]
    fn the_fields_together_say_what_is_sent() {
        let form = |body| take(body).unwrap().form;
        let mp3 = AudioFormat::Mp3;
        assert_eq!(form(json!({})), Form::File(mp3));
        assert_eq!(form(json!({"stream_format": "audio", "timestamps": []})), Form::File(mp3));
        assert_eq!(form(json!({"stream_format": "sse"})), Form::Events { format: mp3, words: false });
        let words = json!({"stream_format": "sse", "timestamps": ["word"], "response_format": "pcm"});
        assert_eq!(form(words), Form::Events { format: AudioFormat::Pcm, words: true });
        let srt = Form::Captions { format: CaptionFormat::Srt, per_word: false };
        assert_eq!(form(json!({"response_format": "srt"})), srt);
        assert_eq!(take(json!({"sample_rate": 16000})).unwrap().rate, SampleRate(16_000));
    }

    #[test]
    fn what_does_not_go_together_names_the_field() {
        let rows = [
            (json!({"timestamps": ["word"]}), "timestamps"),
            (json!({"timestamps": "word", "stream_format": "sse"}), "timestamps"),
            (json!({"timestamps": ["letter"], "stream_format": "sse"}), "timestamps"),
            (json!({"response_format": "vtt", "stream_format": "sse"}), "stream_format"),
            (json!({"stream_format": "ndjson"}), "stream_format"),
            (json!({"response_format": "ogg", "stream_format": "sse"}), "response_format"),
            (json!({"sample_rate": 24001}), "sample_rate"),
            (json!({"sample_rate": "24000"}), "sample_rate"),
            (json!({"sample_rate": 44100, "response_format": "opus"}), "sample_rate"),
        ];
        for (body, param) in rows {
            assert_eq!(take(body.clone()).unwrap_err().param.as_deref(), Some(param), "{body}");
        }
    }
}
