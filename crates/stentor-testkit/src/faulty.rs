//! Any engine, with the faults that the fake one has: the same words in the text, the real engine's sound.
//!
//! An engine may speak a whole chunk in one step, so `at` counts pieces of its sound here: 0 strikes before the
//! chunk's first step, `n` when `n` pieces of 100 ms have been passed on.

use crate::{
    fault::{Fault, Kind},
    load_fault,
    strike::strike,
};
use std::{collections::BTreeMap, ops::Range, thread};
use stentor_engine::{
    ChunkRequest, ChunkStats, DeviceLost, Engine, EngineDescriptor, EngineError, LoadError, PhonemeTrace,
    PrepareVoice, StepSink, VoiceSlot, Waiter,
};
use stentor_types::{ChunkId, Language, LoadSpec, SpokenText, VoiceSource, WordTiming};

/// Length of a piece.
const PIECE_MS: u32 = 100;

/// See the module's lines.
pub struct Faulty {
    inner: Box<dyn Engine>,
    /// Chunks with a fault that have not ended.
    patients: BTreeMap<ChunkId, Patient>,
}

struct Patient {
    fault: Fault,
    /// Where the fault stood in the text.
    cut: Range<usize>,
    /// Pieces passed on.
    pieces: u64,
    begun: bool,
    /// From here on its samples are no numbers.
    spoilt: bool,
    /// Kept for a chunk that is to be repeated for ever.
    sound: Vec<f32>,
    /// The engine has ended it, and it must not end.
    endless: bool,
    /// What the chunk ends with instead of the engine's own word.
    failed: Option<EngineError>,
}

/// Loads an engine by `load` and wraps it, after the faults of loading have struck.
pub fn faulty(
    spec: &LoadSpec,
    load: impl FnOnce(&LoadSpec) -> Result<Box<dyn Engine>, LoadError>,
) -> Result<Box<dyn Engine>, LoadError> {
    load_fault::suffer_file(spec)?;
    Ok(Box::new(Faulty::new(load(spec)?)))
}

impl Faulty {
    pub fn new(inner: Box<dyn Engine>) -> Self {
        Self { inner, patients: BTreeMap::new() }
    }

    /// Strikes chunks that have not begun.
    fn strike_at_start(&mut self) -> Result<(), DeviceLost> {
        for patient in self.patients.values_mut().filter(|patient| !patient.begun) {
            patient.begun = true;
            patient.suffer()?;
        }
        Ok(())
    }

    /// Ends the chunks that failed, whatever the engine thinks of them.
    fn bury(&mut self, sink: &mut dyn StepSink) {
        let failed: Vec<ChunkId> =
            self.patients.iter().filter(|(_, patient)| patient.failed.is_some()).map(|(id, _)| *id).collect();
        for id in failed {
            self.inner.cancel(id);
            if let Some(error) = self.patients.remove(&id).and_then(|patient| patient.failed) {
                sink.finished(id, Err(error));
            }
        }
    }
}

impl Patient {
    fn new(fault: Fault, cut: Range<usize>) -> Self {
        Self {
            fault,
            cut,
            pieces: 0,
            begun: false,
            spoilt: false,
            sound: Vec::new(),
            endless: false,
            failed: None,
        }
    }

    /// Lets the fault strike, if its place has come.
    fn suffer(&mut self) -> Result<(), DeviceLost> {
        if self.failed.is_some() || !self.fault.strikes(self.pieces) {
            return Ok(());
        }
        let why = self.fault.why();
        match self.fault.kind {
            Kind::Nan => self.spoilt = true,
            Kind::DeviceLost => return Err(DeviceLost(why)),
            Kind::TooLong => {
                self.failed = Some(EngineError::ChunkTooLong { limit: self.fault.n as usize });
            }
            Kind::Fail => self.failed = Some(EngineError::Failed(why)),
            Kind::Reject => self.failed = Some(EngineError::Rejected(why)),
            Kind::Slow => thread::sleep(self.fault.pause()),
            Kind::Endless => {}
            deadly => strike(deadly, &why),
        }
        Ok(())
    }

    fn is_endless(&self) -> bool {
        self.fault.kind == Kind::Endless
    }
}

