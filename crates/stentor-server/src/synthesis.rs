//! The path of one request from checked fields to ordered samples: resolve, admit, cut, speak, join.

use crate::{ApiError, App, ErrorCode, Limits};
use std::sync::Arc;
use stentor_audio::{JoinOptions, Joiner};
use stentor_catalog::{Model, ResolvedVoice};
use stentor_engine::EngineDescriptor;
use stentor_supervisor::{Permit, Session, SessionEvent, SessionRequest, Ticket};
use stentor_text::TextOptions;
use stentor_types::{
    Chunk, ClientId, Lane, Language, ModelId, Precision, SampleRate, Seed, SourceTiming, SpeechRequest,
    WordTiming, content_hash,
};

/// Samples ready to be encoded and the words that have been spoken since the last piece.
#[derive(Debug, Default)]
pub struct Piece {
    /// Mono, within -1..=1.
    pub samples: Vec<f32>,
    pub words: Vec<SourceTiming>,
}

/// A request that is being spoken. Dropping it frees the engine.
pub struct Synthesis {
    pub model: ModelId,
    pub voice: String,
    pub rate: SampleRate,
    /// The whole text fits one chunk, so its audio is complete with the first piece.
    pub single_chunk: bool,
    original: Arc<str>,
    session: Session,
    joiner: Joiner,
    chunk: Option<Chunk>,
    timings: Vec<WordTiming>,
    /// Some chunk has given samples.
    heard: bool,
}

/// Refuses text that is blank, holds NUL, or is longer than the limit.
pub fn check_input(text: &str, limits: &Limits) -> Result<Arc<str>, ApiError> {
    if text.len() > limits.max_input_bytes {
        let message = format!("`input` has more than {} bytes", limits.max_input_bytes);
        return Err(ApiError::field(ErrorCode::InputTooLarge, "input", message));
    }
    if text.contains('\0') {
        let message = "`input` holds a NUL character";
        return Err(ApiError::field(ErrorCode::InvalidValue, "input", message));
    }
    if text.trim().is_empty() {
        return Err(ApiError::field(ErrorCode::MissingField, "input", "`input` is empty"));
    }
    Ok(Arc::from(text))
}

/// Resolves the names of a request, admits it and learns what the model's engine can do, starting it when it is not running.
pub async fn resolve(app: &App, request: &SpeechRequest) -> Result<Resolved, ApiError> {
    let model = app.catalog.resolve_model(request.model.as_deref())?;
    let voice = app.catalog.resolve_voice(model, request.voice.as_deref())?;
    model.load_spec(app.device, Precision::F32, app.threads)?;
    let ticket = Ticket {
        client: ClientId::default(),
        lane: Lane::Interactive,
        chars: request.input.chars().count(),
        deadline: None,
    };
    // Admitted before it waits for a model to load, so that waiting is bounded too.
    let permit = app.supervisor.admit(&model.id, ticket)?;
    let descriptor = app.supervisor.ready(&model.id).await?;
    let language = language_of(request, &voice, model, &descriptor)?;
    Ok(Resolved { model: model.id.clone(), voice, language, descriptor, permit })
}

/// The names of a request, looked up, and its place among the model's sessions.
pub struct Resolved {
    pub model: ModelId,
    pub voice: ResolvedVoice,
    pub language: Language,
    pub descriptor: Arc<EngineDescriptor>,
    permit: Permit,
}

fn language_of(
    request: &SpeechRequest,
    voice: &ResolvedVoice,
    model: &Model,
    descriptor: &EngineDescriptor,
) -> Result<Language, ApiError> {
    let asked = request.language.clone().or_else(|| voice.language.clone()).unwrap_or_else(Language::en_us);
    let speaks = |language: &&Language| **language == asked;
    let same_primary = |language: &&Language| language.primary() == asked.primary();
    let spoken = &descriptor.languages;
    if let Some(found) = spoken.iter().find(speaks).or_else(|| spoken.iter().find(same_primary)) {
        return Ok(found.clone());
    }
    // Beside English, languages come from `espeak-ng`; where one of them is spoken, the program is there.
    let has_espeak = spoken.iter().any(|language| !language.is_english());
    let hint = if !has_espeak && model.languages.iter().any(|l| l.primary() == asked.primary()) {
        "; the program `espeak-ng` is needed for more and was not found: install it and restart"
    } else {
        ""
    };
    let known: Vec<&str> = spoken.iter().map(Language::as_str).collect();
    let message = format!("model `{}` can't speak `{asked}` here, only {}{hint}", model.id, known.join(", "));
    Err(ApiError::field(ErrorCode::LanguageNotSupported, "language", message))
}

