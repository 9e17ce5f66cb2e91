//! The network at its published size against the reference implementation: every layer's output, with weights, noise and
//! style from a counter hash. What the goldens hold is written in `reference/README.md`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and shows its figures"
)]

#[expect(dead_code, reason = "other tests use the other goldens")]
mod golden_checks;

use golden_checks::{On, full_size};

#[test]
fn a_short_text_agrees_layer_by_layer() {
    full_size::check_case("short.safetensors", &On::cpu());
}

#[test]
fn a_longer_text_agrees_layer_by_layer() {
    full_size::check_case("long.safetensors", &On::cpu());
}

#[test]
fn a_faster_reading_agrees_layer_by_layer() {
    full_size::check_case("fast.safetensors", &On::cpu());
}

#[test]
fn the_reference_as_published_differs_only_by_the_drift_of_its_phase() {
    full_size::check_unpatched(&On::cpu());
}

#[test]
fn exact_ties_of_durations_round_to_even() {
    full_size::check_ties(&On::cpu());
}
