//! What a recording becomes before anything speaks, against the reference with the same weights; see `reference/README.md`.

#[path = "golden_checks/front.rs"]
mod checks;

use std::sync::LazyLock;
use stentor_engine_chatterbox::voice::Encoders;
use stentor_testkit::chatterbox::{Depth, Golden};

/// A checkpoint takes seconds to write.
static ENCODERS: LazyLock<Encoders> = LazyLock::new(|| checks::encoders(Depth::Reduced));
static GOLDEN: LazyLock<Golden> = LazyLock::new(|| checks::golden(None));

#[test]
fn resamplers_are_those_of_the_reference() {
    checks::resamplers(&GOLDEN);
}

#[test]
fn loudness_is_measured_as_in_training() {
    checks::loudness(&GOLDEN);
}

#[test]
fn voice_encoder_agrees() {
    checks::voice_encoder(&GOLDEN, &ENCODERS);
}

#[test]
fn speech_tokens_are_identical() {
    checks::tokenizer(&GOLDEN, &ENCODERS, Depth::Reduced);
}

#[test]
fn campplus_agrees_layer_by_layer() {
    checks::speaker(&GOLDEN, &ENCODERS);
}

#[test]
fn whole_conditionals_agree_for_each_family() {
    checks::conditionals(&GOLDEN, &ENCODERS);
}