/// Cuts the text and opens the session.
pub fn open(app: &App, request: &SpeechRequest, resolved: Resolved) -> Result<Synthesis, ApiError> {
    let Resolved { model, voice, language, descriptor, permit } = resolved;
    let options = TextOptions { language: language.clone(), normalize: request.normalize };
    let mut chunks = stentor_text::chunks(Arc::clone(&request.input), &options, descriptor.chunk_budget);
    let Some(first) = chunks.next() else {
        return Err(not_speakable());
    };
    let second = chunks.next();
    let single_chunk = second.is_none();
    let session = SessionRequest {
        voice: voice.source,
        voice_digest: String::new(),
        keep: None,
        language,
        speed: request.speed,
        seed: seed_of(app, request, &voice.id),
        params: request.params.clone(),
        chunks: Box::new([first].into_iter().chain(second).chain(chunks)),
        resplit: stentor_text::split,
    };
    Ok(Synthesis {
        model,
        voice: voice.id,
        rate: descriptor.sample_rate,
        single_chunk,
        original: Arc::clone(&request.input),
        session: app.supervisor.session(permit, session),
        joiner: Joiner::new(descriptor.sample_rate, JoinOptions::default()),
        chunk: None,
        timings: Vec::new(),
        heard: false,
    })
}

fn not_speakable() -> ApiError {
    ApiError::field(
        ErrorCode::InputNotSpeakable,
        "input",
        "nothing in `input` can be spoken in this language",
    )
}

fn seed_of(app: &App, request: &SpeechRequest, voice: &str) -> u64 {
    match request.seed {
        Seed::Fixed(seed) => seed,
        Seed::Random => (app.random)(),
        Seed::FromContent => content_hash(&[&request.input, voice]),
    }
}

impl Synthesis {
    /// The next stretch of audio; `None` when the text has been spoken. A text of which nothing could be spoken
    /// ends with an error.
    pub async fn next(&mut self) -> Option<Result<Piece, ApiError>> {
        loop {
            let event = match self.session.next().await {
                Some(Ok(event)) => event,
                Some(Err(error)) => return Some(Err(error.into())),
                None if self.heard => return None,
                None => {
                    self.heard = true;
                    return Some(Err(not_speakable()));
                }
            };
            let mut piece = Piece::default();
            self.take(event, &mut piece);
            if !piece.samples.is_empty() || !piece.words.is_empty() {
                return Some(Ok(piece));
            }
        }
    }

    fn take(&mut self, event: SessionEvent, piece: &mut Piece) {
        match event {
            SessionEvent::ChunkStart(chunk) => {
                self.joiner.begin();
                self.timings.clear();
                self.chunk = Some(chunk);
            }
            SessionEvent::Pcm(samples) => {
                self.heard = true;
                self.joiner.push(&samples, &mut piece.samples);
            }
            SessionEvent::Timing(words) => self.timings = words,
            SessionEvent::ChunkEnd { .. } => {
                // Without a sound before it, a pause would pass for audio.
                let Some(chunk) = self.chunk.take().filter(|_| self.heard) else { return };
                let placed = self.joiner.end(chunk.pause_ms, &mut piece.samples);
                let offset = self.rate.seconds(placed.start) - self.rate.seconds(placed.trimmed);
                piece.words = stentor_text::source_timings(
                    &self.original,
                    &chunk.spoken,
                    &self.timings,
                    self.rate,
                    offset,
                );
            }
        }
    }
}
