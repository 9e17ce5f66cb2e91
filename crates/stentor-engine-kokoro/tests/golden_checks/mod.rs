//! The comparisons with the goldens, for any device and precision. `tests/*.rs` choose those.

pub(crate) mod again;
pub(crate) mod builtin;
pub(crate) mod full_size;
pub(crate) mod tiny;
pub(crate) mod together;

use candle_core::{Device, Tensor};
use std::{collections::HashMap, path::PathBuf, sync::Mutex};
use stentor_nn::Watch;
use stentor_types::Precision;

pub(crate) type Tensors = HashMap<String, Tensor>;

/// Where a model runs, and how far it may be off.
#[derive(Debug, Clone)]
pub(crate) struct On {
    pub(crate) device: Device,
    pub(crate) precision: Precision,
    /// Factors on the tolerances, which are those of our kernels on the CPU: up to the pitch curve, in the decoder and after
    /// it, and of the samples.
    pub(crate) slack: [f32; 3],
}

impl On {
    pub(crate) fn cpu() -> Self {
        Self { device: Device::Cpu, precision: Precision::F32, slack: [1.0; 3] }
    }

    /// The factor on the tolerance of a layer, or of `audio`.
    pub(crate) fn slack(&self, name: &str) -> f32 {
        self.slack[if name == "audio" { 2 } else { usize::from(name.starts_with("decoder")) }]
    }
}

/// Something of every golden; utterances together are to the bit what each is alone.
pub(crate) fn check_some(on: &On) {
    tiny::check(on);
    builtin::check(on);
    full_size::check_case("short.safetensors", on);
    together::check(on, 0.0);
}

/// A file of this crate. Cargo says where it is; a test that was carried elsewhere is started in the root of a checkout.
pub(crate) fn file(path: &str) -> PathBuf {
    let root = std::env::var("CARGO_MANIFEST_DIR");
    PathBuf::from(root.unwrap_or_else(|_| "crates/stentor-engine-kokoro".to_owned())).join(path)
}

pub(crate) fn golden_path(name: &str) -> PathBuf {
    file("tests/golden").join(name)
}

/// A golden's tensors, on the CPU.
pub(crate) fn golden(name: &str) -> Tensors {
    candle_core::safetensors::load(golden_path(name), &Device::Cpu).unwrap()
}

/// All values of a tensor, wherever it is.
pub(crate) fn floats(tensor: &Tensor) -> Vec<f32> {
    let tensor = tensor.to_device(&Device::Cpu).unwrap().to_dtype(candle_core::DType::F32).unwrap();
    tensor.contiguous().unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

pub(crate) fn integers(tensor: &Tensor) -> Vec<usize> {
    let tensor = tensor.to_dtype(candle_core::DType::I64).unwrap();
    tensor.flatten_all().unwrap().to_vec1::<i64>().unwrap().into_iter().map(|n| n as usize).collect()
}

pub(crate) fn ids(golden: &Tensors) -> Vec<u32> {
    integers(&golden["ids"]).into_iter().map(|id| id as u32).collect()
}

pub(crate) fn largest_difference(ours: &[f32], golden: &[f32]) -> f32 {
    assert_eq!(ours.len(), golden.len());
    // What is no number is as far off as can be.
    let differences = ours.iter().zip(golden).map(|(a, b)| (a - b).abs());
    differences.map(|d| if d.is_nan() { f32::INFINITY } else { d }).fold(0.0, f32::max)
}

/// 1 for signals of the same shape.
pub(crate) fn correlation(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Keeps every layer's output.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<Tensors>);

impl Recorder {
    pub(crate) fn layers(self) -> Tensors {
        self.0.into_inner().unwrap()
    }
}

impl Watch for Recorder {
    fn tick(&self) -> bool {
        true
    }
    fn layer(&self, name: &str, output: &Tensor) {
        let output = output.to_device(&Device::Cpu).unwrap().contiguous().unwrap();
        self.0.lock().unwrap().insert(name.to_owned(), output);
    }
}
