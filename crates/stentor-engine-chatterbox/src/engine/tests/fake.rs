//! Networks without a tensor: every logit and sample follows from what a chunk has seen so far.
//!
//! A text says how it goes wrong: `stuck` loops in its first attempt, `hopeless` in each, `endless` never stops, `nan` has no
//! logits, `broken` fails a pass. A voice says how its rendering does: `hoarse` fails by itself, `deadly` with all of its pass.

use super::super::{
    ChatterboxEngine, Figures, describe,
    networks::{Networks, Outlook, RenderPlan},
};
use crate::{
    model::{SAMPLES_PER_TOKEN, SPEECH_TOKENS, STOP_SPEECH, t3::Family},
    render::Due,
    text::TextTokens,
    voice::{Conditionals, S3GenPrompt, T3Prompt},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use stentor_engine::EngineError;
use stentor_nn::{Draw, NnError, Opened, Result, Watch};
use stentor_types::{Language, Precision, VoiceSource, content_hash};

/// Speech tokens for each character of a text.
pub(super) const PACE: usize = 4;

/// What the networks were asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Log {
    pub prefixes: usize,
    /// How often each text was begun, by its ids.
    pub starts: BTreeMap<Vec<u32>, usize>,
    pub guided: Vec<bool>,
    /// Sequences of each pass.
    pub passes: Vec<usize>,
    /// Tokens of each piece and whether it was the last.
    pub pieces: Vec<(usize, bool)>,
    /// Pieces that were rendered together.
    pub renderings: Vec<usize>,
}

pub(super) struct Fake {
    family: Family,
    on_cpu: bool,
    log: Mutex<Log>,
}

pub(super) struct Sequence {
    state: u64,
    text: String,
    attempt: usize,
    spoken: usize,
    logits: Vec<f32>,
    unguided: Option<Vec<f32>>,
    attention: Vec<f32>,
}

pub(super) struct Rendering {
    plan: RenderPlan,
    given: usize,
}

impl Fake {
    pub(super) fn new(family: Family) -> Arc<Self> {
        Arc::new(Self { family, on_cpu: true, log: Mutex::default() })
    }

    pub(super) fn on_a_card(family: Family) -> Arc<Self> {
        Arc::new(Self { family, on_cpu: false, log: Mutex::default() })
    }

    pub(super) fn log(&self) -> Log {
        self.with_log(|log| log.clone())
    }

