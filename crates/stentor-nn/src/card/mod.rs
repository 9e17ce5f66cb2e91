//! Our own kernels on a card (`kernels.cu`), where candle's ops would cost too many launches.

mod lstm;
mod step;
mod styled_norm;

pub(crate) use lstm::{CardLstm, MOST_HIDDEN};
pub(crate) use step::CardDecoder;
pub(crate) use styled_norm::{can_style, styled_norm};

use candle_core::{
    CudaDevice, CudaStorage, Layout, bail,
    cuda_backend::cudarc::driver::{CudaFunction, CudaView},
};

const PTX: &str = include_str!(concat!(env!("OUT_DIR"), "/kernels.ptx"));

/// A kernel by its name. The first loads all of them.
fn kernel(card: &CudaDevice, name: &str) -> candle_core::Result<CudaFunction> {
    Ok(card.get_or_load_custom_func(name, "stentor", PTX)?.into_cuda_function())
}

/// Has the driver compile the kernels.
pub(crate) fn preload(card: &CudaDevice) -> candle_core::Result<()> {
    kernel(card, styled_norm::KERNEL)?;
    step::preload(card)
}

/// An operand's numbers.
fn numbers<'a>(storage: &'a CudaStorage, layout: &Layout) -> candle_core::Result<CudaView<'a, f32>> {
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(storage.as_cuda_slice::<f32>()?.slice(from..to)),
        None => bail!("an operand of a card's kernel is not contiguous"),
    }
}

/// Lengths and places as kernels take them.
fn small(numbers: &[usize]) -> Vec<u32> {
    numbers.iter().map(|&number| number as u32).collect()
}
