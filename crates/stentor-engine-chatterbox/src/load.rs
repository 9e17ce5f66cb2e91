//! Makes an engine of the files that a worker is handed.

use crate::{
    engine::{ChatterboxEngine, Figures, Networks, Outlook, RenderPlan, describe},
    features::resample_hq,
    model::{
        SAMPLE_RATE,
        t3::{Family, Prefix, Sequence, T3},
    },
    render::{Due, Rendering, S3Gen, render_all},
    text::{TextTokens, Tokenizer},
    voice::{Conditionals, Encoders, Listen, S3GenPrompt, T3Prompt, VoiceFiles, Voices, prompt_tokens},
};
use candle_core::Device;
use rayon::ThreadPool;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use stentor_engine::{CancelFlag, Engine, EngineError, LoadError};
use stentor_nn::{
    Draw, KEPT_ON_CARD, NnError, Opened, Unwatched, Watch, Weights, keep_big_blocks, open_device,
};
use stentor_types::{Language, LoadSpec, Precision};

/// The networks that speak.
struct Speaker {
    t3: T3,
    s3gen: S3Gen,
    tokenizer: Tokenizer,
    on_cpu: bool,
}

/// A loaded model, of which engines are made.
pub struct Model {
    speaker: Arc<Speaker>,
    pool: Arc<ThreadPool>,
    /// Hears recordings while the other pool speaks; idle else. One pool for both would run one pass after the other.
    hearing: Arc<ThreadPool>,
    figures: Figures,
    opened: Opened,
    files: VoiceFiles,
    cache_dir: Option<PathBuf>,
}

/// Loads a model. Roles of `spec.files`: `t3`, `s3gen`, `ve`; `conds` (optional: the voice `default`); `tokenizer`, or `vocab`,
/// `merges` and `added_tokens`; `cangjie` and `words` (optional: for Chinese). Which of the family it is, the tensors tell. A
/// model that does not load on a card is loaded on the CPU, and says so in its descriptor.
pub fn load(spec: &LoadSpec) -> Result<Box<dyn Engine>, LoadError> {
    Model::load(spec).map(|model| model.engine())
}

impl Model {
    /// As [`load`], before an engine is made of it.
    pub fn load(spec: &LoadSpec) -> Result<Self, LoadError> {
        let opened = open_device(spec.device, spec.precision);
        let fail = |error: String| LoadError(format!("model `{}`: {error}", spec.model));
        let on_card = (!opened.device.is_cpu()).then_some(opened.spec);
        match (Self::load_on(spec, opened), on_card) {
            (Err(error), Some(card)) => {
                // Whatever it took of the card has gone back by now.
                let why = format!("asked for {}: the model does not load on {card}: {error}", spec.device);
                Self::load_on(spec, Opened::cpu(spec.precision, Some(why))).map_err(fail)
            }
            (loaded, _) => loaded.map_err(fail),
        }
    }

    fn load_on(spec: &LoadSpec, opened: Opened) -> Result<Self, String> {
        let text = |error: NnError| error.to_string();
        if opened.device.is_cpu() {
            keep_big_blocks();
        }
        let [pool, hearing] = [threads("chatterbox", spec.threads), threads("hearing", spec.threads)];
        let (pool, hearing) = (Arc::new(pool?), Arc::new(hearing?));
        let free = opened.free_memory();
        let (speaker, bytes) = Speaker::load(spec, &opened)?;
        if !opened.device.is_cpu() {
            opened.preload().and_then(|()| speaker.warm_up()).map_err(text)?;
        }
        // Other programs take and give memory meanwhile: a difference that makes no sense is no measurement.
        let taken = free.zip(opened.free_memory()).and_then(|(before, after)| before.checked_sub(after));
        opened.keep_freed(KEPT_ON_CARD);
        let files = VoiceFiles {
            voice_encoder: file(spec, "ve")?.to_owned(),
            s3gen: file(spec, "s3gen")?.to_owned(),
            conds: spec.files.get("conds").cloned(),
        };
        let figures = Figures {
            weights: taken.filter(|&bytes| bytes > 0).unwrap_or(bytes),
            position: speaker.t3.cache_bytes(1),
            prefix: prefix_positions(speaker.t3.family(), prompt_tokens(speaker.t3.family())),
            meanflow: speaker.s3gen.is_meanflow(),
            presets: Vec::new(),
            languages: speaker.tokenizer.languages(),
            tags: speaker.tokenizer.tags(),
        };
        let (speaker, cache_dir) = (Arc::new(speaker), spec.cache_dir.clone());
        let mut model = Self { speaker, pool, hearing, figures, opened, files, cache_dir };
        let voices = model.voices();
        model.figures.presets = voices.presets();
        model.pool.install(|| voices.verify()).map_err(text)?;
        Ok(model)
    }

