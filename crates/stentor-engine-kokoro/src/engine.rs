//! The engine: text to phonemes to samples, a whole chunk at once.

use crate::{
    Config,
    model::{Curves, Excitation, Kokoro, Plan, Style, Utterance, recorded_frames},
    together::together,
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
use stentor_nn::{NnError, Opened, Watch, groups};
use stentor_types::{ChunkBudget, DeviceSpec, Language, Precision, SpokenText, VoiceKind, VoiceSource};

/// English has about one phoneme character for each letter; this stays well below the model's 510.
const BUDGET: ChunkBudget = ChunkBudget { first: 100, max: 320 };
/// A chunk that would last longer is refused, for its activations grow with its length.
const MAX_SECONDS: usize = 60;
/// Chunks at once on a card.
const SLOTS_ON_CARD: usize = 32;
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

/// What a chunk is spoken from.
struct Prepared<'a> {
    request: &'a ChunkRequest,
    phonemes: &'a Phonemes,
    tokens: Tokens,
    style: Style,
}

/// The requests' own view of a running synthesis, which goes on as long as one of them waits for it.
struct RequestsWatch<'a>(&'a [Prepared<'a>]);

impl Watch for RequestsWatch<'_> {
    fn tick(&self) -> bool {
        // Work that ends after a cancellation is not progress: looked at in this order, the counter stands still from then on.
        let waits = |prepared: &Prepared<'_>| {
            !prepared.request.cancel.is_cancelled() && prepared.request.checkpoint().is_ok()
        };
        self.0.iter().filter(|prepared| waits(prepared)).count() > 0
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
        let Some(prepared) = self.prepare(phonemes, request)? else { return Ok(ChunkOutput::default()) };
        let mut spoken = self.speak_prepared(&[prepared])?;
        Ok(spoken.remove(0)?)
    }

    /// `None` if there is nothing to say.
    fn prepare<'a>(
        &self,
        phonemes: &'a Phonemes,
        request: &'a ChunkRequest,
    ) -> Result<Option<Prepared<'a>>, SpeakError> {
        let voice = self.voices.get(&request.voice);
        let voice =
            voice.ok_or_else(|| EngineError::Failed(format!("voice slot {} is empty", request.voice.0)))?;
        let tokens = self.vocabulary.tokens(&phonemes.text);
        // One paragraph in signs that nobody can read must not end the story; the server knows when all is silent.
        if tokens.known() == 0 {
            return Ok(None);
        }
        self.check_length(&tokens, request)?;
        let style = Style::new(voice.row(tokens.characters), self.model.device())?;
        Ok(Some(Prepared { request, phonemes, tokens, style }))
    }

    /// Speaks all of them in as few passes as their length allows; each comes out as if it were alone.
    fn speak_prepared(&self, all: &[Prepared<'_>]) -> Result<Vec<Result<ChunkOutput, EngineError>>, NnError> {
        let run = || self.speak_here(all);
        // A card is spoken to from the thread that opened it and from no other.
        if self.model.device().is_cpu() { self.pool.install(run) } else { run() }
    }

    fn speak_here(&self, all: &[Prepared<'_>]) -> Result<Vec<Result<ChunkOutput, EngineError>>, NnError> {
        let watch = RequestsWatch(all);
        if all.is_empty() {
            return Ok(Vec::new());
        }
        let utterances = all.iter().map(|one| Utterance {
            ids: &one.tokens.ids,
            style: &one.style,
            speed: one.request.speed.get(),
        });
        let utterances: Vec<_> = utterances.collect();
        let plans = self.model.plan_all(&utterances, &watch)?;
        let mut spoken: Vec<_> =
            plans.iter().zip(all).map(|(plan, one)| self.within_bounds(plan, one)).collect();
        let fitting: Vec<usize> = (0..all.len()).filter(|&index| spoken[index].is_ok()).collect();
        let lens: Vec<usize> = fitting.iter().map(|&index| frames(&plans[index])).collect();
        for group in groups(&lens, |count, longest| count * longest <= most_frames(&self.config)) {
            let group = group.into_iter().map(|index| fitting[index]);
            let (left, group): (Vec<usize>, Vec<usize>) =
                group.partition(|&index| all[index].request.cancel.is_cancelled());
            for index in left {
                spoken[index] = Err(EngineError::Cancelled);
            }
            if group.is_empty() {
                continue;
            }
            let planned: Vec<&Plan> = group.iter().map(|&index| &plans[index]).collect();
            let curves = self.model.curves_of_all(&planned, &watch)?;
            let with_curves = planned.iter().zip(&curves).zip(&group);
            let excited: Vec<(&Plan, &Curves, Excitation<'_>)> = with_curves
                .map(|((plan, curves), &index)| (*plan, curves, Excitation::Seeded(all[index].request.seed)))
                .collect();
            let samples = self.render(&excited, &watch)?;
            for ((&index, plan), samples) in group.iter().zip(planned).zip(samples) {
                spoken[index] = self.output(&all[index], plan, samples);
            }
        }
        Ok(spoken)
    }

    /// The samples of each; one alone on a card is a recording's where that will do.
    fn render(
        &self,
        excited: &[(&Plan, &Curves, Excitation<'_>)],
        watch: &dyn Watch,
    ) -> Result<Vec<Vec<f32>>, NnError> {
        if let ([alone], false) = (excited, self.model.device().is_cpu())
            && let Some(samples) = self.model.render_again(*alone, watch)?
        {
            return Ok(vec![samples]);
        }
        self.model.render_all(excited, watch)
    }

    /// An error if the chunk would last too long; what it says is empty yet.
    fn within_bounds(&self, plan: &Plan, prepared: &Prepared<'_>) -> Result<ChunkOutput, EngineError> {
        let (frames, allowed) = (frames(plan), most_frames(&self.config));
        if frames > allowed {
            Err(too_long(prepared.request, allowed, frames))
        } else {
            Ok(ChunkOutput::default())
        }
    }

    fn output(
        &self,
        prepared: &Prepared<'_>,
        plan: &Plan,
        mut samples: Vec<f32>,
    ) -> Result<ChunkOutput, EngineError> {
        let Prepared { phonemes, tokens, .. } = prepared;
        for sample in &mut samples {
            *sample *= self.config.output_gain;
        }
        if !samples.iter().all(|sample| sample.is_finite()) {
            return Err(EngineError::Failed("the model gave samples that are not finite".to_owned()));
        }
        let words = tokens.timings(phonemes, &plan.durations, self.config.samples_per_frame());
        Ok(ChunkOutput { samples, words, units: tokens.known() as u64 })
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

impl KokoroEngine {
    /// What a client hears of it; the outer error means that the device is gone.
    fn refusal(&self, error: SpeakError) -> Result<EngineError, DeviceLost> {
        match error {
            SpeakError::Engine(error) => Ok(error),
            SpeakError::Network(NnError::Stopped) => Ok(EngineError::Cancelled),
            SpeakError::Network(error) if self.model.device().is_cpu() => {
                Ok(EngineError::Failed(error.to_string()))
            }
            SpeakError::Network(error) => Err(DeviceLost(error.to_string())),
        }
    }
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
        outcome.map_or_else(|error| Ok(Err(self.refusal(error)?)), |output| Ok(Ok(output)))
    }

    /// On the CPU nothing is gained and memory lost; a card has room for several where it would wait for its host with one.
    fn together(&self, waiting: &[ChunkRequest]) -> usize {
        if self.model.device().is_cpu() {
            return 1;
        }
        together(waiting, MAX_SECONDS)
    }

    fn synthesize_together(
        &mut self,
        requests: &[ChunkRequest],
    ) -> Result<Vec<Result<ChunkOutput, EngineError>>, DeviceLost> {
        if let [request] = requests {
            return Ok(vec![self.synthesize(request)?]);
        }
        let phonemes: Vec<_> = requests
            .iter()
            .map(|request| {
                request.checkpoint().and_then(|()| self.phonemes(&request.text.text, &request.language))
            })
            .collect();
        let mut outcomes = Vec::with_capacity(requests.len());
        let (mut prepared, mut places) = (Vec::new(), Vec::new());
        for (place, (request, phonemes)) in requests.iter().zip(&phonemes).enumerate() {
            let ready = match phonemes {
                Ok(phonemes) => self.prepare(phonemes, request),
                Err(error) => Err(SpeakError::Engine(error.clone())),
            };
            outcomes.push(match ready {
                Ok(Some(ready)) => {
                    prepared.push(ready);
                    places.push(place);
                    Ok(ChunkOutput::default())
                }
                Ok(None) => Ok(ChunkOutput::default()),
                Err(error) => Err(self.refusal(error)?),
            });
        }
        match self.speak_prepared(&prepared) {
            Ok(spoken) => {
                for (place, spoken) in places.into_iter().zip(spoken) {
                    outcomes[place] = spoken;
                }
            }
            Err(error) => {
                let refusal = self.refusal(error.into())?;
                for place in places {
                    outcomes[place] = Err(refusal.clone());
                }
            }
        }
        Ok(outcomes)
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

fn frames(plan: &Plan) -> usize {
    plan.durations.iter().sum()
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
        max_slots: if model.device().is_cpu() { 2 } else { SLOTS_ON_CARD },
        streams: false,
        native_speed: true,
        params: Vec::new(),
        memory: MemoryUse {
            weights: model.weight_bytes(),
            // What is rendered together takes hardly more columns than the longest chunk alone, whatever waits in the slots. On a card
            // short utterances keep theirs.
            speaking: chunk_bytes(config, most_frames(config))
                + if model.device().is_cpu() { 0 } else { chunk_bytes(config, recorded_frames(config)) },
        },
        // Where that is, is said by `settle`.
        device: DeviceSpec::Cpu,
        precision: Precision::F32,
        degraded: None,
        tags: Vec::new(),
        watermark: None,
    }
}

/// Frames of the longest chunk, and of several that are rendered together.
fn most_frames(config: &Config) -> usize {
    MAX_SECONDS * config.sample_rate as usize / config.samples_per_frame()
}

/// What the last stage of the generator holds at once for so many frames.
fn chunk_bytes(config: &Config, frames: usize) -> u64 {
    /// The blocks' input, two of their outputs, sum and two inner activations of the third, and what the heap loses between them.
    const TENSORS: usize = 7;
    let istftnet = &config.istftnet;
    let channels = istftnet.upsample_initial_channel >> istftnet.upsample_rates.len();
    let columns = frames * config.samples_per_frame() / istftnet.gen_istft_hop_size;
    (TENSORS * channels * columns * size_of::<f32>()) as u64
}
