//! T3 of every variant at full width and two layers: the reference's numbers and its tokens.

#[expect(dead_code, reason = "half precision is not for our kernels")]
#[path = "golden_checks/t3.rs"]
mod checks;

use checks::check;
use stentor_testkit::chatterbox::{Depth, Golden, Part};

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
