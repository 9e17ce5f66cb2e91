//! The kernel that draws tokens on a card, compiled for the host and run there, against the sampler on the CPU.

#[path = "../../stentor-nn/tests/kernels/runner.rs"]
mod runner;

use runner::Input;
use stentor_engine_chatterbox::{
    model::t3::Family,
    sampler::{Rng, SampleError, Sampling, drawn_elsewhere, sample},
};
use stentor_nn::Draw;
use stentor_testkit::chatterbox::{integers, noise};

const PITCH: usize = 8194;

/// One sequence's logits, what it has said, and how it is sampled.
struct Case {
    logits: Vec<f32>,
    unguided: Option<Vec<f32>>,
    history: Vec<u32>,
    sampling: Sampling,
    end_barred: bool,
}

impl Case {
    fn new(name: &str, family: Family, change: impl FnOnce(&mut Sampling)) -> Self {
        let scaled =
            |stream: &str| noise(stream, PITCH).into_iter().map(|value| 3.0 * value).collect::<Vec<f32>>();
        let mut sampling = Sampling::of(family);
        change(&mut sampling);
        Self {
            logits: scaled(&format!("draw.{name}.logits")),
            unguided: (family != Family::Turbo).then(|| scaled(&format!("draw.{name}.unguided"))),
            history: [vec![6561], integers(&format!("draw.{name}.said"), 200, 6561)].concat(),
            sampling,
            end_barred: false,
        }
    }

    /// What the CPU draws.
    fn on_cpu(&self, rng: &mut Rng) -> Result<u32, SampleError> {
        let barred = |row: &[f32]| {
            let mut row = row.to_vec();
            if self.end_barred {
                row[6562] = -1e30;
            }
            row
        };
        let unguided = self.unguided.as_deref().map(barred);
        sample(&barred(&self.logits), unguided.as_deref(), &self.history, &self.sampling, rng)
    }
}

/// What the kernel draws for each case with each generator.
fn on_card(cases: &[(&Case, &Rng)]) -> Vec<Result<u32, SampleError>> {
    let (mut logits, mut draws) = (Vec::new(), Vec::new());
    for (case, rng) in cases {
        let draw = case.sampling.elsewhere(&case.history, rng, case.end_barred);
        draws.extend(draw.words(logits.len() / PITCH, case.unguided.is_some()));
        logits.extend_from_slice(&case.logits);
        logits.extend_from_slice(case.unguided.as_deref().unwrap_or_default());
    }
    let sizes = [6561, 6562, PITCH as u32];
    let tokens = Input::default()
        .floats(&logits)
        .integers(&draws)
        .integers(&sizes)
        .run("decode.cpp", &["draw", "f32"]);
    assert_eq!(tokens.len(), cases.len());
    let outcome = |(token, (_, rng)): (&f32, &(&Case, &Rng))| {
        drawn_elsewhere(Draw::outcome(*token as i32).expect("a draw"), &mut (*rng).clone())
    };
    tokens.iter().zip(cases).map(outcome).collect()
}

/// Holds many draws of each case against the CPU's.
#[track_caller]
fn check(cases: &[Case]) {
    let rngs: Vec<Rng> = (0..5).map(Rng::new).collect();
    let pairs: Vec<(&Case, &Rng)> =
        cases.iter().flat_map(|case| rngs.iter().map(move |rng| (case, rng))).collect();
    let ours: Vec<_> = pairs.iter().map(|(case, rng)| case.on_cpu(&mut (*rng).clone())).collect();
    let card = on_card(&pairs);
    for (index, (ours, card)) in ours.iter().zip(&card).enumerate() {
        assert_eq!(card, ours, "case {}, seed {}", index / rngs.len(), index % rngs.len());
    }
}

#[test]
fn tokens_are_those_of_the_cpu_in_each_familys_order() {
    use Family::{English, Multilingual, Turbo};
    let cases = [
        Case::new("0", English, |_| {}),
        Case::new("1", English, |s| (s.temperature, s.min_p, s.top_p) = (1.3, 0.001, 0.8)),
        Case::new("2", English, |s| (s.min_p, s.cfg_weight, s.repetition_penalty) = (0.0, 1.5, 2.0)),
        Case::new("3", Multilingual, |_| {}),
        Case::new("4", Turbo, |_| {}),
        Case::new("5", Turbo, |s| (s.temperature, s.top_k, s.top_p) = (1.3, 50, 0.6)),
        Case::new("6", Turbo, |s| (s.top_k, s.repetition_penalty) = (200, 1.5)),
        Case::new("7", Turbo, |s| (s.top_k, s.top_p, s.temperature) = (0, 0.999, 2.0)),
        Case::new("8", English, |s| s.greedy = true),
        Case::new("9", Turbo, |s| s.temperature = 0.0),
        Case::new("10", Turbo, |s| s.top_p = 0.0),
        Case::new("11", English, |s| (s.top_p, s.min_p, s.temperature) = (0.3, 0.0, 5.0)),
    ];
    check(&cases);
}

#[test]
fn equals_are_kept_from_the_highest_id_as_on_the_cpu() {
    let flat = |top_p: f32, top_k: usize| {
        let mut case = Case::new("flat", Family::Turbo, |s| (s.top_p, s.top_k) = (top_p, top_k));
        case.logits = vec![-50.0; PITCH];
        for id in [3, 40, 41, 42, 700, 6000, 6560] {
            case.logits[id] = 2.0;
        }
        case.logits[41] = 2.5;
        case.history = vec![6561, 700];
        case
    };
    check(&[flat(0.5, 1000), flat(0.5, 2), flat(0.99, 0), flat(0.1, 0), flat(0.4, 7)]);
}

#[test]
fn the_end_can_be_likely_and_barred() {
    let ending = |end_barred: bool, family: Family| {
        let mut case = Case::new("end", family, |_| {});
        case.logits[6562] = 40.0;
        // What is no sound is never drawn.
        case.logits[6563] = f32::NAN;
        case.logits[6561] = 90.0;
        Case { end_barred, ..case }
    };
    let cases = [
        ending(false, Family::English),
        ending(true, Family::English),
        ending(false, Family::Turbo),
        ending(true, Family::Turbo),
    ];
    check(&cases);
    let rng = Rng::new(1);
    assert_eq!(on_card(&[(&cases[0], &rng), (&cases[2], &rng)]), [Ok(6562), Ok(6562)]);
}

#[test]
fn numbers_that_make_no_sense_are_the_same_errors() {
    let bad = |value: f32, family: Family| {
        let mut case = Case::new("bad", family, |_| {});
        case.logits[1] = value;
        case
    };
    let nothing = |family: Family| {
        let mut case = Case::new("nothing", family, |_| {});
        case.logits = vec![f32::NEG_INFINITY; PITCH];
        Case { unguided: None, ..case }
    };
    let cases = [
        bad(f32::NAN, Family::English),
        bad(f32::INFINITY, Family::Turbo),
        bad(f32::NEG_INFINITY, Family::Turbo),
        nothing(Family::English),
        nothing(Family::Turbo),
    ];
    check(&cases);
    let rng = Rng::new(1);
    let found = on_card(&[(&cases[0], &rng), (&cases[3], &rng)]);
    assert_eq!(found, [Err(SampleError::NotFinite), Err(SampleError::Nothing)]);
}
