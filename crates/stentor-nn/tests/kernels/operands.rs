//! Operands of kernels and layers, and how their results are compared.

use candle_core::{Device, Tensor};
use std::collections::HashMap;
use stentor_nn::Weights;

pub(crate) fn random(dims: &[usize]) -> Tensor {
    Tensor::randn(0f32, 0.5, dims, &Device::Cpu).unwrap()
}

pub(crate) fn values(x: &Tensor) -> Vec<f32> {
    x.contiguous().unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

pub(crate) fn weights(tensors: &[(&str, &Tensor)]) -> Weights {
    let file = tempfile::NamedTempFile::new().unwrap();
    let tensors: HashMap<_, _> = tensors.iter().map(|(name, x)| ((*name).to_owned(), (*x).clone())).collect();
    candle_core::safetensors::save(&tensors, file.path()).unwrap();
    Weights::open(file.path(), &Device::Cpu).unwrap()
}

#[track_caller]
pub(crate) fn assert_close(card: &[f32], ours: &[f32], tolerance: f32) {
    assert_eq!(card.len(), ours.len());
    let error = card.iter().zip(ours).map(|(a, b)| (a - b).abs());
    let error =
        error.fold(0.0, |most: f32, error| if error.is_nan() { f32::INFINITY } else { most.max(error) });
    assert!(error < tolerance, "{error}");
}
