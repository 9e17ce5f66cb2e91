//! How a text would be read, without speaking it: what each word becomes and which rule did it.

use super::choose::{installed, refuse_unknown_voices};
use super::script::{Manuscript, text_options};
use super::{Request, descriptor, language_of, not_speakable};
use crate::{ApiError, App, ErrorCode};
use std::{ops::Range, sync::Arc, time::Duration};
use stentor_engine::{EngineDescriptor, PhonemeTrace};
use stentor_supervisor::SpeechError;
use stentor_text::{Rule, View, lexicon::Entry};
use stentor_types::{Language, ModelId, SpokenText};
use tokio::time::timeout;

/// Characters of a text whose reading is shown: this is for looking at words, not at books.
const MAX_CHARS: usize = 20_000;
/// For the answer about one chunk, if the configuration lets requests wait for ever.
const PATIENCE: Duration = Duration::from_secs(120);

/// How a text is read.
#[derive(Debug)]
pub struct Reading {
    pub model: String,
    pub voice: String,
    pub language: Language,
    /// What the model is given, a line for each chunk.
    pub normalized: String,
    /// `None` for a model that uses none.
    pub phonemes: Option<String>,
    pub words: Vec<TracedWord>,
    /// What of an SSML document has no effect.
    pub ignored: Vec<String>,
}

/// A word of the client's text.
#[derive(Debug)]
pub struct TracedWord {
    /// Bytes of the client's text.
    pub source: Range<usize>,
    /// What a reader sees there.
    pub written: String,
    pub spoken: String,
    /// Who made `spoken`: `none`, `normalizer`, `lexicon` or `ssml:` with an element's name.
    pub rule: String,
    /// `request` or `server`, the entry's index, and the entry.
    pub entry: Option<(&'static str, usize, Entry)>,
    /// Text, phonemes, and which source gave them.
    pub parts: Vec<(String, String, String)>,
}

/// Reads the text of `request` as its model would. No other model stands in.
pub async fn trace(app: &App, request: Request<'_>) -> Result<Reading, ApiError> {
    let speech = request.speech;
    if speech.input.chars().count() > MAX_CHARS {
        let message = format!("`input` has more than {MAX_CHARS} characters");
        return Err(ApiError::field(ErrorCode::InputTooLarge, "input", message));
    }
    let manuscript = Manuscript::read(app, &request)?;
    let catalog = app.catalog();
    let asked = catalog.resolve_model(speech.model.as_deref())?;
    refuse_unknown_voices(&catalog, asked, (speech.voice.as_deref(), &manuscript))?;
    let model = installed(app, &catalog, &asked.id)?;
    let voice = catalog.resolve_voice(model, speech.voice.as_deref())?;
    let patience = app.settings().limits.request_timeout.unwrap_or(PATIENCE);
    let engine = descriptor(app, model, Some(patience)).await?;
    let language = language_of(manuscript.language(speech), &voice, model, &engine)?;
    let styles = manuscript.styles((&catalog, model), &engine, (speech, false), &voice).await?;
    let languages: Vec<_> =
        [language.clone()].into_iter().chain(styles.into_iter().map(|s| s.language)).collect();
    let rules = Rules::new(
        &manuscript,
        request.lexicon.is_some_and(|l| !l.is_empty()),
        (&languages, speech.normalize),
        &engine,
    );
    let mut reading = Reading {
        model: model.id.as_str().to_owned(),
        voice: voice.id,
        language,
        normalized: String::new(),
        phonemes: Some(String::new()),
        words: Vec::new(),
        ignored: manuscript.script.ignored().to_vec(),
    };
    let view = manuscript.script.view(speech.normalize);
    let mut goes_on = false;
    for chunk in manuscript.chunks(languages.clone(), speech.normalize, &engine) {
        let language = languages.get(chunk.style).unwrap_or(&reading.language).clone();
        let traced = ask(app, &model.id, (&chunk.spoken, language), patience).await?;
        let begun = goes_on.then(|| reading.words.pop()).flatten();
        let from = reading.words.len();
        reading.add(&chunk.spoken, traced.as_ref(), (&view, &rules));
        if let Some(begun) = begun {
            reading.join(begun, from, &rules);
        }
        goes_on = chunk.goes_on;
    }
    if reading.words.is_empty() {
        return Err(not_speakable());
    }
    Ok(reading)
}

/// The phonemes of a chunk; none from a model that has no use for them.
async fn ask(
    app: &App,
    model: &ModelId,
    (spoken, language): (&SpokenText, Language),
    patience: Duration,
) -> Result<Option<PhonemeTrace>, ApiError> {
    match timeout(patience, app.supervisor.phonemize(model, spoken.clone(), language)).await {
        Ok(Ok(trace)) => Ok(Some(trace)),
        Ok(Err(SpeechError::Rejected(_))) => Ok(None),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(SpeechError::Late { waited_s: patience.as_secs() as u32 }.into()),
    }
}

impl Reading {
    fn add(&mut self, spoken: &SpokenText, traced: Option<&PhonemeTrace>, (view, rules): (&View, &Rules)) {
        line(&mut self.normalized, &spoken.text);
        match (traced, &mut self.phonemes) {
            (Some(traced), Some(phonemes)) => line(phonemes, &traced.phonemes),
            _ => self.phonemes = None,
        }
        let placed = placed(&spoken.text, traced);
        let mut first = 0;
        for span in &spoken.spans {
            let said = spoken.text.get(span.spoken.clone()).unwrap_or_default();
            while placed.get(first).is_some_and(|(range, _)| range.end <= span.spoken.start) {
                first += 1;
            }
            let inside = placed[first..].iter().take_while(|(range, _)| range.start < span.spoken.end);
            let parts = inside.map(|(_, part)| (*part).clone()).collect();
            let written = view.word(&span.source).to_owned();
            let (rule, entry) = rules.of(&span.source, written == said);
            self.words.push(TracedWord {
                source: span.source.clone(),
                written,
                spoken: said.to_owned(),
                rule,
                entry,
                parts,
            });
        }
    }

