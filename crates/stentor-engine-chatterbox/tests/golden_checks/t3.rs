//! T3 against what the reference says of the same weights, voice and text.

use super::recorder;
pub(crate) use super::recorder::Recorder;
use candle_core::Device;
use std::fmt;
use stentor_engine_chatterbox::{
    model::t3::{Family, Prefix, Sequence, T3},
    sampler::{Rng, Sampling, is_sayable, sample},
    voice::T3Prompt,
};
use stentor_nn::{Unwatched, Watch, Weights};
use stentor_testkit::chatterbox::{Depth, Golden, Part, integers, noise, write};
use stentor_types::Precision;

pub(crate) const EXAGGERATION: f32 = 0.7;
/// Steps whose logits a golden holds.
const COMPARED: usize = 6;

/// What a comparison found; the tokens were the same.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Steps whose most probable id is no sound.
    pub(crate) masked: usize,
    /// The largest error of the conditioning prefix, of the logits and of the attention, each relative to the layer's magnitude.
    prefix: f64,
    logits: f64,
    attention: f64,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { masked, prefix, logits, attention } = self;
        write!(
            f,
            "largest relative errors: prefix {prefix:.1e}, logits {logits:.1e}, attention {attention:.1e}; "
        )?;
        write!(f, "the same tokens; the mask ruled out the winner of {masked} steps")
    }
}

/// Loads the hash checkpoint of `part` as the engine would.
pub(crate) fn load(part: Part, depth: Depth) -> T3 {
    load_on(part, depth, &Device::Cpu, Precision::F32)
}

/// The same on any device.
pub(crate) fn load_on(part: Part, depth: Depth, device: &Device, precision: Precision) -> T3 {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t3.safetensors");
    write(&path, part, depth).expect("a checkpoint");
    let weights = Weights::open(&path, device).expect("a checkpoint");
    T3::load(&weights, device, precision).expect("a model")
}

pub(crate) fn is_turbo(part: Part) -> bool {
    matches!(part, Part::T3Turbo | Part::T3Nano)
}

pub(crate) fn voice(part: Part) -> T3Prompt {
    let tokens = if is_turbo(part) { 375 } else { 150 };
    let speaker = noise("t3.speaker", 256).into_iter().map(|value| value / 16.0).collect();
    T3Prompt { speaker, tokens: integers("t3.prompt", tokens, 6561) }
}

pub(crate) fn text(part: Part) -> Vec<u32> {
    match part {
        Part::T3English => [vec![255], integers("t3.text", 23, 704), vec![0]].concat(),
        Part::T3Multilingual => [vec![255], integers("t3.text", 23, 2454), vec![0]].concat(),
        _ => integers("t3.text", 23, 50276),
    }
}

/// The voice's prefix and a sequence of the text that has room for what a golden holds.
pub(crate) fn begin(t3: &T3, part: Part, watch: &dyn Watch) -> (Prefix, Sequence) {
    let prefix = t3.prefix(&voice(part), EXAGGERATION, watch).expect("a prefix");
    let sequence = t3.start(&prefix, &text(part), (!is_turbo(part), 24), watch).expect("a sequence");
    (prefix, sequence)
}

/// What the reference would say if nothing were masked: the largest logit after guidance and penalty.
fn unmasked(sequence: &Sequence, said: &[u32], sampling: &Sampling) -> u32 {
    let guided = |id: usize| match sequence.unguided_logits() {
        Some(unguided) => {
            sequence.logits()[id] + sampling.cfg_weight * (sequence.logits()[id] - unguided[id])
        }
        None => sequence.logits()[id],
    };
    let penalized = |id: usize| match (said.contains(&(id as u32)), guided(id)) {
        (true, score) if score < 0.0 => score * sampling.repetition_penalty,
        (true, score) => score / sampling.repetition_penalty,
        (false, score) => score,
    };
    let scores = (0..sequence.logits().len()).map(|id| (id as u32, penalized(id)));
    scores.max_by(|a, b| a.1.total_cmp(&b.1)).expect("logits").0
}

/// The first logits in a coarser precision, and those after each token that the reference drew: what it draws of roundings is
/// another matter.
pub(crate) fn check_coarse(
    part: Part,
    golden: &Golden,
    tolerance: f64,
    (device, precision): (&Device, Precision),
) {
    let t3 = load_on(part, Depth::Reduced, device, precision);
    let (_prefix, mut sequence) = begin(&t3, part, &Unwatched);
    for (step, token) in golden.integers("t3.tokens").into_iter().take(COMPARED).enumerate() {
        let logits = sequence.logits();
        golden.check(&format!("t3.logits.{step}"), &[logits.len()], logits, tolerance);
        assert_eq!(sequence.attention().len(), golden.floats(&format!("t3.attention.{step}")).len());
        t3.decode(&mut [(&mut sequence, token)], &Unwatched).expect("a step");
    }
}

/// Compares every value of a golden of `part`.
pub(crate) fn check(part: Part, depth: Depth, golden: &Golden, tolerance: f64) -> Found {
    check_model(&load(part, depth), part, golden, tolerance)
}

/// The same of a model that is loaded already.
pub(crate) fn check_model(t3: &T3, part: Part, golden: &Golden, tolerance: f64) -> Found {
    let recorder = Recorder::default();
    let (_prefix, mut sequence) = begin(t3, part, &recorder);
    let prefix = recorder::check(golden, "t3.prefix", &recorder.into_layers()["t3.prefix"], tolerance);
    let mut found = Found { prefix, ..Found::default() };
    let mut sampling = Sampling::of(t3.family());
    sampling.greedy = true;
    let (tokens, mut rng) = (golden.integers("t3.tokens"), Rng::new(0));
    let winners = golden.integers("t3.unmasked");
    let mut said = vec![6561];
    for (step, (token, winner)) in tokens.iter().zip(&winners).enumerate() {
        if step < COMPARED {
            check_step(&sequence, golden, (step, tolerance), &mut found);
        }
        if t3.family() != Family::Turbo {
            assert_eq!(unmasked(&sequence, &said, &sampling), *winner, "without a mask, step {step}");
        }
        let logits = (sequence.logits(), sequence.unguided_logits());
        let drawn = sample(logits.0, logits.1, &said, &sampling, &mut rng).expect("a token");
        assert_eq!(drawn, *token, "token {step}");
        said.push(drawn);
        t3.decode(&mut [(&mut sequence, drawn)], &Unwatched).expect("a step");
    }
    found.masked = winners.iter().filter(|id| !is_sayable(**id)).count();
    found
}

/// The logits of one step, and how it looks at the text.
fn check_step(sequence: &Sequence, golden: &Golden, (step, tolerance): (usize, f64), found: &mut Found) {
    let rows = [("logits", Some(sequence.logits())), ("unguided", sequence.unguided_logits())];
    for (row, logits) in rows.iter().filter_map(|(row, logits)| Some((row, (*logits)?))) {
        let error = golden.check(&format!("t3.{row}.{step}"), &[logits.len()], logits, tolerance);
        found.logits = found.logits.max(error);
    }
    let seen = golden.floats(&format!("t3.attention.{step}"));
    assert_eq!(seen.len(), sequence.attention().len());
    let largest = seen.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    let pairs = seen.iter().zip(sequence.attention());
    let errors = pairs.map(|(theirs, ours)| f64::from((theirs - ours).abs() / largest));
    let error = errors.fold(0.0, |max, error| if error > max || error.is_nan() { error } else { max });
    assert!(error <= tolerance, "attention of step {step} is off by {error:.1e} of its largest value");
    found.attention = found.attention.max(error);
}
