//! An engine that needs no model: every sample follows from text, voice, speed and seed alone.
//!
//! No two stretches of its sound are alike, so that a repeated or missing sample is noticed.

use crate::{
    LoadFault,
    fault::{Fault, Kind},
    load_fault,
    strike::strike,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, ThreadId},
    time::Duration,
};
use stentor_engine::{
    ChunkRequest, ChunkStats, DeviceLost, Engine, EngineDescriptor, EngineError, LoadError, MemoryUse,
    PhonemeTrace, PrepareVoice, StepSink, VoiceSlot, Waiter,
};
use stentor_types::{
    ChunkBudget, ChunkId, DeviceSpec, Language, LoadSpec, ModelId, Precision, SampleRate, SpokenText,
    VoiceKind, VoiceSource, WordTiming, content_hash,
};

/// A file of this name in the model's cache folder holds options, e.g. `step_ms=5 slots=2`.
const OPTIONS_FILE: &str = "options";

/// How the fake engine behaves; travels to a worker in [`LoadSpec::files`], or in a file in its cache folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FakeOptions {
    pub slots: usize,
    /// Steps per chunk.
    pub steps: u64,
    pub samples_per_step: u64,
    /// Milliseconds that a step takes.
    pub step_ms: u64,
    /// Milliseconds that the making of a voice from a recording takes, the first time.
    pub voice_ms: u64,
    /// Characters that fit; a longer chunk is `ChunkTooLong`.
    pub limit: usize,
    pub load: LoadFault,
}

impl Default for FakeOptions {
    fn default() -> Self {
        Self {
            slots: 1,
            steps: 10,
            samples_per_step: 240,
            step_ms: 0,
            voice_ms: 0,
            limit: 1000,
            load: LoadFault::None,
        }
    }
}

