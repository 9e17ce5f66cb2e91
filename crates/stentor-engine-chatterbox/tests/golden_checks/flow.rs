//! Encoder, estimator and solver against the reference; the tests and the full-depth example choose depth and goldens.

use candle_core::{DType, Device, Tensor};
use safetensors::{Dtype, tensor::TensorView};
use std::{collections::HashMap, path::Path, sync::Mutex};
use stentor_engine_chatterbox::{model::flow::Flow, voice::S3GenPrompt};
use stentor_nn::{Watch, Weights};
use stentor_testkit::chatterbox::{self, Depth, Golden, Part};
use stentor_types::Precision;

const PROMPT: usize = 50;
const TARGET: usize = 30;
const MELS: usize = 80;
/// Small enough that a norm's epsilon shows; `dump_flow.py` says why.
const QUIET: f32 = 1.0 / 8192.0;

/// One utterance of a golden.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) last: bool,
    pub(crate) steps: usize,
    /// Largest relative error of any layer, and of the mel frames after all steps.
    pub(crate) tolerance: [f64; 2],
}

/// Writes the tensors under `flow.`; those of the embeddings' norms times `gain`.
pub(crate) fn write(path: &Path, part: Part, depth: Depth, gain: f32) {
    let mut tensors = part.tensors(depth);
    tensors.retain(|(name, _)| name.starts_with("flow."));
    let values = |(name, shape): &(String, Vec<usize>)| {
        let gain = if name.contains("embed.out.1.") { gain } else { 1.0 };
        let values = chatterbox::tensor(name, shape);
        values.into_iter().flat_map(|x| (x * gain).to_le_bytes()).collect::<Vec<u8>>()
    };
    let bytes: Vec<Vec<u8>> = tensors.iter().map(values).collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape), bytes)| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).expect("one f32 an element"))
    });
    safetensors::serialize_to_file(views, None, path).expect("a checkpoint is written");
}

/// The model with hash weights, through the real loader.
pub(crate) fn load(part: Part, depth: Depth, gain: f32, device: &Device) -> Flow {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("s3gen.safetensors");
    write(&path, part, depth, gain);
    let weights = Weights::open(&path, device).expect("a checkpoint opens");
    Flow::load(&weights.root(), device, Precision::F32).expect("the flow loads")
}

/// For the case whose activations are small.
pub(crate) fn load_quiet(depth: Depth, device: &Device) -> Flow {
    load(Part::S3Gen, depth, QUIET, device)
}

/// A voice out of noise.
pub(crate) fn prompt() -> S3GenPrompt {
    let scaled = |name: &str, count: usize, scale: f32, shift: f32| {
        chatterbox::noise(name, count).into_iter().map(|x| x * scale + shift).collect::<Vec<f32>>()
    };
    S3GenPrompt {
        tokens: chatterbox::integers("prompt tokens", PROMPT, 6561),
        mel: scaled("prompt mel", 2 * PROMPT * MELS, 2.0, -5.0),
        xvector: scaled("xvector", 192, 3.0, 0.0),
    }
}

/// What is to be spoken.
pub(crate) fn tokens() -> Vec<u32> {
    chatterbox::integers("tokens", TARGET, 6561)
}

/// Keeps what each layer gives the first time.
#[derive(Default)]
struct Recorder(Mutex<HashMap<String, Tensor>>);

impl Watch for Recorder {
    fn tick(&self) -> bool {
        true
    }

    fn layer(&self, name: &str, output: &Tensor) {
        let name = name.trim_start_matches("flow.").to_owned();
        self.0.lock().expect("no test panics here").entry(name).or_insert_with(|| output.clone());
    }
}

fn floats(tensor: &Tensor) -> Vec<f32> {
    let tensor = tensor.to_dtype(DType::F32).expect("a tensor").flatten_all().expect("a tensor");
    tensor.to_vec1().expect("a tensor")
}

/// Renders a case and compares every layer that the golden has, `mel` last. The number of compared layers is the result.
pub(crate) fn check(flow: &Flow, golden: &Golden, case: &Case) -> usize {
    let frames = 2 * (PROMPT + TARGET) - if case.last { 0 } else { 6 };
    let noise = chatterbox::noise(&format!("{} noise", case.name), frames * MELS);
    let recorder = Recorder::default();
    let mel = flow.render(&prompt(), (&tokens(), case.last), (&noise, case.steps), &recorder);
    let mel = mel.expect("the case renders");
    let layers = recorder.0.into_inner().expect("no test panics here");
    let [layer_tolerance, mel_tolerance] = case.tolerance;
    let mut compared = 0;
    for name in golden.layers(case.name).iter().filter(|name| *name != "mel") {
        let layer = layers.get(name).unwrap_or_else(|| panic!("no layer {name}"));
        golden.check(&format!("{}.{name}", case.name), layer.dims(), &floats(layer), layer_tolerance);
        compared += 1;
    }
    golden.check(&format!("{}.mel", case.name), mel.dims(), &floats(&mel), mel_tolerance);
    compared + 1
}
