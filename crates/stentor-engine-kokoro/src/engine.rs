//! The engine: text to phonemes to samples, a whole chunk at once.

use crate::{
    Config,
    model::{Excitation, Kokoro, Style},
    tokens::{Tokens, Vocabulary},
    voice::Voice,
};
use rayon::ThreadPool;
use std::collections::{BTreeMap, HashMap};
use stentor_engine::{
    ChunkOutput, ChunkRequest, DeviceLost, EngineDescriptor, EngineError, MemoryUse, PhonemeTrace, VoiceSlot,
    WholeChunk,
};
use stentor_g2p::{G2p, G2pError, Phonemes};
use stentor_nn::{NnError, Opened, Watch};
use stentor_types::{ChunkBudget, DeviceSpec, Language, Precision, SpokenText, VoiceKind, VoiceSource};

/// English has about one phoneme character for each letter; this stays well below the model's 510.
const BUDGET: ChunkBudget = ChunkBudget { first: 100, max: 320 };
/// A chunk that would last longer is refused, for its activations grow with its length.
const MAX_SECONDS: usize = 60;
/// How deep blends may stand inside blends.
const MAX_BLEND_DEPTH: usize = 4;

/// A loaded model of the family with its voices.
pub struct KokoroEngine {
    config: Config,
    vocabulary: Vocabulary,
    model: Kokoro,
    presets: BTreeMap<String, Voice>,
    voices: HashMap<VoiceSlot, Voice>,
    next_slot: u64,
    g2p: G2p,
    pool: ThreadPool,
    descriptor: EngineDescriptor,
}

/// A request's own view of a running synthesis.
struct RequestWatch<'a>(&'a ChunkRequest);

impl Watch for RequestWatch<'_> {
    fn tick(&self) -> bool {
        // Work that ends after a cancellation is not progress: looked at in this order, the counter stands still from then on.
        !self.0.cancel.is_cancelled() && self.0.checkpoint().is_ok()
    }
}

impl KokoroEngine {
    pub(crate) fn new(
        config: Config,
        model: Kokoro,
        presets: BTreeMap<String, Voice>,
        g2p: G2p,
        pool: ThreadPool,
    ) -> Self {
        let descriptor = describe(&config, &model, &presets, &g2p);
        let vocabulary = Vocabulary::new(&config);
        let voices = HashMap::new();
        Self { config, vocabulary, model, presets, voices, next_slot: 0, g2p, pool, descriptor }
    }

    /// Speaks phonemes with a voice that [`WholeChunk::load_voice`] gave; everything else is as `request` says.
    pub fn speak(&self, phonemes: &Phonemes, request: &ChunkRequest) -> Result<ChunkOutput, SpeakError> {
        let voice = self.voices.get(&request.voice);
        let voice =
            voice.ok_or_else(|| EngineError::Failed(format!("voice slot {} is empty", request.voice.0)))?;
        let tokens = self.vocabulary.tokens(&phonemes.text);
        // One paragraph in signs that nobody can read must not end the story; the server knows when all is silent.
        if tokens.known() == 0 {
            return Ok(ChunkOutput::default());
        }
        self.check_length(&tokens, request)?;
        let watch = RequestWatch(request);
        let run = || {
            let style = Style::new(voice.row(tokens.characters), self.model.device())?;
            let plan = self.model.plan(&tokens.ids, &style, request.speed.get(), &watch)?;
            let frames = plan.durations.iter().sum();
            let max_frames = MAX_SECONDS * self.config.sample_rate as usize / self.config.samples_per_frame();
            if frames > max_frames {
                return Err(too_long(request, max_frames, frames).into());
            }
            let curves = self.model.curves(&plan, &watch)?;
            let mut samples = self.model.render(&plan, &curves, Excitation::Seeded(request.seed), &watch)?;
            for sample in &mut samples {
                *sample *= self.config.output_gain;
            }
            if !samples.iter().all(|sample| sample.is_finite()) {
                return Err(
                    EngineError::Failed("the model gave samples that are not finite".to_owned()).into()
                );
            }
            let words = tokens.timings(phonemes, &plan.durations, self.config.samples_per_frame());
            Ok(ChunkOutput { samples, words, units: tokens.known() as u64 })
        };
        // A card is spoken to from the thread that opened it and from no other.
        if self.model.device().is_cpu() { self.pool.install(run) } else { run() }
    }

    /// What the engine says of itself once it is known where it runs and how many bytes its weights hold there.
    pub(crate) fn settle(&mut self, opened: &Opened, weights: Option<u64>) {
        let descriptor = &mut self.descriptor;
        (descriptor.device, descriptor.precision) = (opened.spec, opened.precision);
        descriptor.degraded.clone_from(&opened.degraded);
        descriptor.memory.weights = weights.unwrap_or(descriptor.memory.weights);
    }

    fn check_length(&self, tokens: &Tokens, request: &ChunkRequest) -> Result<(), EngineError> {
        if tokens.known() > self.config.max_phonemes() {
            return Err(too_long(request, self.config.max_phonemes(), tokens.known()));
        }
        Ok(())
    }

    fn voice(&self, source: &VoiceSource, depth: usize) -> Result<Voice, EngineError> {
        match source {
            VoiceSource::Preset { name } => self
                .presets
                .get(name)
                .cloned()
                .ok_or_else(|| EngineError::Rejected(format!("the model has no voice `{name}`"))),
            VoiceSource::Embedding { path } => Voice::open(path, &self.config),
            VoiceSource::Blend { parts } if depth < MAX_BLEND_DEPTH => {
                let read = |(part, weight): &(VoiceSource, f32)| Ok((self.voice(part, depth + 1)?, *weight));
                Voice::blend(&parts.iter().map(read).collect::<Result<Vec<_>, EngineError>>()?)
            }
            VoiceSource::Blend { .. } => {
                Err(EngineError::Rejected("the blend of voices is nested too deeply".to_owned()))
            }
            VoiceSource::Reference { .. } => Err(EngineError::Rejected(
                "this model cannot imitate a recording; use one of its own voices".to_owned(),
            )),
        }
    }