impl FakeOptions {
    /// Names and values, as [`LoadSpec::files`] and the file of options hold them.
    fn pairs(&self) -> [(&'static str, String); 8] {
        let (load, load_ms) = match self.load {
            LoadFault::None => ("none", 0),
            LoadFault::Slow(ms) => ("slow", ms),
            LoadFault::Exit => ("exit", 0),
            LoadFault::Fail => ("fail", 0),
            LoadFault::Hang => ("hang", 0),
        };
        [
            ("slots", self.slots.to_string()),
            ("steps", self.steps.to_string()),
            ("samples_per_step", self.samples_per_step.to_string()),
            ("step_ms", self.step_ms.to_string()),
            ("voice_ms", self.voice_ms.to_string()),
            ("limit", self.limit.to_string()),
            ("load_ms", load_ms.to_string()),
            ("load", load.to_owned()),
        ]
    }

    /// What a file named `options` in a fake model's cache folder must hold for these.
    pub fn file(&self) -> String {
        self.pairs().map(|(key, value)| format!("{key}={value}")).join(" ")
    }

    /// A spec that a registry with [`load`] under `fake` understands.
    pub fn load_spec(&self, model: &str) -> LoadSpec {
        let files = self.pairs().map(|(key, value)| (key.to_owned(), PathBuf::from(value))).into();
        LoadSpec {
            model: ModelId::from(model),
            engine: "fake".to_owned(),
            files,
            device: DeviceSpec::Cpu,
            precision: Precision::F32,
            threads: 1,
            cache_dir: None,
        }
    }

    fn from_spec(spec: &LoadSpec) -> Self {
        let path = spec.cache_dir.as_ref().map(|folder| folder.join(OPTIONS_FILE));
        let file = path.and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        let in_file: BTreeMap<&str, &str> =
            file.split_whitespace().filter_map(|pair| pair.split_once('=')).collect();
        let text = |key: &str| {
            let given = spec.files.get(key).and_then(|path| path.to_str());
            given.or_else(|| in_file.get(key).copied())
        };
        let number = |key: &str, default: u64| text(key).and_then(|t| t.parse().ok()).unwrap_or(default);
        let default = Self::default();
        let load = match text("load") {
            Some("slow") => LoadFault::Slow(number("load_ms", 0)),
            Some("exit") => LoadFault::Exit,
            Some("fail") => LoadFault::Fail,
            Some("hang") => LoadFault::Hang,
            _ => LoadFault::None,
        };
        Self {
            slots: number("slots", default.slots as u64) as usize,
            steps: number("steps", default.steps),
            samples_per_step: number("samples_per_step", default.samples_per_step),
            step_ms: number("step_ms", default.step_ms),
            voice_ms: number("voice_ms", default.voice_ms),
            limit: number("limit", default.limit as u64) as usize,
            load,
        }
    }
}

/// The registry entry: loads a fake engine as `spec` describes it.
pub fn load(spec: &LoadSpec) -> Result<Box<dyn Engine>, LoadError> {
    let options = FakeOptions::from_spec(spec);
    load_fault::suffer_file(spec)?;
    options.load.suffer()?;
    let mut engine = FakeEngine::new(options);
    // No device is opened: it says what it was told, and holds what it was told to hold.
    engine.descriptor.device = if spec.device == DeviceSpec::Auto { DeviceSpec::Cpu } else { spec.device };
    let bytes = |key: &str| spec.files.get(key).and_then(|bytes| bytes.to_str()?.parse().ok());
    engine.descriptor.memory.weights = bytes("memory").unwrap_or_default();
    engine.descriptor.memory.speaking = bytes("speaking").unwrap_or_default();
    Ok(Box::new(engine))
}

/// Recordings that were listened to.
type Studio = Arc<Mutex<BTreeSet<PathBuf>>>;

/// Takes `voice_ms` for a recording that nobody has listened to yet.
fn listen(studio: &Studio, voice_ms: u64, source: &VoiceSource, waiter: &Waiter) -> Result<(), EngineError> {
    const UNIT_MS: u64 = 10;
    let heard = || studio.lock().unwrap_or_else(PoisonError::into_inner);
    let VoiceSource::Reference { path, .. } = source else { return Ok(()) };
    if heard().contains(path) {
        return Ok(());
    }
    for _ in 0..voice_ms / UNIT_MS {
        waiter.checkpoint()?;
        thread::sleep(Duration::from_millis(UNIT_MS));
    }
    heard().insert(path.clone());
    Ok(())
}

/// Which threads have called into an engine, in order, one entry per call.
pub type ThreadLog = Arc<Mutex<Vec<ThreadId>>>;

struct Speaking {
    request: ChunkRequest,
    fault: Option<Fault>,
    samples: Vec<f32>,
    step: u64,
}

/// See the module's lines.
pub struct FakeEngine {
    descriptor: EngineDescriptor,
    options: FakeOptions,
    voices: BTreeMap<u64, String>,
    voices_made: u64,
    studio: Studio,
    speaking: Vec<Speaking>,
    threads: ThreadLog,
}

impl Default for FakeEngine {
    fn default() -> Self {
        Self::new(FakeOptions::default())
    }
}

impl FakeEngine {
    pub fn new(options: FakeOptions) -> Self {
        let descriptor = EngineDescriptor {
            name: "fake".to_owned(),
            sample_rate: SampleRate::HZ_24000,
            languages: vec![Language::en_us()],
            voice_kinds: vec![VoiceKind::Preset, VoiceKind::Reference, VoiceKind::Blend],
            presets: vec!["one".to_owned(), "two".to_owned()],
            chunk_budget: ChunkBudget { first: 60.min(options.limit), max: 200.min(options.limit) },
            max_slots: options.slots,
            streams: false,
            native_speed: true,
            params: Vec::new(),
            memory: MemoryUse::default(),
            device: DeviceSpec::Cpu,
            precision: Precision::F32,
            degraded: None,
            tags: vec!["[giggle]".to_owned()],
            watermark: None,
        };
        let threads = ThreadLog::default();
        let (voices, studio, speaking) = (BTreeMap::new(), Studio::default(), Vec::new());
        Self { descriptor, options, voices, voices_made: 0, studio, speaking, threads }
    }

