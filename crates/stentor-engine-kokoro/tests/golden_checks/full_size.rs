//! The network at its published size: every layer's output, with weights, noise and style from a counter hash.

use super::{
    On, Recorder, Tensors, correlation, floats, golden, golden_path, ids, integers, largest_difference,
};
use candle_core::{Device, Tensor};
use std::{
    collections::HashMap,
    fs,
    sync::{Arc, Mutex},
};
use stentor_engine_kokoro::{
    Config,
    model::{Curves, Excitation, Kokoro, Style},
};
use stentor_nn::{Unwatched, Weights};
use stentor_testkit::{hash_weights, pth};
use stentor_types::Precision;

const HARMONICS: usize = 9;

/// Largest error of a layer, by the beginning of its name, as a share of its largest magnitude (of one, if that is less).
/// The first that fits counts. In the network's order.
const TOLERANCES: &[(&str, f32)] = &[
    ("bert", 1e-5),
    ("predictor.text_encoder", 1e-5),
    ("predictor.lstm", 1e-5),
    ("predictor.duration_proj", 1e-5),
    ("duration", 1e-5),
    ("predictor", 5e-5),
    ("text_encoder", 1e-5),
    ("decoder", 2e-5),
];

type Loaded = Arc<(Kokoro, Config)>;

