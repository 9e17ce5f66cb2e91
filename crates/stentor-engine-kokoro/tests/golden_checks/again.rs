//! Short utterances in the columns that are set aside for any of about their length, against each in its own.

use super::{On, file, floats, golden, ids};
use stentor_engine_kokoro::{
    Config,
    model::{Excitation, Kokoro, Style},
};
use stentor_nn::{Unwatched, Weights};

/// Samples must be within `tolerance`, and the same to the bit when an utterance comes again. A card runs, records and replays on
/// the way, and compares some of that itself.
pub(crate) fn check(on: &On, tolerance: f32) {
    let builtin = |name: &str| file("../../models/builtin").join(name);
    let config = Config::parse(&std::fs::read_to_string(builtin("config.json")).unwrap()).unwrap();
    let weights = Weights::open(&builtin("model.safetensors"), &on.device).unwrap();
    let model = Kokoro::load(&weights, &config, &on.device, on.precision).unwrap();
    let golden = golden("builtin.safetensors");
    let (ids, row) = (ids(&golden), floats(&golden["ref_s"]));
    let mut first = Vec::new();
    let mut lengths = Vec::new();
    for round in 0..2 {
        // Several lengths in each of several columns.
        for (index, speed) in (0..12).map(|index| (index, 0.8 + 0.08 * index as f32)) {
            let style: Vec<f32> = row.iter().map(|x| x * (1.0 + 0.01 * index as f32)).collect();
            let style = Style::new(&style, &on.device).unwrap();
            let plan = model.plan(&ids[..6], &style, speed, &Unwatched).unwrap();
            let curves = model.curves(&plan, &Unwatched).unwrap();
            let excitation = Excitation::Seeded(index);
            let again = model.render_again((&plan, &curves, excitation), &Unwatched).unwrap();
            let again = again.expect("short enough, and recorded");
            if round > 0 {
                assert_eq!(again, first[index as usize], "utterance {index} again");
                continue;
            }
            let alone = model.render(&plan, &curves, excitation, &Unwatched).unwrap();
            let error = super::largest_difference(&again, &alone);
            println!("utterance {index}, {} samples: {error:.2e}", alone.len());
            assert!(error <= tolerance, "utterance {index} is off by {error}");
            assert!(alone.iter().any(|x| x.abs() > 0.01), "utterance {index} is silent");
            lengths.push(plan.durations.iter().sum::<usize>());
            first.push(again);
        }
    }
    // So many of one length and of others that one was run, recorded, and replayed with another's length.
    lengths.sort_unstable();
    lengths.dedup();
    let most = lengths.chunk_by(|a, b| a / 16 == b / 16).map(<[usize]>::len).max();
    assert!(most >= Some(2), "{lengths:?}");

    let style = Style::new(&row, &on.device).unwrap();
    let long = model.plan(&ids, &style, 0.5, &Unwatched).unwrap();
    let curves = model.curves(&long, &Unwatched).unwrap();
    let none = model.render_again((&long, &curves, Excitation::Seeded(0)), &Unwatched).unwrap();
    assert_eq!(none, None, "{} frames", long.durations.iter().sum::<usize>());
}
