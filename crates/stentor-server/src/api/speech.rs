//! The body of `POST /v1/audio/speech`: OpenAI's fields, our documented extensions, and what else a client may send.
//!
//! `null` equals absent everywhere. Unknown keys never fail a request; they are reported back by name.

use super::delivery::{Delivery, Form};
use crate::{ApiError, ErrorCode, Limits, synthesis::check_input, terms};
use serde_json::{Map, Value};
use std::sync::Arc;
use stentor_text::lexicon::Lexicon;
use stentor_types::{
    AudioFormat, Lane, Language, ParamKind, ParamSpec, ParamValue, Params, ParseLanguageError, Seed,
    SpeechRequest, Speed,
};

/// Characters of `instructions`.
pub(crate) const MOST_INSTRUCTIONS: usize = 4096;
/// The letters that clients of Kokoro servers send as `lang_code`.
const LETTERS: [(&str, &str); 9] = [
    ("a", "en-us"),
    ("b", "en-gb"),
    ("e", "es"),
    ("f", "fr-fr"),
    ("h", "hi"),
    ("i", "it"),
    ("j", "ja"),
    ("p", "pt-br"),
    ("z", "zh"),
];

/// Reads the body. Engine parameters are left in `rest`, because only the resolved model knows them.
pub(crate) fn parse(body: &[u8], limits: &Limits) -> Result<Unresolved, ApiError> {
    let mut fields = super::object(body)?;
    fields.retain(|_, value| !value.is_null());
    check_instructions(fields.get("instructions"))?;
    let delivery = Delivery::take(&mut fields)?;
    let request = SpeechRequest {
        input: input(fields.remove("input"), limits)?,
        model: take_text(&mut fields, "model")?,
        voice: voice(fields.remove("voice"))?,
        // Captions have no sound to be encoded.
        format: delivery.form.audio().unwrap_or(AudioFormat::Pcm),
        speed: speed(fields.remove("speed"))?,
        language: language(&mut fields)?,
        seed: seed(fields.remove("seed"))?,
        normalize: take_bool(&mut fields, "normalize")?.unwrap_or(true),
        stream: take_bool(&mut fields, "stream")?,
        params: Params::new(),
    };
    let lane = priority(&mut fields)?;
    let cache = take_bool(&mut fields, "cache")?.unwrap_or(true);
    if matches!((delivery.form, request.stream), (Form::Events { .. }, Some(false))) {
        return Err(invalid("stream", "`stream` false and `stream_format` \"sse\" exclude each other"));
    }
    let lexicon = super::lexicon::read(fields.remove("lexicon"))?;
    Ok(Unresolved { request, delivery, lane, cache, lexicon, rest: fields })
}

/// A request whose remaining keys wait for the model to be known.
#[derive(Debug)]
pub(crate) struct Unresolved {
    pub request: SpeechRequest,
    pub delivery: Delivery,
    pub lane: Option<Lane>,
    /// Finished chunks may be kept, and taken from the store.
    pub cache: bool,
    /// Entries for this text.
    pub lexicon: Option<Arc<Lexicon>>,
    rest: Map<String, Value>,
}

impl Unresolved {
    /// The parameters that `specs` declares.
    pub(crate) fn params(&self, specs: &[ParamSpec]) -> Result<Params, ApiError> {
        let spec_of = |key: &str| specs.iter().find(|spec| spec.name == key);
        let declared = self.rest.iter().filter_map(|(key, value)| Some((key, spec_of(key)?, value)));
        declared.map(|(key, spec, value)| Ok((key.clone(), engine_param(spec, value.clone())?))).collect()
    }

    /// Names of the fields that had no effect.
    pub(crate) fn ignored(&self, params: &Params) -> Vec<String> {
        self.rest.keys().filter(|key| !params.contains_key(*key)).cloned().collect()
    }
}

