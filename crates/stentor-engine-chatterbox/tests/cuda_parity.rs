//! The goldens on the first CUDA device. Only built with the feature `cuda`; where there is no such device every test fails.
//!
//! `just parity-cuda` runs it, one test at a time: they share the device's one stream.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and shows its figures"
)]

#[expect(dead_code, reason = "other tests use the rest")]
mod golden_checks {
    pub(crate) mod flow;
    pub(crate) mod hift;
    pub(crate) mod recorder;
    pub(crate) mod render;
    pub(crate) mod t3;
}
#[expect(dead_code, reason = "others load on the CPU")]
mod models;

use golden_checks::{flow, hift, render, t3};
use std::{collections::BTreeMap, sync::OnceLock};
use stentor_engine::{
    CancelFlag, ChunkRequest, ChunkStats, Engine, EngineError, StepCounter, StepSink, Waiter,
};
use stentor_engine_chatterbox::{
    load,
    model::t3::{Sequence, T3},
    sampler::{Rng, Sampling, drawn_elsewhere, sample},
};
use stentor_nn::{Opened, StepBy, Unwatched, open_device};
use stentor_testkit::{
    chatterbox::{Depth, Golden, Part},
    chatterbox_model::Variant,
};
use stentor_types::{
    ChunkId, DeviceSpec, LoadSpec, Params, Precision, Speed, SpokenText, VoiceSource, WordTiming,
};

const CARD: DeviceSpec = DeviceSpec::Cuda(0);
/// The same formulas in another order of summation.
const SINGLE: f64 = 1e-3;
/// Twice what the tests of the same roundings on the CPU allow.
const HALF: f64 = 2e-2;

fn card() -> &'static Opened {
    static OPENED: OnceLock<Opened> = OnceLock::new();
    let opened = OPENED.get_or_init(|| open_device(CARD, Precision::F32));
    let why = opened.degraded.as_deref().unwrap_or("no reason given");
    assert_eq!(opened.spec, CARD, "no CUDA device: {why}");
    opened
}

const VARIANTS: [(Part, &str); 4] = [
    (Part::T3English, "t3-english"),
    (Part::T3Multilingual, "t3-multilingual"),
    (Part::T3Turbo, "t3-turbo"),
    (Part::T3Nano, "t3-nano"),
];

#[test]
fn every_variant_says_the_same_tokens() {
    for (part, golden) in VARIANTS {
        let model = t3::load_on(part, Depth::Reduced, &card().device, Precision::F32);
        for how in [StepBy::Ops, StepBy::Launches, StepBy::Graph] {
            model.step_by(how);
            println!("{golden}, {how:?}: {}", t3::check_model(&model, part, &Golden::open(golden), SINGLE));
            assert_eq!(model.take_remark(), None, "{golden}, {how:?}");
        }
    }
}

/// Texts of different lengths.
fn texts(part: Part) -> Vec<Vec<u32>> {
    let whole = t3::text(part);
    [23, 9, 3, 17].iter().map(|len| whole[..*len].to_vec()).collect()
}

/// Sequences of [`texts`], each with room for `STEPS`.
fn sequences(model: &T3, part: Part) -> Vec<Sequence> {
    let prefix = model.prefix(&t3::voice(part), t3::EXAGGERATION, &Unwatched).unwrap();
    let start = |(index, text): (usize, &Vec<u32>)| {
        // Some with a second row, some without.
        let guided = !t3::is_turbo(part) && index != 1;
        model.start(&prefix, text, (guided, STEPS), &Unwatched).unwrap()
    };
    texts(part).iter().enumerate().map(start).collect()
}

const STEPS: usize = 8;

/// All that a step tells of a sequence.
fn told(sequence: &Sequence) -> Vec<f32> {
    let unguided = sequence.unguided_logits().unwrap_or_default();
    [sequence.logits(), unguided, sequence.attention()].concat()
}

