//! Checks that every engine must pass; [`conformance!`](crate::conformance!) makes tests of them.
//!
//! Each check takes a [`Subject`] and panics with what went wrong, as a test does.

use crate::{
    CancelFlag, ChunkRequest, ChunkStats, Engine, EngineError, StepCounter, StepSink, VoiceSlot, Waiter,
};
use std::{collections::BTreeMap, thread};
use stentor_types::{
    ChunkId, ParamKind, ParamValue, Params, Speed, SpokenText, VoiceKind, VoiceSource, WordTiming,
};

const SHORT: &str = "Hello there.";
const LONG: &str = "One two three four five six seven eight nine ten.";
/// Steps after which a chunk counts as endless.
const PATIENCE: usize = 100_000;

/// An engine's constructor and a voice that it has; without one, its first preset speaks.
pub struct Subject<'a> {
    pub make: &'a dyn Fn() -> Box<dyn Engine>,
    pub voice: Option<VoiceSource>,
}

impl Subject<'_> {
    fn engine(&self) -> (Box<dyn Engine>, VoiceSlot) {
        let mut engine = (self.make)();
        let preset =
            engine.descriptor().presets.first().map(|name| VoiceSource::Preset { name: name.clone() });
        let voice =
            self.voice.clone().or(preset).expect("the engine has a preset, or the test names a voice");
        let slot = engine.load_voice(&voice, &Waiter::default()).expect("the voice loads");
        (engine, slot)
    }
}

/// Everything that an engine told of its chunks.
#[derive(Default)]
struct Heard {
    samples: BTreeMap<ChunkId, Vec<f32>>,
    words: BTreeMap<ChunkId, Vec<WordTiming>>,
    ends: BTreeMap<ChunkId, Vec<Result<ChunkStats, EngineError>>>,
}

impl StepSink for Heard {
    fn pcm(&mut self, chunk: ChunkId, samples: &[f32]) {
        assert!(!self.ends.contains_key(&chunk), "samples of {chunk} after its end");
        self.samples.entry(chunk).or_default().extend_from_slice(samples);
    }
    fn timing(&mut self, chunk: ChunkId, words: &[WordTiming]) {
        assert!(!self.ends.contains_key(&chunk), "timings of {chunk} after its end");
        self.words.entry(chunk).or_default().extend_from_slice(words);
    }
    fn finished(&mut self, chunk: ChunkId, result: Result<ChunkStats, EngineError>) {
        self.ends.entry(chunk).or_default().push(result);
    }
}

impl Heard {
    fn silent(&self) -> bool {
        self.samples.is_empty() && self.words.is_empty() && self.ends.is_empty()
    }
}

fn request(engine: &dyn Engine, id: u64, text: &str, (voice, seed): (VoiceSlot, u64)) -> ChunkRequest {
    ChunkRequest {
        id: ChunkId(id),
        text: SpokenText { text: text.to_owned(), spans: Vec::new() },
        language: engine.descriptor().languages.first().expect("a language").clone(),
        voice,
        speed: Speed::NORMAL,
        seed,
        params: Params::new(),
        cancel: CancelFlag::default(),
        progress: StepCounter::default(),
    }
}

fn step(engine: &mut dyn Engine, heard: &mut Heard) {
    engine.step(heard).expect("the device is there");
}

/// Steps until all of `chunks` have ended.
fn run(engine: &mut dyn Engine, heard: &mut Heard, chunks: &[u64]) {
    for _ in 0..PATIENCE {
        if chunks.iter().all(|id| heard.ends.contains_key(&ChunkId(*id))) {
            return;
        }
        step(engine, heard);
    }
    panic!("chunks {chunks:?} do not end within {PATIENCE} steps");
}

/// One chunk from admission to its end.
fn speak(engine: &mut dyn Engine, id: u64, text: &str, how: (VoiceSlot, u64)) -> Vec<f32> {
    let mut heard = Heard::default();
    let request = request(engine, id, text, how);
    engine.admit(request).expect("a free engine takes a chunk");
    run(engine, &mut heard, &[id]);
    heard.samples.remove(&ChunkId(id)).expect("a chunk has samples")
}