fn engine_param(spec: &ParamSpec, value: Value) -> Result<ParamValue, ApiError> {
    let mismatch = |message: String| ApiError::field(ErrorCode::InvalidValue, spec.name.clone(), message);
    let wants_integer = matches!(spec.kind, ParamKind::Integer { .. });
    let value = match value {
        Value::Bool(flag) => ParamValue::Bool(flag),
        Value::String(text) => ParamValue::Text(text),
        Value::Number(number) => match number.as_i64() {
            Some(integer) if wants_integer => ParamValue::Integer(integer),
            _ => ParamValue::Number(number.as_f64().unwrap_or(f64::NAN)),
        },
        _ => return Err(mismatch(format!("`{}` must be a plain value", spec.name))),
    };
    spec.check(value).map_err(|e| mismatch(e.to_string()))
}

fn input(value: Option<Value>, limits: &Limits) -> Result<Arc<str>, ApiError> {
    match value {
        Some(Value::String(text)) => check_input(&text, limits),
        Some(_) => Err(invalid("input", "`input` must be a string")),
        None => Err(ApiError::field(ErrorCode::MissingField, "input", "`input` is required")),
    }
}

/// A voice is a string or `{"id": "…"}`; an empty string equals absent, and so does an object without an `id`.
fn voice(value: Option<Value>) -> Result<Option<String>, ApiError> {
    let bad = || invalid("voice", "`voice` must be a string or {\"id\": \"…\"}");
    let name = match value {
        None => return Ok(None),
        Some(Value::String(name)) => name,
        Some(Value::Object(mut object)) => {
            object.retain(|_, value| !value.is_null());
            match object.remove("id") {
                _ if !object.is_empty() => return Err(bad()),
                Some(Value::String(id)) => id,
                Some(_) => return Err(bad()),
                None => return Ok(None),
            }
        }
        Some(_) => return Err(bad()),
    };
    Ok(Some(name).filter(|name| !name.is_empty()))
}

fn speed(value: Option<Value>) -> Result<Speed, ApiError> {
    let Some(value) = value else { return Ok(Speed::NORMAL) };
    let number = value.as_f64().ok_or_else(|| invalid("speed", "`speed` must be a number"))?;
    Speed::try_from(number as f32).map_err(|e| invalid("speed", e.to_string()))
}

/// `language`, or `lang_code` where that is absent. Empty and `auto` leave it to the voice.
fn language(fields: &mut Map<String, Value>) -> Result<Option<Language>, ApiError> {
    let named = |tag: &String| !tag.is_empty() && !tag.eq_ignore_ascii_case("auto");
    let own = take_text(fields, "language")?.filter(named);
    // Beside `language` it has no effect, which is told.
    let code = if own.is_none() { take_text(fields, "lang_code")?.filter(named) } else { None };
    let param = if own.is_some() { "language" } else { "lang_code" };
    let Some(tag) = own.or(code) else { return Ok(None) };
    let letter = LETTERS.iter().find(|(letter, _)| param == "lang_code" && tag.eq_ignore_ascii_case(letter));
    let tag = letter.map_or(tag.as_str(), |(_, tag)| tag);
    tag.parse().map(Some).map_err(|e: ParseLanguageError| invalid(param, e.to_string()))
}

/// They stay where they are: an engine may know what to do with them, and without one they are named as ignored.
fn check_instructions(value: Option<&Value>) -> Result<(), ApiError> {
    match value {
        None => Ok(()),
        Some(Value::String(text)) if text.chars().count() <= MOST_INSTRUCTIONS => Ok(()),
        Some(Value::String(_)) => {
            let message = format!("`instructions` has more than {MOST_INSTRUCTIONS} characters");
            Err(invalid("instructions", message))
        }
        Some(_) => Err(invalid("instructions", "`instructions` must be a string")),
    }
}

fn priority(fields: &mut Map<String, Value>) -> Result<Option<Lane>, ApiError> {
    let lane = take_text(fields, "priority")?.map(|text| terms::lane(&text));
    lane.transpose().map_err(|()| invalid("priority", "`priority` must be `interactive` or `batch`"))
}