    fn voices(&self) -> Voices {
        let family = self.speaker.t3.family();
        Voices::new(family, self.files.clone(), self.cache_dir.as_deref(), Box::new(open_listener))
    }

    /// An engine that shares the model's weights and threads with others made of it.
    pub fn engine(&self) -> Box<dyn Engine> {
        let described =
            (describe(self.speaker.t3.family(), &self.figures, &self.opened), self.figures.prefix_bytes());
        let (speaker, pool) = (Arc::clone(&self.speaker), Arc::clone(&self.pool));
        let (voices, hearing) = (self.voices(), Arc::clone(&self.hearing));
        // Whatever device speaks, recordings are heard on the CPU.
        let open_voice =
            Arc::new(move |source: &_, waiter: &_| hearing.install(|| voices.load(source, waiter)));
        Box::new(ChatterboxEngine::new(speaker, described, pool, open_voice))
    }
}

fn threads(name: &'static str, number: usize) -> Result<ThreadPool, String> {
    let name = move |index| format!("{name}-{index}");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(number).thread_name(name).build();
    pool.map_err(|error| error.to_string())
}

fn file<'a>(spec: &'a LoadSpec, role: &str) -> Result<&'a Path, String> {
    let path = spec.files.get(role).ok_or_else(|| format!("no file was given for the role `{role}`"))?;
    Ok(path)
}

impl Speaker {
    /// The networks and the bytes of their weights.
    fn load(spec: &LoadSpec, opened: &Opened) -> Result<(Self, u64), String> {
        let text = |error: NnError| error.to_string();
        let Opened { device, precision, .. } = opened;
        let tokenizer = Tokenizer::load(&spec.files)?;
        let weights = Weights::open(file(spec, "t3")?, device).map_err(text)?;
        let t3 = T3::load(&weights, device, *precision).map_err(text)?;
        let (known, has) = (t3.text_tokens(), tokenizer.vocabulary());
        if t3.family() != tokenizer.family() || has > known {
            return Err(format!(
                "the tokenizer is of another model: {} has {known} text tokens ({:?}), the tokenizer {has} ({:?})",
                file(spec, "t3")?.display(),
                t3.family(),
                tokenizer.family(),
            ));
        }
        drop(weights);
        let weights = Weights::open(file(spec, "s3gen")?, device).map_err(text)?;
        // What it computes it computes on many rows at once: there is nothing to gain by reading less.
        let precision = if device.is_cpu() { Precision::F32 } else { *precision };
        let s3gen = S3Gen::load(&weights, device, precision).map_err(text)?;
        let bytes = t3.weight_bytes() + weights.bytes_held();
        Ok((Self { t3, s3gen, tokenizer, on_cpu: device.is_cpu() }, bytes))
    }

    /// Speaks a few tokens, so that whatever a card does once is done before somebody waits for it.
    fn warm_up(&self) -> Result<(), NnError> {
        const TOKENS: usize = 8;
        let t3 = T3Prompt { speaker: vec![0.0625; 256], tokens: vec![0; TOKENS] };
        let prefix = self.t3.prefix(&t3, 0.5, &Unwatched)?;
        let guided = self.t3.family() != Family::Turbo;
        let mut sequence = self.t3.start(&prefix, &[1, 2, 3], (guided, TOKENS), &Unwatched)?;
        // A step is launched at first, then recorded, then replayed.
        for _ in 0..3 {
            self.decode(&mut [(&mut sequence, 0)], vec![Some(Draw::default())], &Unwatched)?;
        }
        let prompt = S3GenPrompt {
            tokens: vec![0; TOKENS],
            mel: vec![-4.0; 2 * TOKENS * crate::model::MELS],
            xvector: vec![0.1; 192],
        };
        let (prompt, cancel) = (Arc::new(prompt), CancelFlag::default());
        // Two, as several need what one does and more.
        let mut renderings = [0, 1].map(|seed| Rendering::new(Arc::clone(&prompt), seed, 1, 0));
        let due = |rendering| Due { rendering, tokens: &[0; TOKENS], last: true, cancel: &cancel };
        let mut due: Vec<_> = renderings.iter_mut().map(due).collect();
        render_all(&self.s3gen, &mut due, &Unwatched).map(drop)
    }
}

