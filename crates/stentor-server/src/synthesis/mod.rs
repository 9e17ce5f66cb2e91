//! The path of one request from checked fields to ordered samples: resolve, admit, cut, speak, join.

mod choose;
mod meter;
mod script;
pub mod trace;

use crate::{ApiError, App, ErrorCode, Limits, Terms};
pub(crate) use choose::refuse_unknown_voice;
use meter::Meter;
pub use meter::Spoken;
use script::{Manuscript, ResolvedStyle};
use std::{sync::Arc, time::Duration};
use stentor_audio::{JoinOptions, Joiner};
use stentor_catalog::{Catalog, Hold, Model, ResolvedVoice};
use stentor_engine::EngineDescriptor;
use stentor_jobs::KeyBase;
use stentor_supervisor::{Permit, Session, SessionEvent, SessionRequest, SpeechError};
use stentor_text::{View, WordJoiner, lexicon::Lexicon};
use stentor_types::{
    Chunk, Language, ModelId, ParamSpec, Params, SampleRate, Seed, SourceTiming, SpeechRequest, Speed,
    VoiceSource, WordTiming, content_hash,
};
use tokio::time::{Instant, timeout};

/// Samples ready to be encoded and the words that have been spoken since the last piece.
#[derive(Debug, Default)]
pub struct Piece {
    /// Mono, within -1..=1.
    pub samples: Vec<f32>,
    pub words: Vec<SourceTiming>,
}

/// Reads a request's engine parameters once it is known what the engine takes.
pub type ReadParams<'a> = &'a (dyn Fn(&[ParamSpec]) -> Result<Params, ApiError> + Send + Sync);

/// A request and what surrounds it.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub speech: &'a SpeechRequest,
    pub terms: Terms,
    /// Its model's fallbacks may speak it.
    pub stand_ins: bool,
    /// It moves metrics; the server's own words do not.
    pub counted: bool,
    /// `None` takes the parameters of `speech`.
    pub params: Option<ReadParams<'a>>,
    /// Entries for this text, which win over the server's.
    pub lexicon: Option<&'a Arc<Lexicon>>,
    /// When it came.
    pub since: Instant,
}

impl<'a> Request<'a> {
    pub fn new(speech: &'a SpeechRequest, terms: Terms) -> Self {
        let since = Instant::now();
        Self { speech, terms, stand_ins: true, counted: true, params: None, lexicon: None, since }
    }
}

