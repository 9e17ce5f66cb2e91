//! Utterances that are spoken together against each one alone.

use super::{On, file, floats, golden, ids};
use stentor_engine_kokoro::{
    Config,
    model::{Excitation, Kokoro, Style, Utterance},
};
use stentor_nn::{Unwatched, Weights};

/// Durations must be the same, and samples within `tolerance`.
pub(crate) fn check(on: &On, tolerance: f32) {
    let builtin = |name: &str| file("../../models/builtin").join(name);
    let config = Config::parse(&std::fs::read_to_string(builtin("config.json")).unwrap()).unwrap();
    let weights = Weights::open(&builtin("model.safetensors"), &on.device).unwrap();
    let model = Kokoro::load(&weights, &config, &on.device, on.precision).unwrap();
    let golden = golden("builtin.safetensors");
    let (ids, row) = (ids(&golden), floats(&golden["ref_s"]));
    // Long and short ones, with styles and speeds of their own.
    let styles = [1.0, 0.8, 1.1].map(|by| row.iter().map(|x| x * by).collect::<Vec<f32>>());
    let styles = styles.map(|row| Style::new(&row, &on.device).unwrap());
    let texts = [ids.clone(), ids[..7].iter().chain(&[0]).copied().collect(), [0, ids[1], 0].to_vec(), ids];
    let utterances = texts.iter().zip(styles.iter().cycle()).zip([1.0, 1.4, 0.7, 1.0]);
    let utterances: Vec<Utterance<'_>> =
        utterances.map(|((ids, style), speed)| Utterance { ids, style, speed }).collect();

    let plans = model.plan_all(&utterances, &Unwatched).unwrap();
    let curves = model.curves_of_all(&plans.iter().collect::<Vec<_>>(), &Unwatched).unwrap();
    let planned = plans.iter().zip(&curves).zip(7..);
    let planned: Vec<_> =
        planned.map(|((plan, curves), seed)| (plan, curves, Excitation::Seeded(seed))).collect();
    let together = model.render_all(&planned, &Unwatched).unwrap();

    for (index, (utterance, seed)) in utterances.iter().zip(7..).enumerate() {
        let plan = model.plan(utterance.ids, utterance.style, utterance.speed, &Unwatched).unwrap();
        assert_eq!(plan.durations, plans[index].durations, "durations of utterance {index}");
        let curves = model.curves(&plan, &Unwatched).unwrap();
        let alone = model.render(&plan, &curves, Excitation::Seeded(seed), &Unwatched).unwrap();
        let error = super::largest_difference(&together[index], &alone);
        println!("utterance {index}, {} samples: {error:.2e}", alone.len());
        assert!(error <= tolerance, "utterance {index} is off by {error}");
        assert!(alone.iter().any(|x| x.abs() > 0.01), "utterance {index} is silent");
    }
}
