//! Cards, through candle and the driver.
//!
//! The driver may be missing, too old or out of order. Whatever it is, the caller gets one line and goes on with the CPU.

use super::libraries;
use candle_core::{
    CudaDevice, Device, Tensor,
    cuda_backend::{
        cudarc::driver::{
            CudaContext, DriverError, result,
            sys::{CUmemPool_attribute, CUresult},
        },
        kernels::{AFFINE, BINARY, CAST, FILL, INDEXING, Module, REDUCE, TERNARY, UNARY},
    },
};

/// The oldest compute capability that there are kernels for: candle's are translated from it, ours are machine code from it on.
const OLDEST: (i32, i32) = (7, 5);

/// A function of each module that our layers' ops are in. Loading one brings in, and compiles, its whole module.
const MODULES: [(&str, &Module); 8] = [
    ("affine_f32", &AFFINE),
    ("badd_f32", &BINARY),
    ("cast_f32_f16", &CAST),
    ("copy2d_f32", &FILL),
    ("is_u32_f32", &INDEXING),
    ("fast_sum_f32", &REDUCE),
    ("where_u8_f32", &TERNARY),
    ("uexp_f32", &UNARY),
];

/// Number of cards, and what is wrong with a driver that is there and can't tell.
pub(super) fn cards() -> (usize, Option<String>) {
    if libraries::driver().is_err() {
        return (0, None);
    }
    match count() {
        Ok(count) => (count, None),
        Err(why) => (0, Some(why)),
    }
}

fn count() -> Result<usize, String> {
    match CudaContext::device_count() {
        Ok(count) => Ok(usize::try_from(count).unwrap_or(0)),
        Err(DriverError(CUresult::CUDA_ERROR_NO_DEVICE)) => Ok(0),
        Err(error) => Err(format!("the driver does not start: {error}")),
    }
}

/// Opens a card with a stream of its own and tries it.
pub(super) fn open(index: usize) -> Result<Device, String> {
    libraries::driver()?;
    let count = count()?;
    if index >= count {
        return Err(format!("the driver knows {count} CUDA device(s)"));
    }
    libraries::mathematics()?;
    let failed = |what: &str, error: &dyn std::fmt::Display| format!("{what}: {error}");
    let context = CudaContext::new(index).map_err(|error| failed("the device can't be opened", &error))?;
    let capability =
        context.compute_capability().map_err(|error| failed("its capability can't be read", &error))?;
    if capability < OLDEST {
        let (major, minor) = capability;
        return Err(format!("compute capability {major}.{minor} is below {}.{}", OLDEST.0, OLDEST.1));
    }
    let device =
        Device::new_cuda_with_stream(index).map_err(|error| failed("the device can't be opened", &error))?;
    if let Ok(card) = device.as_cuda_device() {
        forget_events(card);
    }
    try_out(&device).map_err(|error| failed("the device does not compute", &error))?;
    Ok(device)
}

/// Two events for each tensor order the streams that share it; one stream needs none.
fn forget_events(card: &CudaDevice) {
    #[expect(unsafe_code, reason = "events cost two driver calls for each tensor and order nothing here")]
    // SAFETY: tensors of this device only ever meet its one stream: the `CudaDevice` is made here with a stream of its own, clones
    // of it share that stream, and candle mixes no tensors of different `CudaDevice`s. So allocation, use and release are
    // ordered by that stream, which is all that event tracking would bring about. No tensor exists yet.
    unsafe {
        card.disable_event_tracking();
    }
}

/// A product and a sum: the driver accepts our kernels, and the libraries work.
fn try_out(device: &Device) -> Result<(), String> {
    let compute = || -> candle_core::Result<Vec<f32>> {
        let x = Tensor::new(&[[1f32, 2.0], [3.0, 4.0]], device)?;
        (x.matmul(&x)? + 1.0)?.flatten_all()?.to_vec1()
    };
    let found = compute().map_err(|error| error.to_string())?;
    let right = [8.0, 11.0, 16.0, 23.0];
    let wrong = found.iter().zip(right).any(|(found, right)| (found - right).abs() > 1e-3);
    if wrong || found.len() != right.len() {
        Err(format!("it gave {found:?}, not {right:?}"))
    } else {
        Ok(())
    }
}

pub(super) fn free_memory(device: &Device) -> Option<u64> {
    let card = device.as_cuda_device().ok()?;
    let (free, _) = card.cuda_stream().context().mem_get_info().ok()?;
    Some(free as u64)
}

pub(super) fn keep_freed(device: &Device, mut bytes: u64) {
    let Ok(card) = device.as_cuda_device() else { return };
    let stream = card.cuda_stream();
    #[expect(unsafe_code, reason = "the driver takes a pointer to the number")]
    // SAFETY: the context lives, and so does the device's default pool; the threshold is a u64, which the driver copies.
    unsafe {
        // Where there is no such pool, nothing is kept.
        if let Ok(pool) = result::device::get_default_mem_pool(stream.context().cu_device()) {
            let threshold = CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
            let _ = result::mem_pool::set_attribute(pool, threshold, (&raw mut bytes).cast());
        }
    }
}

pub(super) fn preload(device: &Device) -> crate::Result<()> {
    if let Ok(card) = device.as_cuda_device() {
        for (function, module) in MODULES {
            card.get_or_load_func(function, module)?;
        }
        crate::card::preload(card)?;
    }
    Ok(())
}
