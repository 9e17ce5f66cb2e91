//! Keys and values of past positions, and the attention of new positions over them.
//!
//! Room for every position is made at the beginning; a step writes into it and allocates nothing that grows. A cache holds
//! one or more rows of the same length, which belong to one utterance; steps of many utterances run together.

use crate::{
    NnError, Result,
    attention::softmax,
    cpu::{is_cpu, matrix, view},
    kv_attention::stock_softmax,
    kv_step::score,
};
use candle_core::{DType, Device, Tensor};
use std::ops::Range;

/// Width of a head, the same in all models that use this.
pub const HEAD: usize = 64;
/// 1 / sqrt([`HEAD`]).
pub(crate) const SCALE: f32 = 0.125;

/// What is kept of a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvShape {
    pub layers: usize,
    /// Heads of a layer, each [`HEAD`] wide.
    pub heads: usize,
    /// Of the numbers on a device; in host memory they are f32.
    pub dtype: DType,
}

/// Whose attention is looked at, and where to.
#[derive(Debug, Clone)]
pub struct Look<'a> {
    pub layer: usize,
    pub heads: &'a [usize],
    pub positions: Range<usize>,
    /// How many positions were added up to the one that looks: 1 in a step.
    pub new: usize,
}

/// The keys and values of some rows.
#[derive(Debug)]
pub struct KvCache {
    pub(crate) shape: KvShape,
    pub(crate) rows: usize,
    pub(crate) capacity: usize,
    pub(crate) len: usize,
    pub(crate) store: Store,
}

#[derive(Debug)]
pub(crate) enum Store {
    /// For each layer keys and values, `[row][head][position][HEAD]`.
    Host(Vec<[Vec<f32>; 2]>),
    Device {
        /// All of it, `(layers, 2, rows * heads, capacity, HEAD)`: keys and values of a layer, then those of the next.
        slab: Tensor,
        /// For each layer keys and values, `(rows * heads, capacity, HEAD)`, which lie in the slab.
        layers: Vec<[Tensor; 2]>,
    },
}

impl KvCache {
    /// Room for `capacity` positions of `rows` rows on `device`.
    pub fn new(shape: KvShape, rows: usize, capacity: usize, device: &Device) -> Result<Self> {
        let host = is_cpu(&Tensor::zeros(1, DType::F32, device)?);
        Self::in_store(shape, (rows, capacity), device, host)
    }

    pub(crate) fn in_store(
        shape: KvShape,
        (rows, capacity): (usize, usize),
        device: &Device,
        host: bool,
    ) -> Result<Self> {
        let store = if host {
            let layer = |_| [(); 2].map(|()| vec![0.0; rows * shape.heads * capacity * HEAD]);
            Store::Host((0..shape.layers).map(layer).collect())
        } else {
            let slab = (shape.layers, 2, rows * shape.heads, capacity, HEAD);
            let slab = Tensor::zeros(slab, shape.dtype, device)?;
            let layer = |layer| Ok([slab.get(layer)?.get(0)?, slab.get(layer)?.get(1)?]);
            let layers = (0..shape.layers).map(layer).collect::<Result<_>>()?;
            Store::Device { slab, layers }
        };
        Ok(Self { shape, rows, capacity, len: 0, store })
    }

    /// Positions that are held.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Positions that can still be added.
    pub fn room(&self) -> usize {
        self.capacity - self.len
    }

    /// A cache of `rows` rows, each of which begins as this one's first row, with room for `capacity` positions.
    pub fn fork(&self, rows: usize, capacity: usize) -> Result<Self> {
        let heads = self.shape.heads;
        let device = match &self.store {
            Store::Host(_) => Device::Cpu,
            Store::Device { slab, .. } => slab.device().clone(),
        };
        let host = matches!(self.store, Store::Host(_));
        let capacity = capacity.max(self.len);
        let mut new = Self::in_store(self.shape, (rows, capacity), &device, host)?;
        match (&self.store, &mut new.store) {
            (Store::Host(from), Store::Host(to)) => {
                for (from, to) in from.iter().flatten().zip(to.iter_mut().flatten()) {
                    for (index, to) in to.chunks_exact_mut(capacity * HEAD).enumerate() {
                        let from = &from[index % heads * self.capacity * HEAD..][..self.len * HEAD];
                        to[..from.len()].copy_from_slice(from);
                    }
                }
            }
            (Store::Device { slab: from, .. }, Store::Device { slab: to, .. }) if self.len > 0 => {
                let held = from.narrow(2, 0, heads)?.narrow(3, 0, self.len)?.contiguous()?;
                to.slice_set(&held.repeat((1, 1, rows, 1, 1))?, 3, 0)?;
            }
            _ => {}
        }
        new.len = self.len;
        Ok(new)
    }

    /// Takes the positions that every layer has got by [`append`](crate::append) as held from now on.
    pub fn advance(&mut self, positions: usize) {
        self.len = (self.len + positions).min(self.capacity);
    }

    /// Start and end of a head in a host store's layer, `len` positions long.
    pub(crate) fn span(&self, row: usize, head: usize, len: usize) -> Range<usize> {
        let start = (row * self.shape.heads + head) * self.capacity * HEAD;
        start..start + len * HEAD
    }

    /// How much a position that [`append`](crate::append) has just added, whose query is `query` (`(1, heads * HEAD)`), looks at
    /// others: the sum over heads of the softmax's values, `(1, positions)`. It is of the first row.
    pub fn look(&self, query: &Tensor, look: &Look<'_>) -> Result<Tensor> {
        let (layer, heads, positions) = (look.layer, look.heads, look.positions.clone());
        let seen = self.len + look.new;
        let unknown = layer >= self.shape.layers || heads.iter().any(|&head| head >= self.shape.heads);
        if unknown || seen > self.capacity || positions.start > positions.end || positions.end > seen {
            return Err(refuse(format!("no attention of layer {layer}, heads {heads:?} over {positions:?}")));
        }
        match &self.store {
            Store::Host(layers) => {
                let (query, mut sum) = (view(query)?, vec![0.0; positions.len()]);
                let mut scores = vec![0.0; seen];
                for &head in heads {
                    let keys = &layers[layer][0][self.span(0, head, seen)];
                    score(&query[head * HEAD..][..HEAD], keys, &mut scores);
                    softmax(&mut scores, SCALE);
                    for (sum, weight) in sum.iter_mut().zip(&scores[positions.clone()]) {
                        *sum += weight;
                    }
                }
                matrix(sum, 1, positions.len())
            }
            Store::Device { layers, .. } => {
                let keys = &layers[layer][0];
                let mut sum = Tensor::zeros((1, positions.len()), DType::F32, query.device())?;
                // Heads that follow each other go through one op: on a card it is ops that cost.
                for run in heads.chunk_by(|head, next| head + 1 == *next) {
                    let keys = keys.narrow(0, run[0], run.len())?.narrow(1, 0, seen)?;
                    let query = (query.narrow(1, run[0] * HEAD, run.len() * HEAD)? * f64::from(SCALE))?;
                    let query = query.reshape((run.len(), 1, HEAD))?.to_dtype(keys.dtype())?;
                    let scores = query.matmul(&keys.transpose(1, 2)?)?.to_dtype(DType::F32)?;
                    let weights = stock_softmax(&scores)?;
                    sum = (sum + weights.narrow(2, positions.start, positions.len())?.sum(0)?)?;
                }
                Ok(sum)
            }
        }
    }
}

pub(crate) fn refuse(message: String) -> NnError {
    candle_core::Error::Msg(message).into()
}
