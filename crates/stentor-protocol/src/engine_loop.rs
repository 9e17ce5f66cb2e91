//! What runs on the engine's one thread: load, then commands and steps until the server leaves.

use crate::{
    ChunkJob, FrameError, FromWorker, PROTOCOL_VERSION, frame,
    voice_thread::{VoiceThread, Waiting},
    voices::VoiceCache,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use stentor_engine::{
    CancelFlag, ChunkRequest, ChunkStats, DeviceLost, Engine, EngineError, LoadError, StepCounter, StepSink,
    Waiter,
};
use stentor_types::{ChunkId, Language, SpokenText, VoiceSource, WordTiming};
use tokio::sync::mpsc::{self, error::TryRecvError};

/// Samples per frame: one second at 24 kHz, well within the frame's limit.
const FRAME_SAMPLES: usize = 24_000;
/// Words per frame, so that no header nears its limit.
const FRAME_WORDS: usize = 4096;

pub(crate) enum Command {
    Speak(Waiting),
    /// The voice thread is done with what it was given.
    Prepared {
        waiting: Waiting,
        outcome: Result<(), EngineError>,
    },
    Phonemize {
        id: u64,
        text: SpokenText,
        language: Language,
    },
}

pub(crate) enum EngineEnd {
    /// The server left.
    Closed,
    LoadFailed(String),
    DeviceLost(String),
    /// A message of ours does not fit a frame.
    Unspeakable(FrameError),
}

/// What both sides of the worker see.
#[derive(Default)]
pub(crate) struct Shared {
    flags: Mutex<BTreeMap<ChunkId, CancelFlag>>,
    steps: StepCounter,
    samples: AtomicU64,
}

impl Shared {
    fn flags(&self) -> MutexGuard<'_, BTreeMap<ChunkId, CancelFlag>> {
        self.flags.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn register(&self, chunk: ChunkId) -> Waiter {
        Waiter { cancel: self.flags().entry(chunk).or_default().clone(), progress: self.steps.clone() }
    }

    pub(crate) fn cancel(&self, chunk: ChunkId) {
        if let Some(flag) = self.flags().get(&chunk) {
            flag.cancel();
        }
    }

    pub(crate) fn cancel_all(&self) {
        self.flags().values().for_each(CancelFlag::cancel);
    }

    pub(crate) fn beat(&self) -> FromWorker {
        let active = self.flags().len() as u64;
        FromWorker::Beat { steps: self.steps.get(), samples: self.samples.load(Ordering::Relaxed), active }
    }
}

/// The way back to the server. After the first failure everything is dropped.
pub(crate) struct Out {
    frames: mpsc::Sender<Vec<u8>>,
    shared: Arc<Shared>,
    end: Option<EngineEnd>,
    /// Chunks whose samples are no numbers: nobody hears them, and they end as failed.
    spoilt: BTreeSet<ChunkId>,
}

impl Out {
    pub(crate) fn new(frames: mpsc::Sender<Vec<u8>>, shared: Arc<Shared>) -> Self {
        Self { frames, shared, end: None, spoilt: BTreeSet::new() }
    }

    /// Waits while the server reads slowly.
    fn send(&mut self, message: &FromWorker, samples: &[f32]) {
        if self.end.is_some() {
            return;
        }
        match frame::encode(message, samples) {
            Ok(bytes) => {
                if self.frames.blocking_send(bytes).is_err() {
                    self.end = Some(EngineEnd::Closed);
                }
            }
            Err(error) => self.end = Some(EngineEnd::Unspeakable(error)),
        }
    }

    /// The one answer to a `Speak`.
    fn answer(&mut self, chunk: ChunkId, result: Result<ChunkStats, EngineError>) {
        self.shared.flags().remove(&chunk);
        let spoilt = self.spoilt.remove(&chunk);
        match result {
            _ if spoilt => {
                let error = EngineError::Failed("the engine gave samples that are not finite".to_owned());
                self.send(&FromWorker::Failed { chunk, error }, &[]);
            }
            Ok(stats) => self.send(&FromWorker::Done { chunk, stats }, &[]),
            Err(error) => self.send(&FromWorker::Failed { chunk, error }, &[]),
        }
    }
}

struct Sink<'a> {
    active: &'a mut BTreeMap<ChunkId, CancelFlag>,
    out: &'a mut Out,
}

impl Sink<'_> {
    fn awaited(&self, chunk: ChunkId) -> bool {
        self.active.get(&chunk).is_some_and(|flag| !flag.is_cancelled())
    }
}

impl StepSink for Sink<'_> {
    fn pcm(&mut self, chunk: ChunkId, samples: &[f32]) {
        self.out.shared.samples.fetch_add(samples.len() as u64, Ordering::Relaxed);
        if !samples.iter().all(|sample| sample.is_finite())
            && let Some(flag) = self.active.get(&chunk)
        {
            self.out.spoilt.insert(chunk);
            // The next sweep takes it out of the engine.
            flag.cancel();
        }
        for part in samples.chunks(FRAME_SAMPLES) {
            if self.awaited(chunk) {
                self.out.send(&FromWorker::Pcm { chunk }, part);
            }
        }
    }

    fn timing(&mut self, chunk: ChunkId, words: &[WordTiming]) {
        for part in words.chunks(FRAME_WORDS) {
            if self.awaited(chunk) {
                self.out.send(&FromWorker::Timing { chunk, words: part.to_vec() }, &[]);
            }
        }
    }

    fn finished(&mut self, chunk: ChunkId, result: Result<ChunkStats, EngineError>) {
        if self.active.remove(&chunk).is_some() {
            self.out.answer(chunk, result);
        }
    }
}