    fn with_log<R>(&self, act: impl FnOnce(&mut Log) -> R) -> R {
        act(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// An engine around these networks, with two voices.
    pub(super) fn engine(self: &Arc<Self>) -> ChatterboxEngine<Self> {
        let presets = vec!["one".to_owned(), "two".to_owned()];
        let figures = Figures {
            presets: presets.clone(),
            languages: vec![Language::en_us()],
            position: 1,
            prefix: 100,
            ..Figures::default()
        };
        let descriptor = describe(self.family, &figures, &Opened::cpu(Precision::F32, None));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
        let ill = ["hoarse", "deadly"];
        let open = move |source: &VoiceSource, _: &_| match source {
            VoiceSource::Preset { name } if presets.contains(name) || ill.contains(&name.as_str()) => {
                Ok(Arc::new(voice(name)))
            }
            other => Err(EngineError::Rejected(format!("no voice {other:?}"))),
        };
        ChatterboxEngine::new(
            Arc::clone(self),
            (descriptor, figures.prefix_bytes()),
            Arc::new(pool),
            Arc::new(open),
        )
    }
}

fn voice(name: &str) -> Conditionals {
    let number = (content_hash(&[name]) % 1000) as f32;
    Conditionals {
        t3: T3Prompt { speaker: vec![number], tokens: Vec::new() },
        s3gen: S3GenPrompt { tokens: Vec::new(), mel: Vec::new(), xvector: Vec::new() },
    }
}

impl Sequence {
    fn look(&mut self) {
        let length = self.attention.len();
        let place = (self.spoken / PACE).min(length.saturating_sub(1));
        self.attention.fill(0.1 / length as f32);
        if let Some(share) = self.attention.get_mut(place) {
            *share += 0.9;
        }
        self.logits.fill(0.0);
        // About every tenth token is another one than the likeliest, which one follows from the seed.
        let has = |word: &str| self.text.contains(word);
        let loops = has("hopeless") || (has("stuck") && self.attempt == 1);
        let likely = if loops { 7 } else { (self.state % u64::from(SPEECH_TOKENS)) as usize };
        self.logits[likely] = if loops { 50.0 } else { 9.0 };
        if self.spoken >= length * PACE && !has("endless") {
            self.logits[STOP_SPEECH as usize] = 50.0;
        }
        if has("nan") && self.spoken == 5 {
            self.logits[0] = f32::NAN;
        }
    }
}

impl Networks for Fake {
    type Prefix = u64;
    type Sequence = Sequence;
    type Rendering = Rendering;

    fn family(&self) -> Family {
        self.family
    }

    fn on_cpu(&self) -> bool {
        self.on_cpu
    }

    fn encode(&self, text: &str, _: &Language) -> std::result::Result<TextTokens, EngineError> {
        let one = |(at, character): (usize, char)| (character as u32, at..at + character.len_utf8());
        let (ids, source) = text.char_indices().map(one).unzip();
        Ok(TextTokens { ids, source })
    }

    fn prefix(&self, voice: &Conditionals, exaggeration: f32, watch: &dyn Watch) -> Result<u64> {
        self.with_log(|log| log.prefixes += 1);
        if !watch.tick() {
            return Err(NnError::Stopped);
        }
        Ok(content_hash(&[&voice.t3.speaker[0].to_string(), &exaggeration.to_string()]))
    }

    fn prefix_bytes(&self, _: &Conditionals) -> u64 {
        100
    }

    fn start(
        &self,
        prefix: &u64,
        text: &[u32],
        (guided, _): (bool, usize),
        watch: &dyn Watch,
    ) -> Result<Sequence> {
        let attempt = self.with_log(|log| {
            log.guided.push(guided);
            let starts = log.starts.entry(text.to_vec()).or_default();
            *starts += 1;
            *starts
        });
        if !watch.tick() {
            return Err(NnError::Stopped);
        }
        let width = if self.family == Family::Turbo { 6563 } else { 8194 };
        let text: String = text.iter().filter_map(|id| char::from_u32(*id)).collect();
        let mut sequence = Sequence {
            state: content_hash(&[&prefix.to_string(), &text]),
            attempt,
            spoken: 0,
            logits: vec![0.0; width],
            unguided: guided.then(|| vec![0.0; width]),
            attention: vec![0.0; text.len()],
            text,
        };
        sequence.look();
        Ok(sequence)
    }

    fn decode(
        &self,
        rows: &mut [(&mut Sequence, u32)],
        draws: Vec<Option<Draw>>,
        watch: &dyn Watch,
    ) -> Result<()> {
        assert_eq!(draws.len(), rows.len());
        self.with_log(|log| log.passes.push(rows.len()));
        for (sequence, token) in rows {
            if sequence.text.contains("broken") && sequence.spoken == 5 {
                return Err(failure("a pass"));
            }
            sequence.state = content_hash(&[&sequence.state.to_string(), &token.to_string()]);
            sequence.spoken += 1;
            sequence.look();
        }
        if watch.tick() { Ok(()) } else { Err(NnError::Stopped) }
    }

    fn outlook<'a>(&self, sequence: &'a Sequence) -> Outlook<'a> {
        let Sequence { logits, unguided, attention, .. } = sequence;
        Outlook { logits, unguided: unguided.as_deref(), attention, drawn: None }
    }

    fn rendering(&self, plan: RenderPlan) -> Rendering {
        Rendering { plan, given: 0 }
    }

    fn frames(&self, _: &Rendering, (tokens, _): (usize, bool)) -> usize {
        2 * tokens
    }

    fn render(&self, due: &mut [Due<'_, Rendering>], watch: &dyn Watch) -> Result<Vec<Result<Vec<f32>>>> {
        self.with_log(|log| log.renderings.push(due.len()));
        let speaks = |due: &Due<'_, Rendering>, name: &str| due.rendering.plan.voice.as_ref() == &voice(name);
        for due in &*due {
            self.with_log(|log| log.pieces.push((due.tokens.len(), due.last)));
            if speaks(due, "deadly") {
                return Err(failure("a rendering"));
            }
        }
        if !watch.tick() {
            return Err(NnError::Stopped);
        }
        let one = |due: &mut Due<'_, Rendering>| {
            if speaks(due, "hoarse") {
                Err(failure("a voice"))
            } else {
                Ok(due.rendering.go_on(due.tokens, due.last))
            }
        };
        Ok(due.iter_mut().map(one).collect())
    }
}

fn failure(origin: &str) -> NnError {
    NnError::Format { origin: origin.to_owned(), message: "broke".to_owned() }
}

impl Rendering {
    fn go_on(&mut self, tokens: &[u32], last: bool) -> Vec<f32> {
        // The last token is held back until it is known what follows.
        let end = if last { tokens.len() } else { tokens.len() - 4 };
        let voice = self.plan.voice.t3.speaker[0];
        let mut samples = Vec::new();
        for (index, &token) in tokens.iter().enumerate().take(end).skip(self.given) {
            let parts = [u64::from(token), index as u64, self.plan.seed].map(|n| n.to_string());
            let value = (content_hash(&[&parts[0], &parts[1], &parts[2]]) % 1000) as f32 / 1000.0 + voice;
            samples.extend(std::iter::repeat_n(value / 2000.0, SAMPLES_PER_TOKEN));
        }
        self.given = end;
        samples
    }
}
