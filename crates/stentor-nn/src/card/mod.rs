//! Our own kernels on a card (`*.cu`), where candle's ops would cost too many launches.

mod attention;
mod conv;
mod launch;
mod layer_norm;
mod lstm;
mod pointwise;
mod recording;
mod replay;
mod step;
mod styled_norm;

pub(crate) use attention::{Attention, can_attend};
pub(crate) use conv::{Added, CardConv};
pub(crate) use layer_norm::{AfterNorm, add_layer_norm, layer_norm};
pub(crate) use lstm::{CardLstm, MOST_HIDDEN};
pub(crate) use pointwise::{
    activate, clear_rows, depthwise_upsample, finish_rows, mean_of_three, repeat_twice,
};
pub(crate) use replay::CardReplay;
pub(crate) use step::CardDecoder;
pub(crate) use styled_norm::{can_style, styled_norm};

use candle_core::{
    CudaDevice, CudaStorage, Layout, bail,
    cuda_backend::{
        WrapErr,
        cudarc::{
            driver::{CudaFunction, CudaModule, CudaView},
            nvrtc::Ptx,
        },
    },
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// What `build.rs` made of each file: machine code for several cards, of which the driver takes the one that fits.
const BINARIES: [&[u8]; 6] = [
    include_bytes!(concat!(env!("OUT_DIR"), "/kernels.fatbin")),
    include_bytes!(concat!(env!("OUT_DIR"), "/conv.fatbin")),
    include_bytes!(concat!(env!("OUT_DIR"), "/pointwise.fatbin")),
    include_bytes!(concat!(env!("OUT_DIR"), "/attention.fatbin")),
    include_bytes!(concat!(env!("OUT_DIR"), "/decode.fatbin")),
    include_bytes!(concat!(env!("OUT_DIR"), "/draw.fatbin")),
];

/// The kernels on each card that was used, by its number. There are as many as there are cards.
static LOADED: Mutex<Vec<(usize, Loaded)>> = Mutex::new(Vec::new());

struct Loaded {
    modules: Vec<Arc<CudaModule>>,
    /// Those that were asked for.
    functions: HashMap<&'static str, CudaFunction>,
}

impl Loaded {
    fn new(card: &CudaDevice) -> candle_core::Result<Self> {
        let context = card.cuda_stream().context().clone();
        let load = |binary: &[u8]| context.load_module(Ptx::from_binary(binary.to_vec()));
        let modules = BINARIES.into_iter().map(load).collect::<Result<_, _>>().w()?;
        Ok(Self { modules, functions: HashMap::new() })
    }

    fn function(&mut self, name: &'static str) -> candle_core::Result<CudaFunction> {
        if let Some(function) = self.functions.get(name) {
            return Ok(function.clone());
        }
        let Some(function) = self.modules.iter().find_map(|module| module.load_function(name).ok()) else {
            bail!("there is no kernel {name}");
        };
        self.functions.insert(name, function.clone());
        Ok(function)
    }
}

/// A kernel by its name. The first loads all of them.
fn kernel(card: &CudaDevice, name: &'static str) -> candle_core::Result<CudaFunction> {
    let number = card.cuda_stream().context().ordinal();
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, loaded)) = loaded.iter_mut().find(|(card, _)| *card == number) {
        return loaded.function(name);
    }
    let mut new = Loaded::new(card)?;
    let function = new.function(name);
    loaded.push((number, new));
    function
}

/// Brings the kernels onto the card.
pub(crate) fn preload(card: &CudaDevice) -> candle_core::Result<()> {
    kernel(card, styled_norm::KERNEL).map(drop)
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