struct EngineLoop {
    engine: Box<dyn Engine>,
    voices: VoiceCache,
    /// Makes voices, if the engine lets another thread do it.
    voice_thread: Option<VoiceThread>,
    active: BTreeMap<ChunkId, CancelFlag>,
    slots: usize,
    out: Out,
}

/// Loads, says so, and serves commands, to which `back` adds. Everything the engine ever does happens inside this call, but for
/// the making of voices.
pub(crate) fn run(
    load: impl FnOnce() -> Result<(Box<dyn Engine>, u64), LoadError>,
    build_id: &str,
    (mut commands, back): (mpsc::Receiver<Command>, mpsc::WeakSender<Command>),
    mut out: Out,
) -> EngineEnd {
    let (engine, memory) = match load() {
        Ok(loaded) => loaded,
        Err(LoadError(message)) => {
            out.send(&FromWorker::LoadFailed { message: message.clone() }, &[]);
            return EngineEnd::LoadFailed(message);
        }
    };
    let descriptor = Box::new(engine.descriptor().clone());
    let slots = descriptor.max_slots.max(1);
    let ready =
        FromWorker::Ready { version: PROTOCOL_VERSION, build_id: build_id.to_owned(), descriptor, memory };
    out.send(&ready, &[]);
    let voices = VoiceCache::default();
    let voice_thread = engine.voice_preparer().and_then(|prepare| VoiceThread::start(prepare, back));
    let mut this = EngineLoop { engine, voices, voice_thread, active: BTreeMap::new(), slots, out };
    loop {
        if !this.receive(&mut commands) {
            return EngineEnd::Closed;
        }
        if let Err(DeviceLost(why)) = this.step() {
            return EngineEnd::DeviceLost(why);
        }
        if let Some(end) = this.out.end.take() {
            return end;
        }
    }
}

impl EngineLoop {
    /// Takes what fits into the engine; waits only when the engine has nothing to do. False when the server left.
    fn receive(&mut self, commands: &mut mpsc::Receiver<Command>) -> bool {
        if self.active.is_empty() {
            match commands.blocking_recv() {
                Some(command) => self.handle(command),
                None => return false,
            }
        }
        while self.active.len() < self.slots {
            match commands.try_recv() {
                Ok(command) => self.handle(command),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
        true
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Speak(waiting) => {
                if let Some(waiting) = self.send_to_voice_thread(waiting) {
                    self.speak(waiting, Ok(()));
                }
            }
            Command::Prepared { waiting, outcome } => self.speak(waiting, outcome),
            Command::Phonemize { id, text, language } => {
                let result = self.engine.phonemize(&text, &language);
                self.out.send(&FromWorker::Phonemes { id, result }, &[]);
            }
        }
    }

    /// Gives back a chunk whose voice needs no making, or that must be made here because too much waits there.
    fn send_to_voice_thread(&self, waiting: Waiting) -> Option<Waiting> {
        let Waiting { job, .. } = &waiting;
        let is_recording = matches!(job.voice, VoiceSource::Reference { .. });
        match &self.voice_thread {
            Some(thread) if is_recording && !self.voices.holds(&job.voice, &job.voice_digest) => {
                thread.make(waiting).err()
            }
            _ => Some(waiting),
        }
    }

    fn speak(&mut self, Waiting { job, waiter }: Waiting, voice: Result<(), EngineError>) {
        let (chunk, cancel) = (job.chunk, waiter.cancel.clone());
        match voice.map_err(blame_voice).and_then(|()| self.admit(*job, waiter)) {
            Ok(()) => {
                self.active.insert(chunk, cancel);
            }
            Err(error) => self.out.answer(chunk, Err(error)),
        }
    }

    fn admit(&mut self, job: ChunkJob, waiter: Waiter) -> Result<(), EngineError> {
        // A voice that is read in one go has the whole of the server's patience to itself.
        waiter.checkpoint()?;
        let voice = self.voices.slot(self.engine.as_mut(), (&job.voice, &job.voice_digest), &waiter);
        let voice = voice.map_err(blame_voice)?;
        waiter.checkpoint()?;
        let ChunkJob { chunk: id, text, language, speed, seed, params, .. } = job;
        let Waiter { cancel, progress } = waiter;
        self.engine.admit(ChunkRequest { id, text, language, voice, speed, seed, params, cancel, progress })
    }

    fn step(&mut self) -> Result<(), DeviceLost> {
        self.sweep();
        if self.active.is_empty() {
            return Ok(());
        }
        self.engine.step(&mut Sink { active: &mut self.active, out: &mut self.out })?;
        self.sweep();
        Ok(())
    }

    /// Takes cancelled chunks out of the engine and frees their slots.
    fn sweep(&mut self) {
        let Self { engine, active, out, .. } = self;
        active.retain(|chunk, flag| {
            if flag.is_cancelled() {
                engine.cancel(*chunk);
                out.answer(*chunk, Err(EngineError::Cancelled));
            }
            !flag.is_cancelled()
        });
    }
}

fn blame_voice(error: EngineError) -> EngineError {
    match error {
        EngineError::Rejected(why) => EngineError::VoiceRejected(why),
        other => other,
    }
}