fn assert_same(left: &[f32], right: &[f32], what: &str) {
    assert_eq!(left.len(), right.len(), "{what}: lengths differ");
    let differs = left.iter().zip(right).position(|(l, r)| l.to_bits() != r.to_bits());
    assert_eq!(differs, None, "{what}: first sample that differs");
}

/// What the descriptor promises is usable as it stands.
pub fn descriptor_is_sane(subject: &Subject) {
    let engine = (subject.make)();
    let descriptor = engine.descriptor();
    assert!(!descriptor.name.is_empty() && !descriptor.languages.is_empty());
    assert!((8_000..=192_000).contains(&descriptor.sample_rate.0), "{:?}", descriptor.sample_rate);
    let budget = descriptor.chunk_budget;
    assert!(budget.first > 0 && budget.first <= budget.max, "{budget:?}");
    assert!(descriptor.max_slots > 0 && !descriptor.voice_kinds.is_empty());
    let presets = descriptor.voice_kinds.contains(&VoiceKind::Preset);
    assert!(presets || descriptor.presets.is_empty(), "presets, but not among the voice kinds");
    for (index, spec) in descriptor.params.iter().enumerate() {
        let twice = descriptor.params.iter().skip(index + 1).any(|other| other.name == spec.name);
        assert!(!twice, "parameter `{}` is declared twice", spec.name);
        let default = match spec.kind.clone() {
            ParamKind::Bool { default } => ParamValue::Bool(default),
            ParamKind::Integer { default, .. } => ParamValue::Integer(default),
            ParamKind::Number { default, .. } => ParamValue::Number(default),
            ParamKind::Text { default } => ParamValue::Text(default),
        };
        assert!(spec.check(default).is_ok(), "the default of `{}` is out of its own range", spec.name);
    }
}

/// A voice that is not there is an error that blames the request, and leaves the engine well.
pub fn unknown_voice_is_rejected(subject: &Subject) {
    let (mut engine, slot) = subject.engine();
    let nobody = VoiceSource::Preset { name: "no such voice \u{1f47b}".to_owned() };
    let result = engine.load_voice(&nobody, &Waiter::default());
    assert!(matches!(result, Err(EngineError::Rejected(_))), "{result:?}");
    let nowhere = VoiceSource::Embedding { path: "no/such/file.safetensors".into() };
    assert!(
        engine.load_voice(&nowhere, &Waiter::default()).is_err(),
        "a voice file that is not there was loaded"
    );
    speak(engine.as_mut(), 1, SHORT, (slot, 1));
}

/// A step with nothing to do reports nothing and breaks nothing.
pub fn step_without_chunks_is_harmless(subject: &Subject) {
    let (mut engine, slot) = subject.engine();
    let mut heard = Heard::default();
    (0..3).for_each(|_| step(engine.as_mut(), &mut heard));
    engine.cancel(ChunkId(77));
    assert!(heard.silent());
    speak(engine.as_mut(), 1, SHORT, (slot, 1));
}

