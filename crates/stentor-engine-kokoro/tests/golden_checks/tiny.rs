//! The tiny model that `torch.save` wrote: what `reference/README.md` calls `tiny`.

use super::{On, floats, golden, golden_path, ids, integers, largest_difference};
use std::fs;
use stentor_engine_kokoro::{
    Config, Voice,
    model::{Excitation, Kokoro, Style},
};
use stentor_nn::{Unwatched, Weights};
use stentor_testkit::hash_weights;

const HARMONICS: usize = 9;
pub(crate) const PHONEMES: &str = "hˈɛlO, wˈɜɹld!";

pub(crate) fn config() -> Config {
    Config::parse(&fs::read_to_string(golden_path("tiny-config.json")).unwrap()).unwrap()
}

/// Durations and samples of the tiny model.
pub(crate) fn speak(
    on: &On,
    ids: &[u32],
    row: &[f32],
    excitation: impl Fn(usize) -> Excitation<'static>,
) -> (Vec<usize>, Vec<f32>) {
    let config = config();
    let weights = Weights::open(&golden_path("tiny.pth"), &on.device).unwrap();
    let model = Kokoro::load(&weights, &config, &on.device, on.precision).unwrap();
    let style = Style::new(row, &on.device).unwrap();
    let plan = model.plan(ids, &style, 1.0, &Unwatched).unwrap();
    let samples = plan.durations.iter().sum::<usize>() * config.samples_per_frame();
    let curves = model.curves(&plan, &Unwatched).unwrap();
    let audio = model.render(&plan, &curves, excitation(samples), &Unwatched).unwrap();
    (plan.durations, audio)
}

/// What durations and samples of the golden must be.
pub(crate) fn check(on: &On) {
    let expected = golden("tiny.safetensors");
    let voice = Voice::open(&golden_path("tiny-voice.pt"), &config()).unwrap();
    let noise = |samples| Excitation::Noise(hash_weights::noise(samples * HARMONICS).leak());
    let (durations, audio) = speak(on, &ids(&expected), voice.row(PHONEMES.chars().count()), noise);
    assert_eq!(durations, integers(&expected["durations"]), "durations of tiny");
    let error = largest_difference(&audio, &floats(&expected["audio"]));
    println!("audio {error:.2e}");
    assert!(error < 1e-3 * on.slack("audio"), "audio of tiny is off by {error}");
}
