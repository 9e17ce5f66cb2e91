//! The goldens on the first CUDA device. Only built with the feature `cuda`; where there is no such device every test fails.
//!
//! `just parity-cuda` runs it, one test at a time: they share the device's one stream.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests use the rest")]
mod golden_checks {
    pub(crate) mod flow;
    pub(crate) mod t3;
}
#[path = "golden_checks/hift.rs"]
mod hift;

use golden_checks::{flow, t3};
use std::sync::OnceLock;
use stentor_nn::{Opened, Unwatched, open_device};
use stentor_testkit::chatterbox::{Depth, Golden, Part};
use stentor_types::{DeviceSpec, Precision};

const CARD: DeviceSpec = DeviceSpec::Cuda(0);
/// The same formulas in another order of summation.
const SINGLE: f64 = 1e-3;
/// A guess, until a card has been measured: products of 11 bits, summed over some layers.
const HALF: f64 = 5e-2;

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
        t3::check_model(&model, part, &Golden::open(golden), SINGLE);
    }
}

#[test]
fn half_precision_gives_nearly_the_same_first_logits() {
    for (part, golden) in VARIANTS {
        let model = t3::load_on(part, Depth::Reduced, &card().device, Precision::F16);
        let (_prefix, sequence) = t3::begin(&model, part, &Unwatched);
        let logits = sequence.logits();
        Golden::open(golden).check("t3.logits.0", &[logits.len()], logits, HALF);
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
    hift::check_loud(SINGLE, device);
    hift::check_unpatched(device);
}
