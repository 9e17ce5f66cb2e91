//! The goldens on the first CUDA device. Only built with the feature `cuda`; where there is no such device every test fails.
//!
//! `just parity-cuda` runs it. Run it with one test at a time: they share the device's one stream.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and shows its figures"
)]

#[expect(dead_code, reason = "no test here is on the CPU")]
mod golden_checks;

use golden_checks::{On, again, builtin, correlation, full_size, tiny, together};
use std::sync::OnceLock;
use stentor_engine::{CancelFlag, ChunkOutput, ChunkRequest, StepCounter, WholeChunk};
use stentor_engine_kokoro::load_engine;
use stentor_nn::{Opened, open_device};
use stentor_types::{
    ChunkId, DeviceSpec, Language, LoadSpec, ModelId, Params, Precision, Speed, SpokenText, VoiceSource,
};

const CARD: DeviceSpec = DeviceSpec::Cuda(0);

fn card() -> &'static Opened {
    static OPENED: OnceLock<Opened> = OnceLock::new();
    let opened = OPENED.get_or_init(|| open_device(CARD, Precision::F32));
    assert_eq!(
        opened.spec,
        CARD,
        "no CUDA device: {}",
        opened.degraded.as_deref().unwrap_or("no reason given")
    );
    opened
}

/// The same formulas in another order of summation: ten times the roundings of the CPU.
fn single() -> On {
    On { device: card().device.clone(), precision: Precision::F32, slack: [10.0, 10.0, 5.0] }
}

/// As measured with the same roundings on the CPU, and half as much again.
fn half() -> On {
    On { precision: Precision::F16, slack: [10.0, 600.0, 20.0], ..single() }
}

#[test]
fn the_tiny_model_agrees() {
    tiny::check(&single());
}

#[test]
fn the_embedded_model_agrees_stage_by_stage() {
    builtin::check(&single());
}

#[test]
fn utterances_together_are_what_each_is_alone() {
    together::check(&single(), 1e-2);
}

#[test]
fn short_utterances_are_recorded_and_replayed() {
    again::check(&single(), 1e-2);
    again::check(&half(), 2e-2);
}

#[test]
fn the_full_size_agrees_layer_by_layer() {
    for file in ["short.safetensors", "long.safetensors", "fast.safetensors"] {
        full_size::check_case(file, &single());
    }
}

#[test]
fn the_reference_as_published_differs_only_by_the_drift_of_its_phase() {
    full_size::check_unpatched(&single());
}

#[test]
fn exact_ties_of_durations_round_to_even() {
    full_size::check_ties(&single());
}

#[test]
fn half_precision_changes_nothing_but_the_last_digits_of_the_sound() {
    tiny::check(&half());
    builtin::check(&half());
    full_size::check_case("short.safetensors", &half());
}

/// The embedded model's engine on `device`, and what it says.
fn speak(device: DeviceSpec, precision: Precision) -> (stentor_engine::EngineDescriptor, ChunkOutput) {
    let spec = LoadSpec {
        model: ModelId::from("builtin"),
        engine: "kokoro".to_owned(),
        files: std::collections::BTreeMap::new(),
        device,
        precision,
        threads: 0,
        cache_dir: None,
    };
    let mut engine = load_engine(&spec).unwrap();
    let name = engine.descriptor().presets[0].clone();
    let request = ChunkRequest {
        id: ChunkId(1),
        text: SpokenText { text: "The quick brown fox.".to_owned(), spans: Vec::new() },
        language: Language::en_us(),
        voice: engine.load_voice(&VoiceSource::Preset { name }).unwrap(),
        speed: Speed::NORMAL,
        seed: 7,
        params: Params::new(),
        cancel: CancelFlag::default(),
        progress: StepCounter::default(),
    };
    let output = engine.synthesize(&request).unwrap().unwrap();
    assert!(request.progress.get() > 100, "the watchdog sees only {} units of work", request.progress.get());
    (engine.descriptor().clone(), output)
}

#[test]
fn the_engine_says_where_it_is_and_speaks_as_on_the_cpu() {
    card();
    let (_, expected) = speak(DeviceSpec::Cpu, Precision::F32);
    for (asked, precision) in
        [(CARD, Precision::F32), (CARD, Precision::F16), (DeviceSpec::Auto, Precision::F32)]
    {
        let (descriptor, output) = speak(asked, precision);
        assert_eq!(
            (descriptor.device, descriptor.precision, descriptor.degraded),
            (CARD, precision, None),
            "asked for {asked}"
        );
        println!("{asked} {precision:?}: {} bytes of weights", descriptor.memory.weights);
        assert_eq!(output.words, expected.words);
        let likeness = correlation(&output.samples, &expected.samples);
        println!("{asked} {precision:?}: correlation {likeness}");
        assert!(likeness > 0.98, "{asked} {precision:?}: {likeness}");
    }
}