    /// Notes the calling thread with every load and step in `log`; the constructor's thread is the first.
    #[must_use]
    pub fn recording(mut self, log: &ThreadLog) -> Self {
        self.threads = Arc::clone(log);
        self.note_thread();
        self
    }

    pub fn voices_held(&self) -> usize {
        self.voices.len()
    }

    fn note_thread(&self) {
        if let Ok(mut threads) = self.threads.lock() {
            threads.push(thread::current().id());
        }
    }

    fn voice_name(source: &VoiceSource) -> Result<String, EngineError> {
        match source {
            VoiceSource::Preset { name } if ["one", "two"].contains(&name.as_str()) => Ok(name.clone()),
            VoiceSource::Preset { name } if name.starts_with("voice-") => Ok(name.clone()),
            VoiceSource::Reference { path, .. } => Ok(path.to_string_lossy().into_owned()),
            VoiceSource::Blend { parts } => {
                let names: Result<Vec<_>, _> = parts
                    .iter()
                    .map(|(part, weight)| Ok(format!("{}({weight})", Self::voice_name(part)?)))
                    .collect();
                Ok(names?.join("+"))
            }
            other => Err(EngineError::Rejected(format!("the fake engine has no voice {other:?}"))),
        }
    }
}

/// The samples that an undisturbed chunk of `text` consists of; faults named in it are not spoken.
pub fn expected_samples(
    options: &FakeOptions,
    text: &str,
    voice: &VoiceSource,
    speed: f32,
    seed: u64,
) -> Vec<f32> {
    samples(options, text, &FakeEngine::voice_name(voice).unwrap_or_default(), (speed, seed))
}

fn samples(options: &FakeOptions, text: &str, voice: &str, (speed, seed): (f32, u64)) -> Vec<f32> {
    let text = Fault::strip(text);
    let base = content_hash(&[&text, voice, &speed.to_string(), &seed.to_string()]);
    let hertz = 120.0 + (base % 300) as f64;
    let total = options.steps * options.samples_per_step;
    (0..total)
        .map(|index| {
            let phase = std::f64::consts::TAU * hertz * index as f64 / 24_000.0;
            let noise = content_hash(&[&base.to_string(), &index.to_string()]) as f64 / u64::MAX as f64;
            (0.25 * phase.sin() + 0.05 * noise) as f32
        })
        .collect()
}

impl Engine for FakeEngine {
    fn descriptor(&self) -> &EngineDescriptor {
        &self.descriptor
    }

    fn load_voice(&mut self, source: &VoiceSource, waiter: &Waiter) -> Result<VoiceSlot, EngineError> {
        listen(&self.studio, self.options.voice_ms, source, waiter)?;
        let name = Self::voice_name(source)?;
        let slot = self.voices_made;
        self.voices_made += 1;
        self.voices.insert(slot, name);
        Ok(VoiceSlot(slot))
    }

    fn voice_preparer(&self) -> Option<PrepareVoice> {
        let (studio, voice_ms) = (Arc::clone(&self.studio), self.options.voice_ms);
        Some(Box::new(move |source, waiter| listen(&studio, voice_ms, source, waiter)))
    }

    fn drop_voice(&mut self, slot: VoiceSlot) {
        self.voices.remove(&slot.0);
    }

    fn admit(&mut self, request: ChunkRequest) -> Result<(), EngineError> {
        if self.speaking.len() >= self.options.slots {
            return Err(EngineError::Failed("every slot of the engine is taken".to_owned()));
        }
        let name = self.voices.get(&request.voice.0).cloned();
        let name = name.ok_or_else(|| EngineError::Failed("the voice's slot is not loaded".to_owned()))?;
        let text = request.text.text.clone();
        if text.chars().count() > self.options.limit {
            return Err(EngineError::ChunkTooLong { limit: self.options.limit });
        }
        let fault = Fault::find(&text);
        let samples = samples(&self.options, &text, &name, (request.speed.get(), request.seed));
        self.speaking.push(Speaking { request, fault, samples, step: 0 });
        Ok(())
    }

