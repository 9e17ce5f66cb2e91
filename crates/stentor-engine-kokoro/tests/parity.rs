//! The network at its published size against the reference implementation: every layer's output, with weights, noise and
//! style from a counter hash. What the goldens hold is written in `reference/README.md`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and shows its figures"
)]

use candle_core::{Device, Tensor};
use std::{collections::HashMap, fs, path::PathBuf, sync::Mutex, sync::OnceLock};
use stentor_engine_kokoro::{
    Config,
    model::{Curves, Excitation, Kokoro, Style},
};
use stentor_nn::{Unwatched, Watch, Weights};
use stentor_testkit::{hash_weights, pth};

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

fn golden_path(file: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/golden", file].iter().collect()
}

type Tensors = HashMap<String, Tensor>;

fn golden(file: &str) -> Tensors {
    candle_core::safetensors::load(golden_path(file), &Device::Cpu).unwrap()
}

fn floats(tensor: &Tensor) -> Vec<f32> {
    let tensor = tensor.to_dtype(candle_core::DType::F32).unwrap();
    tensor.contiguous().unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn integers(tensor: &Tensor) -> Vec<usize> {
    tensor.flatten_all().unwrap().to_vec1::<i64>().unwrap().into_iter().map(|n| n as usize).collect()
}

/// The full-size model with hash weights, through the loader and a file in the published layout.
fn model() -> &'static (Kokoro, Config) {
    static MODEL: OnceLock<(Kokoro, Config)> = OnceLock::new();
    MODEL.get_or_init(|| {
        let config = Config::parse(&fs::read_to_string(golden_path("kokoro-config.json")).unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kokoro.pth");
        pth::write_kokoro(&path).unwrap();
        let weights = Weights::open(&path, &Device::Cpu).unwrap();
        (Kokoro::load(&weights, &config, &Device::Cpu).unwrap(), config)
    })
}

/// Keeps every layer's output.
#[derive(Default)]
struct Recorder(Mutex<Tensors>);

impl Watch for Recorder {
    fn tick(&self) -> bool {
        true
    }
    fn layer(&self, name: &str, output: &Tensor) {
        self.0.lock().unwrap().insert(name.to_owned(), output.contiguous().unwrap());
    }
}

struct Spoken {
    durations: Vec<usize>,
    audio: Vec<f32>,
    layers: Tensors,
}

/// Runs the ids of a golden; the row of the hash voice is chosen by their number.
///
/// Where the golden holds the curves, what follows them starts from those. Ours differ by roundings (which the layers'
/// tolerances bound), but the harmonics' phases sum those up, and where a bin of the excitation's spectrum is nearly a negative
/// real number, any rounding turns its phase from pi to -pi. Without the curves it all runs on ours.
fn speak(golden: &Tensors) -> Spoken {
    let (model, config) = model();
    let ids: Vec<u32> = integers(&golden["ids"]).into_iter().map(|id| id as u32).collect();
    let row = hash_weights::voice_row(ids.len() - 3, config.voice_dim());
    let style = Style::new(&row, &Device::Cpu).unwrap();
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
        curves = Curves { pitch: f0.unsqueeze(0).unwrap(), energy: n.unsqueeze(0).unwrap() };
    }
    let audio = model.render(&plan, &curves, Excitation::Noise(&noise), &recorder).unwrap();
    Spoken { durations: plan.durations, audio, layers: recorder.0.into_inner().unwrap() }
}

fn largest_difference(ours: &[f32], golden: &[f32]) -> f32 {
    assert_eq!(ours.len(), golden.len());
    ours.iter().zip(golden).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Place of a layer's tolerance, which is also about its place in the network.
fn tolerance_of(name: &str) -> usize {
    TOLERANCES.iter().position(|(start, _)| name.starts_with(start)).unwrap()
}

/// Compares one layer at the golden's positions, and its norm over all values; gives what is wrong with it.
fn check_layer(name: &str, ours: &Tensor, golden: &Tensors) -> Option<String> {
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
    let tolerance = TOLERANCES[tolerance_of(name)].1;
    println!("{name}: {error:.2e} (of {:.1}), norm {norm_error:.1e}", stats[1]);
    let good = error <= tolerance && norm_error <= f64::from(tolerance);
    (!good).then(|| format!("{name} by {error:.1e} of its magnitude, its norm by {norm_error:.1e}"))
}

fn check_case(file: &str) {
    let golden = golden(file);
    let Spoken { durations, audio, mut layers } = speak(&golden);
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
        names.iter().filter_map(|name| check_layer(name, layer(name), &golden)).collect();
    assert!(
        wrong.is_empty(),
        "{} of {} layers of {file} are off: {}",
        wrong.len(),
        names.len(),
        wrong.join(", ")
    );
    let (f0, golden_f0) = (floats(&layers["predictor.F0_proj"]), floats(&golden["f0"]));
    for (index, (a, b)) in f0.iter().zip(&golden_f0).enumerate() {
        assert!((a - b).abs() <= 1e-3 * b.abs().max(1.0), "F0 at {index}: {a}, not {b}");
    }
    let n = largest_difference(&floats(&layers["predictor.N_proj"]), &floats(&golden["n"]));
    let error = largest_difference(&audio, &floats(&golden["audio"]));
    println!("{file}: N {n:.2e}, audio {error:.2e}");
    assert!(n < 1e-4, "N is off by {n}");
    assert!(error < 1e-3, "audio of {file} is off by {error}");
}

#[test]
fn a_short_text_agrees_layer_by_layer() {
    check_case("short.safetensors");
}

#[test]
fn a_longer_text_agrees_layer_by_layer() {
    check_case("long.safetensors");
}

#[test]
fn a_faster_reading_agrees_layer_by_layer() {
    check_case("fast.safetensors");
}

/// From the ids to the samples without anything of the reference's but its noise.
#[test]
fn the_reference_as_published_differs_only_by_the_drift_of_its_phase() {
    let golden = golden("unpatched.safetensors");
    let (ours, theirs) = (speak(&golden).audio, floats(&golden["audio"]));
    assert_eq!(ours.len(), theirs.len());
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let correlation = dot(&ours, &theirs) / (dot(&ours, &ours) * dot(&theirs, &theirs)).sqrt();
    println!("correlation {correlation}");
    assert!(correlation > 0.999, "{correlation}");
}

#[test]
fn exact_ties_of_durations_round_to_even() {
    // The golden was made with a projection of zeros, so every duration is half of the projection's width.
    let ties = golden("ties.safetensors");
    let config = &model().1;
    let durations = ties["durations"].to_vec2::<i64>().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("zero.pth");
    let zeroed = |name: &str, shape: &[usize]| {
        let mut values = hash_weights::tensor(name, shape);
        if name.contains("duration_proj") {
            values.fill(0.0);
        }
        values
    };
    pth::write_checkpoint(&path, &hash_weights::kokoro_tensors(), zeroed).unwrap();
    let model = Kokoro::load(&Weights::open(&path, &Device::Cpu).unwrap(), config, &Device::Cpu).unwrap();
    let ids: Vec<u32> = integers(&ties["ids"]).into_iter().map(|id| id as u32).collect();
    let style =
        Style::new(&hash_weights::voice_row(ids.len() - 3, config.voice_dim()), &Device::Cpu).unwrap();
    for (speed, expected) in floats(&ties["speeds"]).into_iter().zip(durations) {
        let plan = model.plan(&ids, &style, speed, &Unwatched).unwrap();
        assert_eq!(
            plan.durations,
            expected.into_iter().map(|n| n as usize).collect::<Vec<_>>(),
            "speed {speed}"
        );
    }
}
