//! Where a model's weights are on the card, and what keeps them there.

use super::{
    address_of,
    params::Place,
    plan::{BlockAt, LinearAt, ModelAt, NormAt},
};
use crate::{
    Blueprint, HEAD, KvCache, KvShape, LayerNorm, Linear, Result, RmsNorm, RowNorm, draw, factor::Factor,
};
use candle_core::{
    CudaDevice, DType, Device, Storage, Tensor,
    cuda_backend::cudarc::driver::{CudaStream, DevicePtr, DeviceRepr},
};
use std::sync::Arc;

/// Kernels read so many numbers of weights at once.
const AT_ONCE: usize = 8;
/// And so many bytes.
const ALIGNED: u64 = 16;

#[derive(Debug)]
pub(super) struct Model {
    pub(super) at: ModelAt,
    pub(super) shape: KvShape,
    /// Positions that a row can have.
    pub(super) positions: usize,
    stream: Arc<CudaStream>,
    /// The weights: as long as these are there, so are their places.
    _held: Vec<Tensor>,
}

/// Finds places, and fails once for all of them.
struct Finder {
    stream: Arc<CudaStream>,
    held: Vec<Tensor>,
    /// Whether all that was found is as the kernels want it.
    fits: bool,
}

/// The address of a tensor's first number, or nothing if it is not contiguous on a card.
fn place_of(tensor: &Tensor, stream: &Arc<CudaStream>) -> Option<Place> {
    let (storage, layout) = tensor.storage_and_layout();
    let (from, _) = layout.contiguous_offsets()?;
    let Storage::Cuda(storage) = &*storage else { return None };
    let start = match tensor.dtype() {
        DType::F32 => start_of(storage.as_cuda_slice::<f32>().ok()?, stream),
        DType::F16 => start_of(storage.as_cuda_slice::<half::f16>().ok()?, stream),
        DType::U32 => start_of(storage.as_cuda_slice::<u32>().ok()?, stream),
        _ => return None,
    };
    Some(start + (from * tensor.dtype().size_in_bytes()) as Place)
}

fn start_of<T: DeviceRepr>(slice: &impl DevicePtr<T>, stream: &Arc<CudaStream>) -> Place {
    slice.device_ptr(stream).0
}

impl Finder {
    fn place(&mut self, tensor: &Tensor) -> Place {
        let place = place_of(tensor, &self.stream).filter(|place| place.is_multiple_of(ALIGNED));
        self.fits &= place.is_some();
        self.held.push(tensor.clone());
        place.unwrap_or_default()
    }

    fn norm(&mut self, norm: RowNorm<'_>, width: usize) -> NormAt {
        match norm {
            RowNorm::Rms(RmsNorm { gain, eps }) => {
                self.fits &= gain.elem_count() == width && gain.dtype() == DType::F32;
                NormAt::Rms { gain: self.place(gain), eps: *eps }
            }
            RowNorm::Layer(LayerNorm { gain, shift, eps, .. }) => {
                self.fits &= gain.elem_count() == width && shift.elem_count() == width;
                self.fits &= gain.dtype() == DType::F32 && shift.dtype() == DType::F32;
                NormAt::Layer { gain: self.place(gain), shift: self.place(shift), eps: *eps }
            }
        }
    }

    fn linear(&mut self, layer: &Linear) -> Result<LinearAt> {
        let Factor::Tensor(weight) = &layer.factor else {
            self.fits = false;
            return Ok(LinearAt { weight: 0, bias: 0, depth: 0, outs: 0, half: false });
        };
        let (depth, outs) = weight.dims2()?;
        self.fits &= depth.is_multiple_of(AT_ONCE) && layer.bias.dtype() == DType::F32;
        self.fits &= matches!(weight.dtype(), DType::F16 | DType::F32);
        let (weight, half) = (weight.t()?, weight.dtype() == DType::F16);
        Ok(LinearAt { weight: self.place(&weight), bias: self.place(&layer.bias), depth, outs, half })
    }
}

impl Model {
    /// Nothing, if the kernels can't run it.
    pub(super) fn new(blueprint: &Blueprint<'_>, card: &CudaDevice) -> Result<Option<Self>> {
        let device = Device::Cuda(card.clone());
        let (heads, stream) = (blueprint.shape.heads, card.cuda_stream());
        let width = heads * HEAD;
        let mut find = Finder { stream: Arc::clone(&stream), held: Vec::new(), fits: true };
        let (mut blocks, mut slots) = (Vec::new(), 0);
        for (layer, block) in blueprint.blocks.iter().enumerate() {
            let watched = blueprint.watched.get(&layer).map(Vec::as_slice).unwrap_or_default();
            let list: Vec<u32> = watched.iter().map(|head| *head as u32).collect();
            find.fits &= watched.iter().all(|head| *head < heads);
            let list = if list.is_empty() { 0 } else { find.place(&Tensor::new(list, &device)?) };
            let at = BlockAt {
                before_attention: find.norm(block.before_attention, width),
                qkv: find.linear(block.qkv)?,
                out: find.linear(block.out)?,
                before_mlp: find.norm(block.before_mlp, width),
                up: find.linear(block.up)?,
                down: find.linear(block.down)?,
                watched: (list, watched.len(), slots),
            };
            find.fits &= has_sizes(&at, width, blueprint.gated);
            slots += watched.len();
            blocks.push(at);
        }
        let (last, head) = (find.norm(blueprint.last, width), find.linear(blueprint.head)?);
        let (cos, sin) = match blueprint.rope {
            Some(rope) => {
                let [cos, sin] = rope.tables(&device)?;
                (find.place(&cos), find.place(&sin))
            }
            None => (0, 0),
        };
        let (sounds, end) = blueprint.sayable;
        let can_draw = (end as usize) < draw::MOST_IDS && sounds <= end && head.outs > end as usize;
        let stored = matches!(blueprint.shape.dtype, DType::F16 | DType::F32);
        if !find.fits || !can_draw || !stored || head.depth != width || blueprint.shape.layers != blocks.len()
        {
            return Ok(None);
        }
        let (gated, half) = (blueprint.gated, blueprint.shape.dtype == DType::F16);
        let sayable = blueprint.sayable;
        let at = ModelAt { blocks, last, head, cos, sin, heads, width, gated, half, sayable, slots };
        let positions = blueprint.rope.map_or(usize::MAX, crate::Rope::positions);
        Ok(Some(Self { at, shape: blueprint.shape, positions, stream, _held: find.held }))
    }

    /// The address of a cache's keys and values.
    pub(super) fn slab(&self, cache: &KvCache) -> Result<Place> {
        let slab = address_of(cache)?;
        let place = place_of(slab, &self.stream).filter(|place| place.is_multiple_of(ALIGNED));
        place.ok_or_else(|| crate::kv_cache::refuse("a cache that is not on the card".to_owned()))
    }
}

/// Whether a block's layers fit each other.
fn has_sizes(block: &BlockAt, width: usize, gated: bool) -> bool {
    let inner = if gated { block.up.outs / 2 } else { block.up.outs };
    let sizes = [&block.qkv, &block.out, &block.up, &block.down].map(|layer| (layer.depth, layer.outs));
    let even = !gated || block.up.outs.is_multiple_of(2);
    even && sizes == [(width, 3 * width), (width, width), (width, block.up.outs), (inner, width)]
}
