//! The embedded model against the network that was trained.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and shows its figures"
)]

#[expect(dead_code, reason = "other tests use the other goldens")]
mod golden_checks;

#[test]
fn every_stage_agrees_with_the_network_that_was_trained() {
    golden_checks::builtin::check(&golden_checks::On::cpu());
}

#[test]
fn utterances_together_are_to_the_bit_what_each_is_alone() {
    golden_checks::together::check(&golden_checks::On::cpu(), 0.0);
}

#[test]
fn short_utterances_in_columns_set_aside_are_to_the_bit_what_they_are_in_their_own() {
    golden_checks::again::check(&golden_checks::On::cpu(), 0.0);
}
