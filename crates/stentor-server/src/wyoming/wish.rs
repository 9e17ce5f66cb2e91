//! What a client asks for with its text: a voice by name or by language, and how the text is written.

use crate::{
    ApiError, App, ErrorCode,
    synthesis::{check_input, refuse_unknown_voice},
};
use serde_json::{Map, Value};
use stentor_catalog::{Catalog, Model};
use stentor_types::{AudioFormat, Language, Params, ParseLanguageError, Seed, SpeechRequest, Speed};

/// The data of `synthesize` and `synthesize-start`, less the text.
#[derive(Debug, PartialEq)]
pub(super) struct Wish {
    /// `None`: the default one, which may have stand-ins.
    model: Option<String>,
    voice: Option<String>,
    language: Option<Language>,
    /// The text is SSML, whether it begins as such or not.
    ssml: bool,
}

impl Wish {
    /// `null` and the empty string equal absent. A voice has no speakers here, so one that is named has no effect.
    pub(super) fn read(data: &Map<String, Value>) -> Result<Self, ApiError> {
        let empty = Map::new();
        let voice = match data.get("voice") {
            None | Some(Value::Null) => &empty,
            Some(Value::Object(voice)) => voice,
            Some(_) => return Err(invalid("voice", "`voice` must be an object")),
        };
        let language = text_of(voice, "language")?.map(str::parse).transpose();
        Ok(Self {
            model: None,
            voice: text_of(voice, "name")?.map(str::to_owned),
            language: language.map_err(|e: ParseLanguageError| invalid("language", e.to_string()))?,
            ssml: text_of(data, "text_format")?.is_some_and(|form| form.eq_ignore_ascii_case("ssml")),
        })
    }

    /// Nothing of the text means anything before all of it is there.
    pub(super) fn is_ssml(&self) -> bool {
        self.ssml
    }

    /// Who speaks, and as whom: `program` if the client has chosen one, else the default model, or the one to which the
    /// named voice belongs, for clients that see the voices of all programs and choose none. A language without a voice
    /// takes one that was made for it, where there is one.
    pub(super) fn settle(mut self, catalog: &Catalog, program: Option<&str>) -> Result<Self, ApiError> {
        let model = catalog.resolve_model(program)?;
        self.model = program.map(str::to_owned);
        match (&self.voice, &self.language) {
            (Some(voice), _) => {
                if let Err(error) = refuse_unknown_voice(catalog, model, Some(voice)) {
                    let owner = program.is_none().then(|| owner(catalog, voice)).flatten();
                    self.model = Some(owner.ok_or(error)?.id.as_str().to_owned());
                }
            }
            (None, Some(language)) => self.voice = voice_for(catalog, model, language),
            (None, None) => {}
        }
        Ok(self)
    }

    /// The request for `text`.
    pub(super) fn speech(&self, app: &App, text: &str) -> Result<SpeechRequest, ApiError> {
        let limits = app.settings().limits;
        let input = if self.ssml && !text.trim_start().starts_with("<speak") {
            check_input(&format!("<speak>{text}</speak>"), &limits)
        } else {
            check_input(text, &limits)
        };
        Ok(SpeechRequest {
            model: self.model.clone(),
            voice: self.voice.clone(),
            input: input.map_err(renamed)?,
            format: AudioFormat::Pcm,
            speed: Speed::NORMAL,
            language: self.language.clone(),
            seed: Seed::FromContent,
            normalize: true,
            stream: None,
            params: Params::new(),
        })
    }
}

/// The best installed model that can speak with the voice.
fn owner<'a>(catalog: &'a Catalog, voice: &str) -> Option<&'a Model> {
    let speaks = |model: &&Model| model.installed && catalog.resolve_voice(model, Some(voice)).is_ok();
    catalog.models().iter().filter(speaks).max_by_key(|model| model.manifest().rank)
}

/// A voice that was made for the language, unless the model's usual one was too.
fn voice_for(catalog: &Catalog, model: &Model, language: &Language) -> Option<String> {
    let speaks = |own: &Language| own == language;
    let similar = |own: &Language| own.primary() == language.primary();
    let usual = catalog.resolve_voice(model, None).ok().and_then(|voice| voice.language);
    if usual.as_ref().is_some_and(speaks) {
        return None;
    }
    let voices = catalog.voices(model);
    let exact = voices.iter().find(|voice| voice.languages.iter().any(speaks));
    // A voice of another region is no better than the usual one of another region.
    let near = || voices.iter().find(|voice| voice.languages.iter().any(similar));
    let found = exact.or_else(|| if usual.as_ref().is_some_and(similar) { None } else { near() });
    found.map(|voice| voice.id.as_str().to_owned())
}

/// What others call `input` is `text` in this protocol.
pub(super) fn renamed(error: ApiError) -> ApiError {
    ApiError { message: error.message.replace("`input`", "`text`"), ..error }
}

/// The text of an event; it may be empty.
pub(super) fn text(data: &Map<String, Value>) -> Result<&str, ApiError> {
    match data.get("text") {
        Some(Value::String(text)) => Ok(text),
        Some(Value::Null) | None => {
            Err(ApiError::field(ErrorCode::MissingField, "text", "`text` is required"))
        }
        Some(_) => Err(invalid("text", "`text` must be a string")),
    }
}

fn text_of<'a>(data: &'a Map<String, Value>, name: &'static str) -> Result<Option<&'a str>, ApiError> {
    match data.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(_) => Err(invalid(name, format!("`{name}` must be a string"))),
    }
}

pub(super) fn invalid(param: &'static str, message: impl Into<String>) -> ApiError {
    ApiError::field(ErrorCode::InvalidValue, param, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(data: &Value) -> Result<Wish, ApiError> {
        Wish::read(data.as_object().expect("an object"))
    }

    #[test]
    fn null_equals_absent_and_mistakes_are_named() {
        let none = Wish { model: None, voice: None, language: None, ssml: false };
        for data in [json!({}), json!({"voice": null}), json!({"voice": {"name": null, "language": ""}})] {
            assert_eq!(read(&data).expect("a wish"), none, "{data}");
        }
        let wish = read(&json!({"voice": {"language": "en_GB"}, "text_format": "SSML"})).expect("a wish");
        assert_eq!(wish, Wish { model: None, voice: None, language: Some(Language::en_gb()), ssml: true });
        for (data, param) in [
            (json!({"voice": "x"}), "voice"),
            (json!({"voice": {"name": 1}}), "name"),
            (json!({"voice": {"language": "klingon!"}}), "language"),
            (json!({"text_format": []}), "text_format"),
        ] {
            assert_eq!(read(&data).expect_err("a mistake").param.as_deref(), Some(param), "{data}");
        }
    }
}