/// A chunk ends once, with true statistics, finite samples and timings within them; its slot is free then.
pub fn finished_is_reported_exactly_once(subject: &Subject) {
    let (mut engine, slot) = subject.engine();
    let mut heard = Heard::default();
    let chunk = request(engine.as_ref(), 1, SHORT, (slot, 1));
    let progress = chunk.progress.clone();
    engine.admit(chunk).expect("a free engine takes a chunk");
    run(engine.as_mut(), &mut heard, &[1]);
    (0..3).for_each(|_| step(engine.as_mut(), &mut heard));
    let [Ok(stats)] = heard.ends[&ChunkId(1)].as_slice() else { panic!("{:?}", heard.ends) };
    let samples = &heard.samples[&ChunkId(1)];
    assert_eq!(stats.samples, samples.len() as u64);
    assert!(samples.iter().all(|sample| sample.is_finite()));
    assert!(progress.get() > 0, "the step counter did not move");
    for word in heard.words.values().flatten() {
        assert!(word.text.end <= SHORT.len() && word.text.start <= word.text.end, "{word:?}");
        assert!(word.samples.start <= word.samples.end && word.samples.end <= stats.samples, "{word:?}");
    }
    for id in 2..2 + engine.descriptor().max_slots as u64 {
        let request = request(engine.as_ref(), id, SHORT, (slot, 1));
        engine.admit(request).expect("every slot is free again");
    }
    let one_more = request(engine.as_ref(), 99, SHORT, (slot, 1));
    assert!(engine.admit(one_more).is_err(), "more chunks than slots were taken");
}

/// The same request sounds the same, in one engine and in another.
pub fn same_seed_gives_same_samples(subject: &Subject) {
    let (mut engine, slot) = subject.engine();
    let (mut other, other_slot) = subject.engine();
    let first = speak(engine.as_mut(), 1, SHORT, (slot, 42));
    speak(engine.as_mut(), 2, LONG, (slot, 7));
    assert_same(&first, &speak(engine.as_mut(), 3, SHORT, (slot, 42)), "in the same engine");
    assert_same(&first, &speak(other.as_mut(), 1, SHORT, (other_slot, 42)), "in another engine");
}

/// Neighbours do not change a chunk's samples: in turn, side by side where there are slots, and begun in the
/// middle of another chunk.
pub fn interleaved_equals_single(subject: &Subject) {
    let (mut engine, slot) = subject.engine();
    let short = speak(engine.as_mut(), 1, SHORT, (slot, 1));
    let long = speak(engine.as_mut(), 2, LONG, (slot, 2));
    let (mut engine, slot) = subject.engine();
    let slots = engine.descriptor().max_slots;
    let mut heard = Heard::default();
    let jobs = [(1, SHORT, 1), (2, LONG, 2), (3, SHORT, 1), (4, LONG, 2)];
    let mut begun = Vec::new();
    for (id, text, seed) in jobs {
        while begun.len() - heard.ends.len() >= slots {
            step(engine.as_mut(), &mut heard);
        }
        let request = request(engine.as_ref(), id, text, (slot, seed));
        engine.admit(request).expect("a free slot takes a chunk");
        begun.push(id);
        step(engine.as_mut(), &mut heard);
    }
    run(engine.as_mut(), &mut heard, &begun);
    for (id, text, _) in jobs {
        let alone = if text == SHORT { &short } else { &long };
        assert_same(&heard.samples[&ChunkId(id)], alone, &format!("chunk {id}"));
    }
}

/// A chunk that is cancelled takes nothing from the others.
pub fn slots_are_independent(subject: &Subject) {
    let (mut engine, slot) = subject.engine();
    let alone = speak(engine.as_mut(), 1, SHORT, (slot, 5));
    let mut heard = Heard::default();
    let doomed = request(engine.as_ref(), 2, LONG, (slot, 6));
    let flag = doomed.cancel.clone();
    engine.admit(doomed).expect("a free engine takes a chunk");
    let together = engine.descriptor().max_slots > 1;
    if together {
        let request = request(engine.as_ref(), 3, SHORT, (slot, 5));
        engine.admit(request).expect("the second slot takes a chunk");
        step(engine.as_mut(), &mut heard);
    }
    flag.cancel();
    engine.cancel(ChunkId(2));
    if !together {
        let request = request(engine.as_ref(), 3, SHORT, (slot, 5));
        engine.admit(request).expect("the slot of a cancelled chunk is free");
    }
    run(engine.as_mut(), &mut heard, &[3]);
    assert_same(&heard.samples[&ChunkId(3)], &alone, "beside a cancelled chunk");
}