/// A request that is being spoken. Dropping it frees the engine.
pub struct Synthesis {
    /// Who speaks.
    pub model: ModelId,
    /// Who was to speak, when `model` stands in for it.
    pub fallback_from: Option<ModelId>,
    pub voice: String,
    pub rate: SampleRate,
    /// The watermark in its samples, by name.
    pub watermark: Option<String>,
    /// The whole text fits one chunk, so its audio is complete with the first piece.
    pub one_piece: bool,
    /// The engine's parameters that are in force.
    pub params: Params,
    /// What of an SSML document has no effect.
    pub ignored: Vec<String>,
    /// Keeps the files of uploaded voices until it is over.
    _holds: Vec<Hold>,
    original: Arc<str>,
    view: Arc<View>,
    session: Session,
    joiner: Joiner,
    chunk: Option<Chunk>,
    timings: Vec<WordTiming>,
    joined: WordJoiner,
    /// Samples given out.
    given: u64,
    /// Waited for when the synthesis began, and not yet given out.
    first: Option<Piece>,
    meter: Meter,
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

/// Resolves the names of a request, admits it and waits for its first sound, from its model or from one that stands in.
pub async fn begin(app: &App, request: Request<'_>) -> Result<Synthesis, ApiError> {
    choose::begin(app, request).await
}

/// What a request has come to, once it is admitted.
struct Admitted {
    model: ModelId,
    voice: ResolvedVoice,
    language: Language,
    descriptor: Arc<EngineDescriptor>,
    params: Params,
    seed: u64,
    digest: String,
    styles: Vec<ResolvedStyle>,
    /// By style; `None` keeps nothing.
    keep: Option<Vec<KeyBase>>,
    permit: Permit,
}

/// Has `model` speak; gives the synthesis when its first sound is there. A stand-in uses its own voice where it does not
/// have the one that was asked for.
async fn speak(
    app: &App,
    catalog: &Arc<Catalog>,
    model: &Model,
    (request, stand_in): (Request<'_>, bool),
    manuscript: &Manuscript,
) -> Result<Synthesis, ApiError> {
    let speech = request.speech;
    let voice = match catalog.resolve_voice(model, speech.voice.as_deref()) {
        Err(_) if stand_in => catalog.resolve_voice(model, None)?,
        voice => voice?,
    };
    let ticket = request.terms.ticket(speech.input.chars().count(), &app.settings().limits);
    // Admitted before it waits for a model to load, so that waiting is bounded too.
    let permit = app.supervisor.admit(&model.id, ticket)?;
    let descriptor = descriptor(app, model, ticket.deadline).await?;
    let language = language_of(manuscript.language(speech), &voice, model, &descriptor)?;
    let params = match request.params {
        Some(read) => read(&descriptor.params)?,
        None => speech.params.clone(),
    };
    let seed = seed_of(app, speech, &voice.id);
    let digest = digest_of(catalog, &voice.source).await?;
    let styles = manuscript.styles((catalog, model), &descriptor, (speech, stand_in), &voice).await?;
    let permitted = request.terms.keep && speech.seed != Seed::Random;
    let mut all = Admitted {
        model: model.id.clone(),
        voice,
        language,
        descriptor,
        params,
        seed,
        digest,
        styles,
        keep: None,
        permit,
    };
    if permitted {
        all.keep = Some(keys(app, model, &all, speech));
    }
    let metrics = request.counted.then(|| Arc::clone(&app.metrics));
    let meter = Meter::new(metrics, &model.id, request.since);
    let mut synthesis = open(app, speech, all, (manuscript, meter)).await?;
    synthesis.first = synthesis.next().await.transpose()?;
    Ok(synthesis)
}

/// What the engine can do. A model that has once been loaded is not waited for: what is in the store needs no engine.
async fn descriptor(
    app: &App,
    model: &Model,
    deadline: Option<Duration>,
) -> Result<Arc<EngineDescriptor>, ApiError> {
    if let Some(known) = app.supervisor.descriptor(&model.id) {
        return Ok(known);
    }
    let ready = app.supervisor.ready(&model.id);
    let Some(deadline) = deadline else { return Ok(ready.await?) };
    match timeout(deadline, ready).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(SpeechError::Late { waited_s: deadline.as_secs_f64().ceil() as u32 }.into()),
    }
}

/// Reads the voice's files, when they have changed.
async fn digest_of(catalog: &Arc<Catalog>, source: &VoiceSource) -> Result<String, ApiError> {
    let (catalog, source) = (Arc::clone(catalog), source.clone());
    let digest = tokio::task::spawn_blocking(move || catalog.voice_digest(&source)).await;
    let digest = digest.map_err(|e| ApiError::internal(format!("reading the voice: {e}")))?;
    digest.map_err(|error| ApiError {
        detail: Some(error.to_string()),
        ..ApiError::field(ErrorCode::VoiceNotFound, "voice", "the voice's file can't be read any more")
    })
}

/// What the engine wants otherwise from a text's second chunk on, but for what the client has said.
fn later(specs: &[ParamSpec], said: &Params) -> Params {
    let wanted = specs.iter().filter(|spec| !said.contains_key(&spec.name));
    wanted.filter_map(|spec| Some((spec.name.clone(), spec.later.clone()?))).collect()
}

/// Everything that a chunk's samples depend on beside its text, for each style.
fn keys(app: &App, model: &Model, all: &Admitted, speech: &SpeechRequest) -> Vec<KeyBase> {
    let own = (all.digest.as_str(), &all.language, speech.speed);
    let others = all.styles.iter().map(|style| (style.digest.as_str(), &style.language, style.speed));
    [own].into_iter().chain(others).map(|style| key_base(app, model, all, style)).collect()
}

fn key_base(
    app: &App,
    model: &Model,
    all: &Admitted,
    (digest, language, speed): (&str, &Language, Speed),
) -> KeyBase {
    // A map of plain values always has a JSON form; its keys are sorted.
    let params = serde_json::to_string(&all.params).unwrap_or_default();
    let precision = format!("{:?}", all.descriptor.precision);
    KeyBase::new(&[
        app.build_id.as_bytes(),
        model.id.as_str().as_bytes(),
        model.revision().as_bytes(),
        digest.as_bytes(),
        language.as_str().as_bytes(),
        &speed.get().to_bits().to_le_bytes(),
        params.as_bytes(),
        &all.seed.to_le_bytes(),
        all.descriptor.name.as_bytes(),
        precision.as_bytes(),
    ])
}

fn language_of(
    asked: Option<Language>,
    voice: &ResolvedVoice,
    model: &Model,
    descriptor: &EngineDescriptor,
) -> Result<Language, ApiError> {
    let asked = asked.or_else(|| voice.language.clone()).unwrap_or_else(Language::en_us);
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
async fn open(
    app: &App,
    speech: &SpeechRequest,
    all: Admitted,
    (manuscript, mut meter): (&Manuscript, Meter),
) -> Result<Synthesis, ApiError> {
    let Admitted { model, voice, language, descriptor, params, seed, digest, styles, keep, permit } = all;
    let others = styles.iter().map(|style| style.language.clone());
    let languages = [language.clone()].into_iter().chain(others).collect();
    let (view, (first, second, chunks)) = manuscript.begin(languages, speech, &descriptor).await?;
    let Some(first) = first else {
        meter.end();
        return Err(not_speakable());
    };
    let one_piece = second.is_none() && !descriptor.streams;
    meter.begin(speech.input.chars().count());
    let mut keep = keep.into_iter().flatten();
    let holds = styles.iter().flat_map(|style| &style.voice.holds).chain(&voice.holds).cloned().collect();
    let session = SessionRequest {
        voice: voice.source,
        voice_digest: digest,
        keep: keep.next(),
        language,
        speed: speech.speed,
        styles: styles.into_iter().map(|style| style.with_key(keep.next())).collect(),
        seed,
        params: params.clone(),
        later: later(&descriptor.params, &params),
        chunks: Box::new([first].into_iter().chain(second).chain(chunks)),
        resplit: stentor_text::split,
    };
    Ok(Synthesis {
        model,
        fallback_from: None,
        voice: voice.id,
        _holds: holds,
        rate: descriptor.sample_rate,
        watermark: descriptor.watermark.clone(),
        one_piece,
        params,
        ignored: manuscript.script.ignored().to_vec(),
        original: Arc::clone(&speech.input),
        view,
        session: app.supervisor.session(permit, session),
        joiner: Joiner::new(descriptor.sample_rate, JoinOptions::default()),
        chunk: None,
        timings: Vec::new(),
        joined: WordJoiner::default(),
        given: 0,
        first: None,
        meter,
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
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        loop {
            let event = match self.session.next().await {
                Some(Ok(event)) => event,
                end => {
                    if end.is_none()
                        && let Some(word) = self.joined.finish()
                    {
                        return Some(Ok(Piece { samples: Vec::new(), words: vec![word] }));
                    }
                    self.meter.end();
                    return match end {
                        Some(Err(error)) => Some(Err(error.into())),
                        _ if self.meter.has_heard() => None,
                        _ => {
                            self.meter.give_up();
                            Some(Err(not_speakable()))
                        }
                    };
                }
            };
            let mut piece = Piece::default();
            self.take(event, &mut piece);
            self.given += piece.samples.len() as u64;
            if !piece.samples.is_empty() || !piece.words.is_empty() {
                self.meter.audio(self.rate.seconds(piece.samples.len() as u64));
                return Some(Ok(piece));
            }
        }
    }

    /// The client's text, to which the places of words refer.
    pub fn original(&self) -> &Arc<str> {
        &self.original
    }

    /// That text as a reader sees it.
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// What has become of it so far.
    pub fn spoken(&self) -> Spoken {
        self.meter.spoken()
    }

    fn take(&mut self, event: SessionEvent, piece: &mut Piece) {
        match event {
            SessionEvent::ChunkStart(chunk) => {
                self.joiner.begin();
                self.timings.clear();
                self.chunk = Some(chunk);
            }
            SessionEvent::Pcm(samples) => {
                self.meter.hear(self.session.queued());
                self.joiner.push(&samples, &mut piece.samples);
            }
            SessionEvent::Timing(words) => self.timings = words,
            SessionEvent::ChunkEnd { stats } => {
                self.meter.read(stats.units);
                // Without a sound before it, a pause would pass for audio.
                let Some(chunk) = self.chunk.take().filter(|_| self.meter.has_heard()) else { return };
                let placed = self.joiner.end(chunk.pause_ms, &mut piece.samples);
                for word in &mut self.timings {
                    word.samples = placed.sounds_at(word.samples.start)..placed.sounds_at(word.samples.end);
                }
                piece.words =
                    stentor_text::source_timings(&self.view, &chunk.spoken, &self.timings, self.rate, 0.0);
                // An engine may count silence that was cut away to a word; no word is heard outside its chunk.
                let end = self.rate.seconds(self.given + piece.samples.len() as u64);
                let start = self.rate.seconds(placed.start).min(end);
                for word in &mut piece.words {
                    word.start = word.start.clamp(start, end);
                    word.end = word.end.clamp(word.start, end);
                }
                self.joined.chunk(&self.view, &mut piece.words, chunk.goes_on);
            }
        }
    }
}
