//! Encoder, estimator and solver against the reference; the tests and the full-depth example choose depth and goldens.

use candle_core::{DType, Device, Tensor};
use safetensors::{Dtype, tensor::TensorView};
use std::{collections::HashMap, path::Path, sync::Mutex};
use stentor_engine_chatterbox::{
    model::flow::{Flow, FlowTask},
    voice::S3GenPrompt,
};
use stentor_nn::{Unwatched, Watch, Weights};
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
    load_in(part, depth, gain, (device, Precision::F32))
}

/// The same in any precision.
pub(crate) fn load_in(part: Part, depth: Depth, gain: f32, on: (&Device, Precision)) -> Flow {
    let (device, precision) = on;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("s3gen.safetensors");
    write(&path, part, depth, gain);
    let weights = Weights::open(&path, device).expect("a checkpoint opens");
    Flow::load(&weights.root(), device, precision).expect("the flow loads")
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

/// Several prompts and lengths at once, one of which is not a number, against each alone.
pub(crate) fn check_together(flow: &Flow, steps: usize, tolerance: f32) {
    let (whole, all) = (prompt(), tokens());
    let begun = S3GenPrompt {
        tokens: whole.tokens[..9].to_vec(),
        mel: whole.mel[..2 * 9 * MELS].to_vec(),
        xvector: whole.xvector.iter().rev().copied().collect(),
    };
    let spoilt = S3GenPrompt { mel: vec![f32::NAN; whole.mel.len()], ..whole.clone() };
    let parts = [(&whole, 30, true), (&spoilt, 12, true), (&begun, 13, false), (&begun, 1, true)];
    let noises = parts.map(|(prompt, count, last)| {
        let frames = flow.frames(prompt, (count, last));
        chatterbox::noise(&format!("noise of {count}"), frames * MELS)
    });
    let tasks: Vec<FlowTask<'_>> = parts
        .iter()
        .zip(&noises)
        .map(|(&(prompt, count, last), noise)| FlowTask { prompt, tokens: &all[..count], last, noise })
        .collect();
    let together = flow.render_all(&tasks, steps, &Unwatched).expect("mel frames");
    assert_eq!(together.len(), tasks.len());
    for (task, together) in tasks.iter().zip(&together) {
        flow.check(task).expect("it can be rendered");
        let alone = flow.render(task.prompt, (task.tokens, task.last), (task.noise, steps), &Unwatched);
        let (alone, together) = (floats(&alone.expect("mel frames")), floats(together));
        assert_eq!(alone.len(), together.len());
        if std::ptr::eq(task.prompt, &raw const spoilt) {
            assert!(together.iter().any(|x| x.is_nan()), "it went through");
            continue;
        }
        let off = alone.iter().zip(&together).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(together.iter().all(|x| x.is_finite()), "{} tokens", task.tokens.len());
        if tolerance == 0.0 {
            let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert!(bits(&alone) == bits(&together), "{} tokens are off by {off}", task.tokens.len());
        }
        assert!(off <= tolerance, "{} tokens are off by {off}", task.tokens.len());
        assert!(alone.iter().any(|x| x.abs() > 0.1), "something is there");
    }
}
