//! T3 of every variant at full width and two layers: the reference's numbers and its tokens.

#[path = "golden_checks/t3.rs"]
mod checks;
#[path = "golden_checks/recorder.rs"]
mod recorder;

use candle_core::Device;
use checks::{check, check_coarse};
use stentor_testkit::chatterbox::{Depth, Golden, Part};
use stentor_types::Precision;

const TOLERANCE: f64 = 2e-5;

#[test]
fn english_equals_the_reference_which_would_say_what_is_no_sound() {
    let ruled_out = check(Part::T3English, Depth::Reduced, &Golden::open("t3-english"), TOLERANCE).masked;
    assert!(ruled_out >= 5, "only {ruled_out} steps show that ids have to be masked");
}

#[test]
fn multilingual_equals_the_reference() {
    check(Part::T3Multilingual, Depth::Reduced, &Golden::open("t3-multilingual"), TOLERANCE);
}

#[test]
fn turbo_equals_the_reference() {
    check(Part::T3Turbo, Depth::Reduced, &Golden::open("t3-turbo"), TOLERANCE);
}

#[test]
fn nano_equals_the_reference() {
    check(Part::T3Nano, Depth::Reduced, &Golden::open("t3-nano"), TOLERANCE);
}

/// What is stored in two bytes or one is rounded, but still the same network.
#[test]
fn coarser_weights_change_the_last_digits_only() {
    for (precision, tolerance) in [(Precision::F16, 1e-3), (Precision::Int8, 3e-2)] {
        for (part, golden) in [(Part::T3English, "t3-english"), (Part::T3Nano, "t3-nano")] {
            check_coarse(part, &Golden::open(golden), tolerance, (&Device::Cpu, precision));
        }
    }
}
