//! What a request says before it is cut: its text or SSML document, its lexicons, and the voices and rates in it.

use super::{Request, digest_of, language_of};
use crate::{ApiError, App, ErrorCode};
use std::sync::Arc;
use stentor_catalog::{Catalog, Model, ResolvedVoice};
use stentor_engine::EngineDescriptor;
use stentor_jobs::KeyBase;
use stentor_supervisor::SessionStyle;
use stentor_text::{Script, ScriptChunks, TextOptions, View, lexicon::Lexicon, ssml::Place};
use stentor_types::{Chunk, Language, SpeechRequest, Speed};
use tokio::task::spawn_blocking;

/// The first two chunks, and what gives the others.
type Cut = (Option<Chunk>, Option<Chunk>, ScriptChunks);

/// A text from here on is marked beside the threads that answer.
const LONG_BYTES: usize = 64 * 1024;

/// A request's text, read.
pub(super) struct Manuscript {
    pub(super) script: Script,
    /// The request's own comes first, so that it wins.
    pub(super) lexicons: Vec<Arc<Lexicon>>,
}

/// One style with its names resolved.
pub(super) struct ResolvedStyle {
    pub(super) voice: ResolvedVoice,
    pub(super) digest: String,
    pub(super) language: Language,
    pub(super) speed: Speed,
}

impl ResolvedStyle {
    pub(super) fn with_key(self, keep: Option<KeyBase>) -> SessionStyle {
        let Self { voice, digest, language, speed } = self;
        SessionStyle { voice: voice.source, voice_digest: digest, language, speed, keep }
    }
}

impl Manuscript {
    /// A document that can't be read is the client's mistake; its place is told.
    pub(super) fn read(app: &App, request: &Request<'_>) -> Result<Self, ApiError> {
        let script = Script::parse(&request.speech.input).map_err(|error| {
            let message = format!("`input` is SSML with a mistake at {}: {}", error.place, error.message);
            ApiError::field(ErrorCode::InvalidValue, "input", message)
        })?;
        let lexicons = request.lexicon.into_iter().cloned().chain([Arc::clone(&app.settings().lexicon)]);
        Ok(Self { script, lexicons: lexicons.filter(|lexicon| !lexicon.is_empty()).collect() })
    }

    /// The voices that the document asks for, and where.
    pub(super) fn voices(&self) -> impl Iterator<Item = (&str, Place)> {
        let styles = self.script.styles().iter();
        styles.filter_map(|style| Some((style.voice.as_deref()?, self.script.place(style))))
    }

    /// The language that is asked for, if one is.
    pub(super) fn language(&self, speech: &SpeechRequest) -> Option<Language> {
        speech.language.clone().or_else(|| self.script.language().cloned())
    }

    pub(super) fn chunks(
        &self,
        languages: Vec<Language>,
        normalize: bool,
        engine: &EngineDescriptor,
    ) -> ScriptChunks {
        let options = text_options(languages, normalize, engine);
        self.script.clone().chunks(options, self.lexicons.clone(), engine.chunk_budget)
    }

    /// The text as a reader sees it, the first two chunks, and what gives the others.
    pub(super) async fn begin(
        &self,
        languages: Vec<Language>,
        speech: &SpeechRequest,
        engine: &EngineDescriptor,
    ) -> Result<(Arc<View>, Cut), ApiError> {
        let mut chunks = self.chunks(languages, speech.normalize, engine);
        let (script, normalize) = (self.script.clone(), speech.normalize);
        let pull = move || (Arc::new(script.view(normalize)), (chunks.next(), chunks.next(), chunks));
        // Lexicons go through all of a text before its first chunk, and so does who looks at it.
        if speech.input.len() < LONG_BYTES {
            return Ok(pull());
        }
        spawn_blocking(pull).await.map_err(|e| ApiError::internal(format!("reading the text: {e}")))
    }

    /// Every style but the request's own. A stand-in speaks with `own` where it does not have a voice that was asked for.
    pub(super) async fn styles(
        &self,
        (catalog, model): (&Arc<Catalog>, &Model),
        descriptor: &EngineDescriptor,
        (speech, stand_in): (&SpeechRequest, bool),
        own: &ResolvedVoice,
    ) -> Result<Vec<ResolvedStyle>, ApiError> {
        let mut resolved = Vec::new();
        for style in self.script.styles().iter().skip(1) {
            let named = style.voice.as_deref();
            let voice = match named.map(|name| catalog.resolve_voice(model, Some(name))) {
                None => own.clone(),
                Some(Err(_)) if stand_in => own.clone(),
                Some(voice) => voice.map_err(|error| at(error.into(), self.script.place(style)))?,
            };
            let language = language_of(self.language(speech), &voice, model, descriptor)?;
            let digest = digest_of(catalog, &voice.source).await?;
            // Beyond its bounds a rate has no more effect.
            let speed = (speech.speed.get() * style.rate).clamp(0.25, 4.0);
            let speed = Speed::try_from(speed).unwrap_or(Speed::NORMAL);
            resolved.push(ResolvedStyle { voice, digest, language, speed });
        }
        Ok(resolved)
    }
}

pub(super) fn text_options(
    languages: Vec<Language>,
    normalize: bool,
    engine: &EngineDescriptor,
) -> Vec<TextOptions> {
    let options = |language| TextOptions { language, normalize, tags: engine.tags.clone() };
    languages.into_iter().map(options).collect()
}

/// An error about what stands at `place` of the document.
pub(super) fn at(error: ApiError, place: Place) -> ApiError {
    let message = format!("`input` at {place}: {}", error.message);
    ApiError { message, param: Some("input".into()), ..error }
}