    fn step(&mut self, sink: &mut dyn StepSink) -> Result<(), DeviceLost> {
        self.note_thread();
        if !self.speaking.is_empty() {
            thread::sleep(Duration::from_millis(self.options.step_ms));
        }
        let mut lost = Ok(());
        let per_step = self.options.samples_per_step as usize;
        self.speaking.retain_mut(|speaking| {
            if lost.is_err() {
                return true;
            }
            match speaking.advance(per_step, sink) {
                Ok(more) => more,
                Err(error) => {
                    lost = Err(error);
                    true
                }
            }
        });
        lost
    }

    fn cancel(&mut self, chunk: ChunkId) {
        self.speaking.retain(|speaking| speaking.request.id != chunk);
    }

    fn phonemize(&self, text: &SpokenText, _language: &Language) -> Result<PhonemeTrace, EngineError> {
        if Fault::find(&text.text).is_some_and(|fault| fault.kind == Kind::Hang) {
            thread::sleep(Duration::from_secs(3600));
        }
        let upper = |word: &str| (word.to_owned(), word.to_uppercase(), "fake".to_owned());
        let words = text.text.split_whitespace().map(upper).collect();
        Ok(PhonemeTrace { phonemes: text.text.to_uppercase(), words })
    }
}

impl Speaking {
    /// One step; false when the chunk is over.
    fn advance(&mut self, per_step: usize, sink: &mut dyn StepSink) -> Result<bool, DeviceLost> {
        let id = self.request.id;
        let outcome = match self.request.checkpoint() {
            Ok(()) => self.suffer()?,
            Err(cancelled) => Err(cancelled),
        };
        if let Err(error) = outcome {
            sink.finished(id, Err(error));
            return Ok(false);
        }
        if self.step == 0 {
            sink.timing(id, &words(&self.request.text.text, self.samples.len() as u64));
        }
        let from = (self.step as usize * per_step).min(self.samples.len());
        let to = (from + per_step).min(self.samples.len());
        sink.pcm(id, &self.samples[from..to]);
        self.step += 1;
        if to < self.samples.len() {
            return Ok(true);
        }
        if self.fault.as_ref().is_some_and(|fault| fault.kind == Kind::Endless) {
            self.step = 0;
            return Ok(true);
        }
        let stats = ChunkStats { samples: self.samples.len() as u64, units: self.step };
        sink.finished(id, Ok(stats));
        Ok(false)
    }

    /// Lets the chunk's fault strike, if it has one and its step has come.
    fn suffer(&mut self) -> Result<Result<(), EngineError>, DeviceLost> {
        let Some(fault) = self.fault.as_ref().filter(|fault| fault.strikes(self.step)) else {
            return Ok(Ok(()));
        };
        match fault.kind {
            Kind::Nan => self.samples.fill(f32::NAN),
            Kind::DeviceLost => return Err(DeviceLost(fault.why())),
            Kind::TooLong => return Ok(Err(EngineError::ChunkTooLong { limit: fault.n as usize })),
            Kind::Fail => return Ok(Err(EngineError::Failed(fault.why()))),
            Kind::Reject => return Ok(Err(EngineError::Rejected(fault.why()))),
            Kind::Slow => thread::sleep(fault.pause()),
            Kind::Endless => {}
            deadly => strike(deadly, &fault.why()),
        }
        Ok(Ok(()))
    }
}

/// Every word of `text` gets an equal share of the samples.
fn words(text: &str, samples: u64) -> Vec<WordTiming> {
    let start = |word: &str| word.as_ptr() as usize - text.as_ptr() as usize;
    let words: Vec<&str> = text.split_whitespace().collect();
    let share = samples / (words.len() as u64).max(1);
    let timing = |(index, word): (usize, &&str)| WordTiming {
        text: start(word)..start(word) + word.len(),
        samples: share * index as u64..share * (index as u64 + 1),
    };
    words.iter().enumerate().map(timing).collect()
}
