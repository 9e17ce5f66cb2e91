//! The network out of candle's ops, as it runs on every device but the CPU, against the same goldens.
//!
//! It runs on the CPU here, so that what a card computes is known to be the same network before there is a card. The half
//! precision of cards is measured the same way.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and shows its figures"
)]

#[expect(dead_code, reason = "other tests use the other goldens")]
mod golden_checks;

use golden_checks::{On, again, builtin, full_size, tiny, together};
use stentor_types::Precision;

fn stock() -> On {
    stentor_nn::cpu::compute_without_kernels();
    On { slack: [2.0; 3], ..On::cpu() }
}

/// Durations, pitch and energy as before; f16 has 11 bits, and what is made of it is off by a thousandth or two.
fn half() -> On {
    On { precision: Precision::F16, slack: [2.0, 400.0, 15.0], ..stock() }
}

#[test]
fn the_tiny_model_agrees() {
    tiny::check(&stock());
}

#[test]
fn the_embedded_model_agrees_stage_by_stage() {
    builtin::check(&stock());
}

#[test]
fn the_full_size_agrees_layer_by_layer() {
    for file in ["short.safetensors", "fast.safetensors"] {
        full_size::check_case(file, &stock());
    }
}

#[test]
fn the_reference_as_published_differs_only_by_the_drift_of_its_phase() {
    full_size::check_unpatched(&stock());
}

#[test]
fn exact_ties_of_durations_round_to_even() {
    full_size::check_ties(&stock());
}

#[test]
fn utterances_together_are_what_each_is_alone() {
    together::check(&stock(), 2e-3);
}

#[test]
fn short_utterances_in_columns_set_aside_are_what_they_are_in_their_own() {
    again::check(&stock(), 2e-3);
}

#[test]
fn half_precision_changes_nothing_but_the_last_digits_of_the_sound() {
    tiny::check(&half());
    builtin::check(&half());
    full_size::check_case("short.safetensors", &half());
}
