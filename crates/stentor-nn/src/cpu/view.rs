//! Tensors on the CPU seen as slices of f32, without copying.

use crate::Result;
use candle_core::{CpuStorage, DType, Device, Storage, StorageRef, Tensor};
use std::{
    ops::Deref,
    sync::atomic::{AtomicBool, Ordering},
};

/// Set once, by tests; see [`compute_without_kernels`].
static WITHOUT_KERNELS: AtomicBool = AtomicBool::new(false);

/// The elements of a contiguous f32 tensor in host memory.
pub(crate) struct View<'a> {
    storage: StorageRef<'a>,
    start: usize,
    end: usize,
}

impl Deref for View<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(values)) => &values[self.start..self.end],
            _ => &[],
        }
    }
}

/// From now on every layer of this process that is loaded and run computes on the CPU as it would on any other device: out
/// of candle's ops. It is slow and meant for tests, which prove so that what runs on a CUDA device is the same network.
#[doc(hidden)]
pub fn compute_without_kernels() {
    WITHOUT_KERNELS.store(true, Ordering::Relaxed);
}

/// Whether layers on `device` run our kernels.
pub fn has_kernels(device: &Device) -> bool {
    device.is_cpu() && !WITHOUT_KERNELS.load(Ordering::Relaxed)
}

/// Whether the CPU kernels apply to `tensor`.
pub(crate) fn is_cpu(tensor: &Tensor) -> bool {
    has_kernels(tensor.device()) && tensor.dtype() == DType::F32
}

/// Sees a contiguous CPU tensor of f32 as a slice.
pub(crate) fn view(tensor: &Tensor) -> Result<View<'_>> {
    let (storage, layout) = tensor.storage_and_layout();
    let span = layout.contiguous_offsets();
    match (&*storage, span) {
        (Storage::Cpu(CpuStorage::F32(_)), Some((start, end))) => Ok(View { storage, start, end }),
        _ => Err(candle_core::Error::Msg("a kernel needs a contiguous f32 tensor in host memory".to_owned())
            .into()),
    }
}

/// A `(rows, cols)` tensor of `values`, on the CPU.
pub(crate) fn matrix(values: Vec<f32>, rows: usize, cols: usize) -> Result<Tensor> {
    Ok(Tensor::from_vec(values, (rows, cols), &candle_core::Device::Cpu)?)
}