impl Networks for Speaker {
    type Prefix = Prefix;
    type Sequence = Sequence;
    type Rendering = Rendering;

    fn family(&self) -> Family {
        self.t3.family()
    }

    fn on_cpu(&self) -> bool {
        self.on_cpu
    }

    fn encode(&self, text: &str, language: &Language) -> Result<TextTokens, EngineError> {
        self.tokenizer.encode(text, language)
    }

    fn prefix(&self, voice: &Conditionals, exaggeration: f32, watch: &dyn Watch) -> Result<Prefix, NnError> {
        self.t3.prefix(&voice.t3, exaggeration, watch)
    }

    fn prefix_bytes(&self, voice: &Conditionals) -> u64 {
        self.t3.cache_bytes(prefix_positions(self.t3.family(), voice.t3.tokens.len()))
    }

    fn start(
        &self,
        prefix: &Prefix,
        text: &[u32],
        room: (bool, usize),
        watch: &dyn Watch,
    ) -> Result<Sequence, NnError> {
        self.t3.start(prefix, text, room, watch)
    }

    fn decode(
        &self,
        rows: &mut [(&mut Sequence, u32)],
        draws: Vec<Option<Draw>>,
        watch: &dyn Watch,
    ) -> Result<(), NnError> {
        let done = self.t3.decode_and_draw(rows, draws, watch);
        if let Some(remark) = self.t3.take_remark() {
            stentor_engine::report(&remark);
        }
        done
    }

    fn outlook<'a>(&self, sequence: &'a Sequence) -> Outlook<'a> {
        Outlook {
            logits: sequence.logits(),
            unguided: sequence.unguided_logits(),
            attention: sequence.attention(),
            drawn: sequence.drawn(),
        }
    }

    fn rendering(&self, plan: RenderPlan) -> Rendering {
        let RenderPlan { voice, seed, steps, first_piece } = plan;
        Rendering::new(Arc::new(voice.s3gen.clone()), seed, steps, first_piece)
    }

    fn frames(&self, rendering: &Rendering, (tokens, last): (usize, bool)) -> usize {
        rendering.frames(tokens, last)
    }

    fn render(
        &self,
        due: &mut [Due<'_>],
        watch: &dyn Watch,
    ) -> Result<Vec<Result<Vec<f32>, NnError>>, NnError> {
        render_all(&self.s3gen, due, watch)
    }
}

/// Positions of a voice with a prompt of so many tokens: the speaker and the prompt, or the speaker, 32 that stand for any
/// prompt, and the emotion.
fn prefix_positions(family: Family, prompt: usize) -> usize {
    match family {
        Family::Turbo => 1 + prompt,
        Family::English | Family::Multilingual => 1 + 32 + 1,
    }
}

impl Listen for Encoders {
    fn listen(
        &self,
        samples: &[f32],
        rate: u32,
        family: Family,
        watch: &dyn Watch,
    ) -> Result<Conditionals, NnError> {
        let samples = resample_hq(samples, rate, SAMPLE_RATE, watch)?;
        self.encode(&samples, family, watch)
    }
}

/// Whatever device speaks, recordings are heard on the CPU.
fn open_listener(files: &VoiceFiles, watch: &dyn Watch) -> Result<Box<dyn Listen>, NnError> {
    let open = |path: &Path| Weights::open(path, &Device::Cpu);
    Ok(Box::new(Encoders::load(&open(&files.voice_encoder)?, &open(&files.s3gen)?, watch)?))
}
