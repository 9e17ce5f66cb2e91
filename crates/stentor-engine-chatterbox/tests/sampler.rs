//! What the samplers leave of made-up logits, against the reference's processors, and how they refuse.

use stentor_engine_chatterbox::{
    model::t3::Family,
    sampler::{Rng, SampleError, Sampling, probabilities, sample},
};
use stentor_testkit::chatterbox::{Golden, noise};

struct Case {
    logits: Vec<f32>,
    unguided: Option<Vec<f32>>,
    sampling: Sampling,
}

fn case(name: &str) -> Case {
    let scaled = |stream: &str, size| noise(stream, size).into_iter().map(|value| 3.0 * value).collect();
    let english = name.starts_with("english");
    let size = if english { 8194 } else { 6563 };
    let defaults = Sampling::of(if english { Family::English } else { Family::Turbo });
    let sampling = match name {
        "english.1" => Sampling {
            temperature: 1.3,
            min_p: 0.001,
            top_p: 0.8,
            repetition_penalty: 2.0,
            cfg_weight: 1.5,
            ..defaults
        },
        "turbo.1" => {
            Sampling { temperature: 1.3, top_k: 50, top_p: 0.6, repetition_penalty: 1.5, ..defaults }
        }
        _ => defaults,
    };
    let unguided = english.then(|| scaled(&format!("sampler.{name}.unguided"), size));
    Case { logits: scaled(&format!("sampler.{name}.logits"), size), unguided, sampling }
}

#[test]
fn each_familys_processors_leave_the_tokens_and_probabilities_of_the_reference() {
    let golden = Golden::open("sampler");
    for name in ["english.0", "english.1", "turbo.0", "turbo.1"] {
        let Case { logits, unguided, sampling } = case(name);
        let history = golden.integers(&format!("{name}.history"));
        let ours = probabilities(&logits, unguided.as_deref(), &history, &sampling).expect("probabilities");
        let ids: Vec<u32> = ours.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, golden.integers(&format!("{name}.kept")), "{name}");
        for ((id, ours), golden) in ours.iter().zip(golden.floats(&format!("{name}.probabilities"))) {
            assert!((ours / golden - 1.0).abs() < 2e-5, "{name}: {id} has {ours}, not {golden}");
        }
    }
}

#[test]
fn draws_follow_the_probabilities_and_the_seed() {
    let Case { logits, sampling, .. } = case("turbo.1");
    let expected = probabilities(&logits, None, &[6561], &sampling).expect("probabilities");
    let draw = |seed: u64, count: usize| -> Vec<u32> {
        let mut rng = Rng::new(seed);
        (0..count).map(|_| sample(&logits, None, &[6561], &sampling, &mut rng).expect("a token")).collect()
    };
    let drawn = draw(7, 4000);
    for (id, probability) in &expected {
        let share = drawn.iter().filter(|token| *token == id).count() as f32 / drawn.len() as f32;
        let deviation = (probability * (1.0 - probability) / 4000.0).sqrt();
        assert!((share - probability).abs() < 5.0 * deviation, "{id}: {share}, not {probability}");
    }
    assert!(drawn.iter().all(|token| expected.iter().any(|(id, _)| id == token)));
    assert_eq!(draw(7, 20), drawn[..20]);
    assert_ne!(draw(8, 20), drawn[..20]);
}

/// Logits where `likely` have the given scores and everything else is far below.
fn few(size: usize, likely: &[(usize, f32)]) -> Vec<f32> {
    let mut logits = vec![-50.0; size];
    likely.iter().for_each(|(id, score)| logits[*id] = *score);
    logits
}

fn kept(logits: &[f32], sampling: &Sampling) -> Vec<u32> {
    let all = probabilities(logits, None, &[6561], sampling).expect("probabilities");
    all.into_iter().filter(|(_, probability)| *probability > 1e-6).map(|(id, _)| id).collect()
}

#[test]
fn what_is_no_sound_is_never_drawn_and_the_end_can_be() {
    let logits = few(8194, &[(6561, 90.0), (6563, 80.0), (8193, 99.0), (6562, 5.0), (17, 5.0)]);
    let plain = Sampling { temperature: 1.0, ..Sampling::of(Family::English) };
    assert_eq!(kept(&logits, &plain), [17, 6562]);
}

#[test]
fn top_p_keeps_the_token_that_crosses_and_never_nothing() {
    let shares = [0.5f32, 0.3, 0.15, 0.05].map(f32::ln);
    let logits = few(6563, &[(10, shares[0]), (20, shares[1]), (30, shares[2]), (40, shares[3])]);
    let turbo = Sampling { temperature: 1.0, ..Sampling::of(Family::Turbo) };
    for (top_p, expected) in [(0.0, &[10][..]), (0.45, &[10]), (0.6, &[10, 20]), (0.9, &[10, 20, 30])] {
        assert_eq!(kept(&logits, &Sampling { top_p, ..turbo }), expected, "top_p {top_p}");
    }
}

#[test]
fn greedy_takes_the_largest_and_temperature_zero_is_greedy() {
    let logits = few(6563, &[(3, 1.0), (4, 2.0), (5, 2.0)]);
    let turbo = Sampling::of(Family::Turbo);
    for sampling in [Sampling { greedy: true, ..turbo }, Sampling { temperature: 0.0, ..turbo }] {
        let drawn = (0..20).map(|seed| sample(&logits, None, &[], &sampling, &mut Rng::new(seed)));
        assert!(drawn.into_iter().all(|token| token == Ok(4)));
    }
}

#[test]
fn numbers_that_make_no_sense_are_errors() {
    let sampling = Sampling::of(Family::English);
    let draw = |logits: &[f32], unguided: Option<&[f32]>| {
        sample(logits, unguided, &[6561], &sampling, &mut Rng::new(1))
    };
    let good = few(8194, &[(1, 1.0)]);
    assert_eq!(draw(&few(8194, &[(1, f32::NAN)]), None), Err(SampleError::NotFinite));
    assert_eq!(draw(&few(8194, &[(1, f32::INFINITY)]), None), Err(SampleError::NotFinite));
    assert_eq!(draw(&good, Some(&few(8194, &[(1, f32::NAN)]))), Err(SampleError::NotFinite));
    assert_eq!(draw(&[f32::NEG_INFINITY; 8194], None), Err(SampleError::Nothing));
    assert_eq!(draw(&[0.0; 100], None), Err(SampleError::Size(100)));
    assert_eq!(draw(&good, Some(&[0.0; 100])), Err(SampleError::Size(8194)));
    assert_eq!(draw(&few(8194, &[(7000, f32::NAN), (1, 9.0)]), None), Ok(1), "masked ids may be anything");
}