/// A voice that is dropped goes on speaking in chunks that have it already.
pub fn dropped_voice_finishes_its_chunks(subject: &Subject) {
    let (mut engine, slot) = subject.engine();
    let before = speak(engine.as_mut(), 1, SHORT, (slot, 3));
    let mut heard = Heard::default();
    let request = request(engine.as_ref(), 2, SHORT, (slot, 3));
    engine.admit(request).expect("a free engine takes a chunk");
    engine.drop_voice(slot);
    run(engine.as_mut(), &mut heard, &[2]);
    let end = &heard.ends[&ChunkId(2)];
    assert!(matches!(end.as_slice(), [Ok(_)]), "{end:?}");
    assert_same(&heard.samples[&ChunkId(2)], &before, "after the voice was dropped");
}

/// A chunk cancelled before a step does no work in it, and one cancelled during a step ends at the next
/// checkpoint; neither is reported as spoken, and the slot is free.
pub fn cancel_stops_within_one_step(subject: &Subject) {
    let (mut engine, slot) = subject.engine();
    let mut heard = Heard::default();
    let chunk = request(engine.as_ref(), 1, LONG, (slot, 1));
    let (flag, progress) = (chunk.cancel.clone(), chunk.progress.clone());
    engine.admit(chunk).expect("a free engine takes a chunk");
    flag.cancel();
    step(engine.as_mut(), &mut heard);
    assert!(progress.get() <= 1, "{} units of work were done for nobody", progress.get());
    assert!(!heard.samples.contains_key(&ChunkId(1)), "a cancelled chunk was spoken");
    assert!(!heard.ends.values().flatten().any(Result::is_ok), "a cancelled chunk was reported as done");
    engine.cancel(ChunkId(1));
    cancelled_in_the_middle(engine.as_mut(), slot);
    speak(engine.as_mut(), 3, SHORT, (slot, 1));
}

fn cancelled_in_the_middle(engine: &mut dyn Engine, slot: VoiceSlot) {
    let mut heard = Heard::default();
    let chunk = request(engine, 2, LONG, (slot, 1));
    let (flag, progress) = (chunk.cancel.clone(), chunk.progress.clone());
    engine.admit(chunk).expect("the slot of a cancelled chunk is free");
    let at_cancel = thread::scope(|scope| {
        let canceller = scope.spawn(|| {
            while progress.get() < 2 && !flag.is_cancelled() {
                thread::yield_now();
            }
            flag.cancel();
            progress.get()
        });
        while !flag.is_cancelled() && heard.ends.is_empty() {
            step(engine, &mut heard);
        }
        // A chunk with a single checkpoint ends before the canceller acts.
        flag.cancel();
        canceller.join().expect("the canceller does not panic")
    });
    let work = progress.get() - at_cancel;
    assert!(work <= 1, "{work} units of work were done after the cancellation");
    engine.cancel(ChunkId(2));
}

/// Makes a `#[test]` of every check: `conformance!(|| Box::new(MyEngine::small()))`, with a voice as second
/// argument (`VoiceSource`) for an engine without presets.
#[macro_export]
macro_rules! conformance {
    ($make:expr) => {
        $crate::conformance!(@tests $make, None);
    };
    ($make:expr, $voice:expr) => {
        $crate::conformance!(@tests $make, Some($voice));
    };
    (@tests $make:expr, $voice:expr) => {
        $crate::conformance!(@each $make, $voice,
            descriptor_is_sane
            unknown_voice_is_rejected
            step_without_chunks_is_harmless
            finished_is_reported_exactly_once
            same_seed_gives_same_samples
            interleaved_equals_single
            slots_are_independent
            dropped_voice_finishes_its_chunks
            cancel_stops_within_one_step
        );
    };
    (@each $make:expr, $voice:expr, $($check:ident)*) => {
        $(
            #[test]
            fn $check() {
                $crate::conformance::$check(&$crate::conformance::Subject { make: &$make, voice: $voice });
            }
        )*
    };
}