/// Stands between the engine and the worker.
struct FaultySink<'a> {
    patients: &'a mut BTreeMap<ChunkId, Patient>,
    sink: &'a mut dyn StepSink,
    piece: usize,
    lost: Option<DeviceLost>,
}

impl StepSink for FaultySink<'_> {
    fn pcm(&mut self, chunk: ChunkId, samples: &[f32]) {
        let Some(patient) = self.patients.get_mut(&chunk) else { return self.sink.pcm(chunk, samples) };
        if patient.is_endless() {
            patient.sound.extend_from_slice(samples);
        }
        for piece in samples.chunks(self.piece) {
            if self.lost.is_some() || patient.failed.is_some() {
                return;
            }
            if patient.spoilt {
                self.sink.pcm(chunk, &vec![f32::NAN; piece.len()]);
            } else {
                self.sink.pcm(chunk, piece);
            }
            patient.pieces += 1;
            self.lost = patient.suffer().err();
        }
    }

    fn timing(&mut self, chunk: ChunkId, words: &[WordTiming]) {
        let Some(patient) = self.patients.get(&chunk) else { return self.sink.timing(chunk, words) };
        let cut = &patient.cut;
        // The engine has read the text without the fault's words.
        let back = |at: usize| if at >= cut.start { at + cut.len() } else { at };
        let word = |word: &WordTiming| WordTiming {
            text: back(word.text.start)..back(word.text.end),
            samples: word.samples.clone(),
        };
        self.sink.timing(chunk, &words.iter().map(word).collect::<Vec<_>>());
    }

    fn finished(&mut self, chunk: ChunkId, result: Result<ChunkStats, EngineError>) {
        match self.patients.get_mut(&chunk) {
            Some(patient) if patient.failed.is_some() => {}
            Some(patient) if patient.is_endless() && result.is_ok() => patient.endless = true,
            _ => {
                self.patients.remove(&chunk);
                self.sink.finished(chunk, result);
            }
        }
    }
}

impl Engine for Faulty {
    fn descriptor(&self) -> &EngineDescriptor {
        self.inner.descriptor()
    }

    fn load_voice(&mut self, source: &VoiceSource, waiter: &Waiter) -> Result<VoiceSlot, EngineError> {
        self.inner.load_voice(source, waiter)
    }

    fn voice_preparer(&self) -> Option<PrepareVoice> {
        self.inner.voice_preparer()
    }

    fn drop_voice(&mut self, slot: VoiceSlot) {
        self.inner.drop_voice(slot);
    }

    fn voice_bytes(&self, slot: VoiceSlot) -> u64 {
        self.inner.voice_bytes(slot)
    }

    fn admit(&mut self, mut request: ChunkRequest) -> Result<(), EngineError> {
        let text = &request.text.text;
        let found = Fault::find(text).zip(Fault::span(text));
        let id = request.id;
        if found.is_some() {
            request.text = SpokenText { text: Fault::strip(text), spans: Vec::new() };
        }
        self.inner.admit(request)?;
        if let Some((fault, cut)) = found {
            self.patients.insert(id, Patient::new(fault, cut));
        }
        Ok(())
    }

    fn step(&mut self, sink: &mut dyn StepSink) -> Result<(), DeviceLost> {
        self.strike_at_start()?;
        self.bury(sink);
        for (id, patient) in self.patients.iter().filter(|(_, patient)| patient.endless) {
            sink.pcm(*id, &patient.sound);
        }
        let piece = self.inner.descriptor().sample_rate.samples_in_ms(PIECE_MS);
        let mut between = FaultySink { patients: &mut self.patients, sink: &mut *sink, piece, lost: None };
        self.inner.step(&mut between)?;
        if let Some(lost) = between.lost {
            return Err(lost);
        }
        self.bury(sink);
        Ok(())
    }

    fn cancel(&mut self, chunk: ChunkId) {
        self.patients.remove(&chunk);
        self.inner.cancel(chunk);
    }

    fn phonemize(&self, text: &SpokenText, language: &Language) -> Result<PhonemeTrace, EngineError> {
        self.inner.phonemize(text, language)
    }
}