    /// Puts `begun`, the first part of a word that a chunk's end cut, before the word at `at`, the other part.
    fn join(&mut self, begun: TracedWord, at: usize, rules: &Rules) {
        let Some(word) = self.words.get_mut(at).filter(|word| word.source.start < begun.source.end) else {
            return self.words.insert(at, begun);
        };
        // A word that is longer than a chunk is cut between letters.
        let whole = format!("{}{}", begun.spoken, word.spoken);
        let gap = if word.written.starts_with(&whole) { "" } else { " " };
        word.spoken = format!("{}{gap}{}", begun.spoken, word.spoken);
        (word.rule, word.entry) = rules.of(&word.source, word.written == word.spoken);
        word.parts.splice(0..0, begun.parts);
    }
}

fn line(out: &mut String, text: &str) {
    if !out.is_empty() {
        out.push('\n');
    }
    out.push_str(text);
}

/// A word as the phonemizer names it, its phonemes and where they are from.
type Part = (String, String, String);

/// Where each word of the trace stands in the text; they come in its order.
fn placed<'a>(text: &str, traced: Option<&'a PhonemeTrace>) -> Vec<(Range<usize>, &'a Part)> {
    let mut from = 0;
    let words = traced.map_or(&[][..], |traced| traced.words.as_slice()).iter();
    let place = |part: &'a Part| {
        let start = from + text[from..].find(&part.0)?;
        from = start + part.0.len();
        Some((start..from, part))
    };
    words.filter_map(place).collect()
}

/// Which stretches of the client's text are read by an entry or an element.
struct Rules {
    rewritten: Vec<(Range<usize>, Rule)>,
    lexicons: Vec<(&'static str, Arc<stentor_text::lexicon::Lexicon>)>,
}

impl Rules {
    fn new(
        manuscript: &Manuscript,
        has_own: bool,
        (languages, normalize): (&[Language], bool),
        engine: &EngineDescriptor,
    ) -> Self {
        let options = text_options(languages.to_vec(), normalize, engine);
        let names = if has_own { ["request", "server"] } else { ["server", "server"] };
        Self {
            rewritten: manuscript.script.rewritten(&options, &manuscript.lexicons),
            lexicons: names.into_iter().zip(manuscript.lexicons.iter().cloned()).collect(),
        }
    }

    /// The rule of the word at `source`; `same`: it is spoken as it is written.
    fn of(&self, source: &Range<usize>, same: bool) -> (String, Option<(&'static str, usize, Entry)>) {
        let at = self.rewritten.partition_point(|(range, _)| range.end <= source.start);
        let rule =
            self.rewritten.get(at).filter(|(range, _)| range.start < source.end).map(|(_, rule)| *rule);
        match rule {
            Some(Rule::Lexicon { lexicon, entry }) => {
                let found = self.lexicons.get(lexicon);
                let found =
                    found.and_then(|(name, all)| Some((*name, entry, all.entries().get(entry)?.clone())));
                ("lexicon".to_owned(), found)
            }
            Some(Rule::Ssml(element)) => (format!("ssml:{element}"), None),
            _ => ((if same { "none" } else { "normalizer" }).to_owned(), None),
        }
    }
}