#[test]
fn sequences_of_different_lengths_are_together_what_each_is_alone() {
    for (part, golden) in VARIANTS {
        for precision in [Precision::F32, Precision::F16] {
            let model = t3::load_on(part, Depth::Reduced, &card().device, precision);
            let token = |step: usize, index: usize| (37 * step + 501 * index) as u32 % 6561;
            for how in [StepBy::Launches, StepBy::Graph] {
                model.step_by(how);
                let mut together = sequences(&model, part);
                let mut alone = sequences(&model, part);
                for step in 0..STEPS {
                    // The first is a step behind, so that the number of rows changes.
                    let rows = together.iter_mut().enumerate().skip(usize::from(step == 0));
                    let mut rows: Vec<_> =
                        rows.map(|(index, sequence)| (sequence, token(step, index))).collect();
                    model.decode(&mut rows, &Unwatched).unwrap();
                    for (index, sequence) in alone.iter_mut().enumerate().skip(usize::from(step == 0)) {
                        model.decode(&mut [(sequence, token(step, index))], &Unwatched).unwrap();
                        assert!(
                            told(sequence) == told(&together[index]),
                            "{golden} {precision:?} {how:?}: {step}, {index}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn tokens_that_the_card_draws_are_those_that_the_cpu_draws_of_its_logits() {
    for (part, golden) in VARIANTS {
        let model = t3::load_on(part, Depth::Reduced, &card().device, Precision::F16);
        let sampling = Sampling::of(model.family());
        let mut by_card = sequences(&model, part);
        let mut by_cpu = sequences(&model, part);
        for (index, (card, cpu)) in by_card.iter_mut().zip(&mut by_cpu).enumerate() {
            let (mut rng, mut said) = (Rng::new(index as u64), vec![6561]);
            let logits = |sequence: &Sequence, said: &[u32], rng: &mut Rng| {
                sample(sequence.logits(), sequence.unguided_logits(), said, &sampling, rng).unwrap()
            };
            let mut token = logits(cpu, &said, &mut rng);
            for step in 0..STEPS {
                said.push(token);
                let draw = sampling.elsewhere(&said, &rng, false);
                model.decode_and_draw(&mut [(&mut *card, token)], vec![Some(draw)], &Unwatched).unwrap();
                model.decode(&mut [(&mut *cpu, token)], &Unwatched).unwrap();
                assert_eq!(card.attention(), cpu.attention(), "{golden}: step {step} of {index}");
                let (drawn, mut own) = (card.drawn().unwrap(), rng.clone());
                token = logits(cpu, &said, &mut rng);
                assert_eq!(drawn_elsewhere(drawn, &mut own), Ok(token), "{golden}: step {step} of {index}");
                assert_eq!(own, rng);
            }
        }
    }
}

#[test]
fn half_precision_gives_nearly_the_same_logits() {
    for (part, golden) in VARIANTS {
        t3::check_coarse(part, &Golden::open(golden), HALF, (&card().device, Precision::F16));
    }
}

#[test]
fn mel_frames_are_the_same_in_single_and_nearly_so_in_half_precision() {
    for (precision, tolerance) in [(Precision::F32, SINGLE), (Precision::F16, HALF)] {
        for (part, golden, steps) in [(Part::S3Gen, "flow", 10), (Part::S3GenMeanflow, "flow-meanflow", 2)] {
            let model = flow::load_in(part, Depth::Reduced, 1.0, (&card().device, precision));
            let whole = flow::Case { name: "whole", last: true, steps, tolerance: [tolerance; 2] };
            flow::check(&model, &Golden::open(golden), &whole);
        }
    }
}

#[test]
fn the_vocoder_agrees_layer_by_layer() {
    let device = &card().device;
    hift::check_layers(SINGLE, device);
    hift::check_layers_in(HALF, (device, Precision::F16));
    hift::check_loud(SINGLE, device);
    hift::check_unpatched(device);
}

/// What lies side by side in one tensor is summed in another order.
#[test]
fn what_is_rendered_together_is_what_each_is_alone() {
    let device = &card().device;
    for part in [Part::S3Gen, Part::S3GenMeanflow] {
        flow::check_together(&flow::load(part, Depth::Reduced, 1.0, device), 2, 1e-2);
        for (precision, likeness) in [(Precision::F32, 0.999), (Precision::F16, 0.98)] {
            render::check_together(&render::load(part, (device, precision)), likeness);
        }
    }
    hift::check_together(1e-3, device);
}

/// What each chunk gave.
#[derive(Default)]
struct Heard {
    samples: BTreeMap<ChunkId, Vec<f32>>,
    ends: BTreeMap<ChunkId, Result<ChunkStats, EngineError>>,
}

impl StepSink for Heard {
    fn pcm(&mut self, chunk: ChunkId, samples: &[f32]) {
        self.samples.entry(chunk).or_default().extend_from_slice(samples);
    }
    fn timing(&mut self, _: ChunkId, _: &[WordTiming]) {}
    fn finished(&mut self, chunk: ChunkId, result: Result<ChunkStats, EngineError>) {
        self.ends.insert(chunk, result);
    }
}

/// Samples of each text, all said at once with the model's own voice.
fn speak_all(engine: &mut dyn Engine, texts: &[&str]) -> Vec<Vec<f32>> {
    let name = engine.descriptor().presets[0].clone();
    let voice = engine.load_voice(&VoiceSource::Preset { name }, &Waiter::default()).unwrap();
    for (text, id) in texts.iter().zip(0..) {
        let request = ChunkRequest {
            id: ChunkId(id),
            text: SpokenText { text: (*text).to_owned(), spans: Vec::new() },
            language: engine.descriptor().languages[0].clone(),
            voice,
            speed: Speed::NORMAL,
            seed: 7,
            params: Params::new(),
            cancel: CancelFlag::default(),
            progress: StepCounter::default(),
        };
        engine.admit(request).unwrap();
    }
    let mut heard = Heard::default();
    while heard.ends.len() < texts.len() {
        engine.step(&mut heard).unwrap();
    }
    for (chunk, end) in heard.ends {
        let (stats, samples) = (end.unwrap(), &heard.samples[&chunk]);
        assert!(stats.samples > 0 && stats.samples == samples.len() as u64, "{stats:?}");
        assert!(samples.iter().all(|sample| sample.is_finite()));
    }
    heard.samples.into_values().collect()
}

fn speak(engine: &mut dyn Engine) -> Vec<f32> {
    speak_all(engine, &["Hello there."]).remove(0)
}

/// Chunks that begin together and whose pieces share passes.
#[test]
fn chunks_share_the_card() {
    card();
    let spec = LoadSpec { device: CARD, ..models::written(Variant::English, "card-shared") };
    let mut engine = load(&spec).unwrap();
    let slots = engine.descriptor().max_slots.min(6);
    let texts = ["Hello there, all of you.", "Hi.", "Nobody walked down to the harbour, and it rained."];
    let texts: Vec<&str> = texts.into_iter().cycle().take(slots).collect();
    for (text, samples) in texts.iter().zip(speak_all(&mut *engine, &texts)) {
        println!("{} samples of {text}", samples.len());
    }
}

/// Bytes of the card that are free once everything before has ended there.
fn free() -> u64 {
    // What is kept for the next chunk is given back, too.
    card().keep_freed(0);
    card().device.synchronize().unwrap();
    card().free_memory().unwrap()
}

/// Loads a model, lets it speak and drops it. Bytes of its weights, and those that are free afterwards.
fn visit(spec: &LoadSpec) -> (u64, u64) {
    let before = free();
    let mut engine = load(spec).unwrap();
    let descriptor = engine.descriptor();
    let weights = descriptor.memory.weights;
    assert_eq!(descriptor.degraded, None);
    assert_eq!((descriptor.device, descriptor.precision), (spec.device, spec.precision));
    assert!(free() + weights / 2 < before, "{weights} bytes of weights are not on the card");
    let samples = speak(&mut *engine).len();
    println!("{:?}: {weights} bytes of weights, {samples} samples", spec.precision);
    drop(engine);
    (weights, free())
}

#[test]
fn engines_speak_on_the_card_and_give_its_memory_back() {
    card();
    for (variant, name) in [(Variant::English, "card-english"), (Variant::Nano, "card-nano")] {
        let on_cpu = models::written(variant, name);
        println!("{name}: {} samples on the CPU", speak(&mut *load(&on_cpu).unwrap()).len());
        for precision in [Precision::F32, Precision::F16] {
            let spec = LoadSpec { device: CARD, precision, ..on_cpu.clone() };
            // What the libraries load when they are first used stays; a model that stayed would be there twice.
            let ((_, first), (weights, second)) = (visit(&spec), visit(&spec));
            assert!(second + weights / 2 > first, "{name} {precision:?}: {first} bytes free, then {second}");
        }
    }
}