fn seed(value: Option<Value>) -> Result<Seed, ApiError> {
    let bad = || invalid("seed", "`seed` must be a whole number or \"random\"");
    match value {
        None => Ok(Seed::FromContent),
        Some(Value::String(text)) if text == "random" => Ok(Seed::Random),
        Some(Value::Number(number)) => {
            let negative = || number.as_i64().map(i64::cast_unsigned);
            number.as_u64().or_else(negative).map(Seed::Fixed).ok_or_else(bad)
        }
        Some(_) => Err(bad()),
    }
}

pub(super) fn take_text(
    fields: &mut Map<String, Value>,
    name: &'static str,
) -> Result<Option<String>, ApiError> {
    match fields.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(invalid(name, format!("`{name}` must be a string"))),
    }
}

fn take_bool(fields: &mut Map<String, Value>, name: &'static str) -> Result<Option<bool>, ApiError> {
    match fields.remove(name) {
        None => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(flag)),
        Some(_) => Err(invalid(name, format!("`{name}` must be true or false"))),
    }
}

pub(super) fn invalid(param: &'static str, message: impl Into<String>) -> ApiError {
    ApiError::field(ErrorCode::InvalidValue, param, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_text(body: &str) -> Result<Unresolved, ApiError> {
        parse(body.as_bytes(), &Limits::default())
    }

    #[test]
    fn null_equals_absent_and_unknown_keys_are_named() {
        let body = r#"{"input":"Hi.","voice":null,"speed":null,"model":null,"response_format":null,
            "instructions":"None","stream_format":"audio","colour":"red"}"#;
        let parsed = parse_text(body).unwrap();
        assert_eq!(parsed.request.voice, None);
        assert_eq!(parsed.request.format, AudioFormat::Mp3);
        assert_eq!(parsed.ignored(&Params::new()), ["colour", "instructions"]);
        assert_eq!((parsed.lane, parsed.cache), (None, true));
    }

    #[test]
    fn voice_is_a_string_or_an_object_with_an_id() {
        let voice = |json: &str| parse_text(&format!(r#"{{"input":"x","voice":{json}}}"#));
        assert_eq!(voice(r#""Emily""#).unwrap().request.voice.as_deref(), Some("Emily"));
        assert_eq!(voice(r#"{"id":"voice_1"}"#).unwrap().request.voice.as_deref(), Some("voice_1"));
        assert_eq!(voice(r#""""#).unwrap().request.voice, None);
        for absent in [r#"{"id":null}"#, "{}", r#"{"id":"","x":null}"#] {
            assert_eq!(voice(absent).unwrap().request.voice, None, "{absent}");
        }
        for bad in ["7", "[]", r#"{"x":1}"#, r#"{"id":"a","x":1}"#, r#"{"id":3}"#] {
            assert_eq!(voice(bad).unwrap_err().param.as_deref(), Some("voice"), "{bad}");
        }
    }

    #[test]
    fn each_bad_field_is_named() {
        let rows = [
            (r#"{"voice":"a"}"#, "input", ErrorCode::MissingField),
            (r#"{"input":""}"#, "input", ErrorCode::MissingField),
            (r#"{"input":" \n\t"}"#, "input", ErrorCode::MissingField),
            (r#"{"input":7}"#, "input", ErrorCode::InvalidValue),
            (r#"{"input":"a\u0000b"}"#, "input", ErrorCode::InvalidValue),
            (r#"{"input":"a","speed":5}"#, "speed", ErrorCode::InvalidValue),
            (r#"{"input":"a","speed":"fast"}"#, "speed", ErrorCode::InvalidValue),
            (r#"{"input":"a","response_format":"ogg"}"#, "response_format", ErrorCode::InvalidValue),
            (r#"{"input":"a","language":"klingon!"}"#, "language", ErrorCode::InvalidValue),
            (r#"{"input":"a","seed":1.5}"#, "seed", ErrorCode::InvalidValue),
            (r#"{"input":"a","stream":"yes"}"#, "stream", ErrorCode::InvalidValue),
            (r#"{"input":"a","model":3}"#, "model", ErrorCode::InvalidValue),
            (r#"{"input":"a","priority":"urgent"}"#, "priority", ErrorCode::InvalidValue),
            (r#"{"input":"a","cache":1}"#, "cache", ErrorCode::InvalidValue),
            (r#"{"input":"a","lang_code":"q"}"#, "lang_code", ErrorCode::InvalidValue),
            (r#"{"input":"a","instructions":7}"#, "instructions", ErrorCode::InvalidValue),
            (r#"{"input":"a","stream":false,"stream_format":"sse"}"#, "stream", ErrorCode::InvalidValue),
        ];
        for (body, param, code) in rows {
            let error = parse_text(body).unwrap_err();
            assert_eq!((error.param.as_deref(), error.code), (Some(param), code), "{body}");
        }
    }

    #[test]
    fn what_is_not_a_json_object_of_valid_unicode_is_invalid_json() {
        for body in ["", "[]", "\"x\"", "{", r#"{"input":"\ud800"}"#, "{\"input\":\"a\0b\"}"] {
            assert_eq!(parse_text(body).unwrap_err().code, ErrorCode::InvalidJson, "{body:?}");
        }
        let not_utf8 = parse(b"{\"input\":\"\xff\"}", &Limits::default()).unwrap_err();
        assert_eq!(not_utf8.code, ErrorCode::InvalidJson);
        let deep = format!("{{\"input\":\"x\",\"y\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
        assert_eq!(parse_text(&deep).unwrap_err().code, ErrorCode::InvalidJson);
    }

    #[test]
    fn engine_parameters_are_checked_against_their_specs() {
        let kind = ParamKind::Number { min: 0.0, max: 2.0, default: 0.5 };
        let specs =
            [ParamSpec { name: "exaggeration".into(), kind, later: None, description: String::new() }];
        let read = |body: &str| {
            let parsed = parse_text(body)?;
            let params = parsed.params(&specs)?;
            Ok::<_, ApiError>((parsed.ignored(&params), params))
        };
        let (ignored, params) = read(r#"{"input":"x","exaggeration":1,"other":2}"#).unwrap();
        assert_eq!(params["exaggeration"], ParamValue::Number(1.0));
        assert_eq!(ignored, ["other"]);
        assert!(read(r#"{"input":"x","exaggeration":9}"#).is_err());
    }

    #[test]
    fn a_language_has_two_names_and_letters() {
        let read = |fields: &str| {
            let parsed = parse_text(&format!(r#"{{"input":"x",{fields}}}"#)).unwrap();
            let language = parsed.request.language.as_ref().map(|language| language.as_str().to_owned());
            (language.unwrap_or_default(), parsed.ignored(&Params::new()))
        };
        let none: Vec<String> = Vec::new();
        assert_eq!(read(r#""lang_code":"b""#), ("en-gb".to_owned(), none.clone()));
        assert_eq!(read(r#""lang_code":"fr""#), ("fr".to_owned(), none.clone()));
        assert_eq!(read(r#""language":"auto","lang_code":"""#), (String::new(), none));
        let both = read(r#""language":"de","lang_code":"a""#);
        assert_eq!(both, ("de".to_owned(), vec!["lang_code".to_owned()]));
        let letter = parse_text(r#"{"input":"x","language":"a"}"#).unwrap_err();
        assert_eq!(letter.param.as_deref(), Some("language"));
    }

    #[test]
    fn priority_and_cache_are_read() {
        let parsed = parse_text(r#"{"input":"x","priority":"Batch","cache":false}"#).unwrap();
        assert_eq!((parsed.lane, parsed.cache), (Some(Lane::Batch), false));
    }
}