    fn phonemes(&self, text: &str, language: &Language) -> Result<Phonemes, EngineError> {
        self.g2p.phonemize(text, language).map_err(|error| match error {
            G2pError::UnsupportedLanguage { .. } => EngineError::Rejected(error.to_string()),
            G2pError::Espeak(_) => EngineError::Failed(error.to_string()),
        })
    }
}

/// Why nothing was spoken.
#[derive(Debug, thiserror::Error)]
pub enum SpeakError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Network(#[from] NnError),
}

impl WholeChunk for KokoroEngine {
    fn descriptor(&self) -> &EngineDescriptor {
        &self.descriptor
    }

    fn load_voice(&mut self, source: &VoiceSource) -> Result<VoiceSlot, EngineError> {
        let voice = self.voice(source, 0)?;
        let slot = VoiceSlot(self.next_slot);
        self.next_slot += 1;
        self.voices.insert(slot, voice);
        Ok(slot)
    }

    fn drop_voice(&mut self, slot: VoiceSlot) {
        self.voices.remove(&slot);
    }

    fn voice_bytes(&self, slot: VoiceSlot) -> u64 {
        self.voices.get(&slot).map_or(0, Voice::bytes)
    }

    fn synthesize(&mut self, request: &ChunkRequest) -> Result<Result<ChunkOutput, EngineError>, DeviceLost> {
        let outcome = request
            .checkpoint()
            .and_then(|()| self.phonemes(&request.text.text, &request.language))
            .map_err(SpeakError::Engine)
            .and_then(|phonemes| self.speak(&phonemes, request));
        match outcome {
            Ok(output) => Ok(Ok(output)),
            Err(SpeakError::Engine(error)) => Ok(Err(error)),
            Err(SpeakError::Network(NnError::Stopped)) => Ok(Err(EngineError::Cancelled)),
            Err(SpeakError::Network(error)) if self.model.device().is_cpu() => {
                Ok(Err(EngineError::Failed(error.to_string())))
            }
            Err(SpeakError::Network(error)) => Err(DeviceLost(error.to_string())),
        }
    }

    fn phonemize(&self, text: &SpokenText, language: &Language) -> Result<PhonemeTrace, EngineError> {
        let phonemes = self.phonemes(&text.text, language)?;
        let characters: Vec<char> = phonemes.text.chars().collect();
        let word = |word: &stentor_g2p::PhonemeWord| {
            let spoken = text.text.get(word.source.clone()).unwrap_or_default().to_owned();
            let phonemes = characters.get(word.phonemes.clone()).unwrap_or_default().iter().collect();
            (spoken, phonemes, word.origin.to_string())
        };
        Ok(PhonemeTrace { words: phonemes.words.iter().map(word).collect(), phonemes: phonemes.text })
    }
}

/// The text must shrink in proportion, with a tenth to spare.
fn too_long(request: &ChunkRequest, allowed: usize, needed: usize) -> EngineError {
    let characters = request.text.text.chars().count();
    EngineError::ChunkTooLong { limit: (characters * allowed * 9 / (needed * 10)).max(1) }
}

fn describe(
    config: &Config,
    model: &Kokoro,
    presets: &BTreeMap<String, Voice>,
    g2p: &G2p,
) -> EngineDescriptor {
    let trained =
        |language: &Language| config.languages.as_ref().is_none_or(|known| known.contains(language));
    let mut voice_kinds = vec![VoiceKind::Embedding, VoiceKind::Blend];
    if !presets.is_empty() {
        voice_kinds.push(VoiceKind::Preset);
    }
    EngineDescriptor {
        name: "kokoro".to_owned(),
        sample_rate: config.sample_rate(),
        languages: g2p.languages().into_iter().filter(trained).collect(),
        voice_kinds,
        presets: presets.keys().cloned().collect(),
        chunk_budget: BUDGET,
        max_slots: 2,
        streams: false,
        native_speed: true,
        params: Vec::new(),
        memory: MemoryUse {
            weights: model.weight_bytes(),
            // One chunk at a time, whatever waits in the slots.
            speaking: chunk_bytes(config, model.device().is_cpu()),
        },
        // Where that is, is said by `settle`.
        device: DeviceSpec::Cpu,
        precision: Precision::F32,
        degraded: None,
        tags: Vec::new(),
        watermark: None,
    }
}

/// What the last stage of the generator holds at once for a chunk of the greatest length.
fn chunk_bytes(config: &Config, on_cpu: bool) -> u64 {
    /// Input, sum and two inner activations of a block, the other blocks' outputs, and the excitation's share.
    const TENSORS: usize = 8;
    let istftnet = &config.istftnet;
    // Elsewhere than on the CPU a convolution lays out its input once for each tap, and copies its output once.
    let taps = istftnet.resblock_kernel_sizes.iter().max().copied().unwrap_or(0);
    let tensors = if on_cpu { TENSORS } else { TENSORS + taps + 1 };
    let channels = istftnet.upsample_initial_channel >> istftnet.upsample_rates.len();
    let columns = MAX_SECONDS * config.sample_rate as usize / istftnet.gen_istft_hop_size;
    (tensors * channels * columns * size_of::<f32>()) as u64
}