/// A model from a checkpoint in the published layout, through the loader and a file.
fn load(on: &On, value: impl Fn(&str, &[usize]) -> Vec<f32>) -> (Kokoro, Config) {
    let config = Config::parse(&fs::read_to_string(golden_path("kokoro-config.json")).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kokoro.pth");
    pth::write_checkpoint(&path, &hash_weights::kokoro_tensors(), value).unwrap();
    let weights = Weights::open(&path, &on.device).unwrap();
    (Kokoro::load(&weights, &config, &on.device, on.precision).unwrap(), config)
}

/// The full-size model with hash weights. A process has one device, so the precision tells the models apart.
fn model(on: &On) -> Loaded {
    static MODELS: Mutex<Option<HashMap<Precision, Loaded>>> = Mutex::new(None);
    let mut models = MODELS.lock().unwrap();
    let loaded = || Arc::new(load(on, hash_weights::tensor));
    Arc::clone(models.get_or_insert_default().entry(on.precision).or_insert_with(loaded))
}

pub(crate) struct Spoken {
    pub(crate) durations: Vec<usize>,
    pub(crate) audio: Vec<f32>,
    pub(crate) layers: Tensors,
}

/// Runs the ids of a golden; the row of the hash voice is chosen by their number.
///
/// Where the golden holds the curves, what follows them starts from those. Ours differ by roundings (which the layers'
/// tolerances bound), but the harmonics' phases sum those up, and where a bin of the excitation's spectrum is nearly a negative
/// real number, any rounding turns its phase from pi to -pi. Without the curves it all runs on ours.
pub(crate) fn speak(golden: &Tensors, on: &On) -> Spoken {
    let model = model(on);
    let (model, config) = model.as_ref();
    let ids = ids(golden);
    let row = hash_weights::voice_row(ids.len() - 3, config.voice_dim());
    let style = Style::new(&row, &on.device).unwrap();
    let speed = golden.get("speed").map_or(1.0, |speed| floats(speed)[0]);
    let recorder = Recorder::default();
    let plan = model.plan(&ids, &style, speed, &recorder).unwrap();
    if let Some(durations) = golden.get("durations") {
        assert_eq!(plan.durations, integers(durations), "durations");
    }
    let samples = plan.durations.iter().sum::<usize>() * config.samples_per_frame();
    let noise = hash_weights::noise(samples * HARMONICS);
    let mut curves = model.curves(&plan, &recorder).unwrap();
    if let (Some(f0), Some(n)) = (golden.get("f0"), golden.get("n")) {
        let curve = |values: &Tensor| values.unsqueeze(0).unwrap().to_device(&on.device).unwrap();
        curves = Curves { pitch: curve(f0), energy: curve(n) };
    }
    let audio = model.render(&plan, &curves, Excitation::Noise(&noise), &recorder).unwrap();
    Spoken { durations: plan.durations, audio, layers: recorder.layers() }
}

/// Place of a layer's tolerance, which is also about its place in the network.
fn tolerance_of(name: &str) -> usize {
    TOLERANCES.iter().position(|(start, _)| name.starts_with(start)).unwrap()
}

/// Compares one layer at the golden's positions, and its norm over all values; gives what is wrong with it.
fn check_layer(name: &str, ours: &Tensor, golden: &Tensors, on: &On) -> Option<String> {
    let shape = integers(&golden[&format!("{name}.shape")]);
    let significant = |dims: &[usize]| dims.iter().copied().filter(|&n| n != 1).collect::<Vec<_>>();
    assert_eq!(significant(ours.dims()), significant(&shape), "shape of {name}");
    let stats = golden[&format!("{name}.stats")].to_vec1::<f64>().unwrap();
    let ours = floats(ours);
    let chosen: Vec<f32> =
        hash_weights::positions(name, ours.len()).into_iter().map(|index| ours[index]).collect();
    let scale = (stats[1] as f32).max(1.0);
    let error = largest_difference(&chosen, &floats(&golden[&format!("{name}.values")])) / scale;
    let norm = ours.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    let norm_error = (norm / stats[0] - 1.0).abs();
    let tolerance = TOLERANCES[tolerance_of(name)].1 * on.slack(name);
    println!("{name}: {error:.2e} (of {:.1}), norm {norm_error:.1e}", stats[1]);
    let good = error <= tolerance && norm_error <= f64::from(tolerance);
    (!good).then(|| format!("{name} by {error:.1e} of its magnitude, its norm by {norm_error:.1e}"))
}

/// What every layer's output and the samples of a golden must be.
pub(crate) fn check_case(file: &str, on: &On) {
    let golden = golden(file);
    let Spoken { durations, audio, mut layers } = speak(&golden, on);
    assert_eq!(durations, integers(&golden["durations"]), "durations of {file}");
    let speed = floats(&golden["speed"])[0];
    let chances = floats(&layers["predictor.duration_proj"]);
    let width = chances.len() / durations.len();
    let expected: Vec<f32> = chances
        .chunks(width)
        .map(|row| row.iter().map(|x| 1.0 / (1.0 + (-x).exp())).sum::<f32>() / speed)
        .collect();
    layers.insert("duration".to_owned(), Tensor::new(expected, &Device::Cpu).unwrap());
    let mut names: Vec<&str> = golden.keys().filter_map(|key| key.strip_suffix(".values")).collect();
    names.sort_unstable_by_key(|name| (tolerance_of(name), *name));
    assert!(names.len() > 25, "{file} holds only {} layers", names.len());
    let layer = |name: &str| layers.get(name).unwrap_or_else(|| panic!("no layer {name}"));
    let wrong: Vec<String> =
        names.iter().filter_map(|name| check_layer(name, layer(name), &golden, on)).collect();
    assert!(
        wrong.is_empty(),
        "{} of {} layers of {file} are off: {}",
        wrong.len(),
        names.len(),
        wrong.join(", ")
    );
    let (f0, golden_f0) = (floats(&layers["predictor.F0_proj"]), floats(&golden["f0"]));
    for (index, (a, b)) in f0.iter().zip(&golden_f0).enumerate() {
        assert!((a - b).abs() <= 1e-3 * on.slack("F0") * b.abs().max(1.0), "F0 at {index}: {a}, not {b}");
    }
    let n = largest_difference(&floats(&layers["predictor.N_proj"]), &floats(&golden["n"]));
    let error = largest_difference(&audio, &floats(&golden["audio"]));
    println!("{file}: N {n:.2e}, audio {error:.2e}");
    assert!(n < 1e-4 * on.slack("N"), "N is off by {n}");
    assert!(error < 1e-3 * on.slack("audio"), "audio of {file} is off by {error}");
}

/// From the ids to the samples without anything of the reference's but its noise.
pub(crate) fn check_unpatched(on: &On) {
    let golden = golden("unpatched.safetensors");
    let correlation = correlation(&speak(&golden, on).audio, &floats(&golden["audio"]));
    println!("correlation {correlation}");
    assert!(correlation > 0.999, "{correlation}");
}

/// The golden was made with a projection of zeros, so every duration is half of the projection's width.
pub(crate) fn check_ties(on: &On) {
    let ties = golden("ties.safetensors");
    let zeroed = |name: &str, shape: &[usize]| {
        let mut values = hash_weights::tensor(name, shape);
        if name.contains("duration_proj") {
            values.fill(0.0);
        }
        values
    };
    let (model, config) = load(on, zeroed);
    let ids = ids(&ties);
    let row = hash_weights::voice_row(ids.len() - 3, config.voice_dim());
    let style = Style::new(&row, &on.device).unwrap();
    let durations = ties["durations"].to_vec2::<i64>().unwrap();
    for (speed, expected) in floats(&ties["speeds"]).into_iter().zip(durations) {
        let plan = model.plan(&ids, &style, speed, &Unwatched).unwrap();
        let expected: Vec<usize> = expected.into_iter().map(|n| n as usize).collect();
        assert_eq!(plan.durations, expected, "speed {speed}");
    }
}
