//! The card's memory that steps use: what goes there, what is computed there, what comes back.

use super::{
    model::Model,
    params::Place,
    plan::{Room, SPLITS},
};
use crate::{Draw, HEAD, Result};
use candle_core::{
    CudaDevice,
    cuda_backend::{
        WrapErr,
        cudarc::driver::{CudaSlice, CudaStream, DevicePtr},
    },
};
use std::sync::Arc;

/// Rows of the largest step; what has more goes through the layers' ops.
pub(super) const MOST_ROWS: usize = 32;
/// Positions of all texts together whose attention can be looked at.
pub(super) const MOST_LOOKS: usize = 16 * 1024;
/// Bytes of a row's place and of whose text is looked at.
const ROW: usize = 24;
const WATCHED: usize = 16;
/// Whatever is read sixteen bytes at once begins at such a place.
const ALIGNED: usize = 64;

/// Where the parts of an upload begin, in bytes. The first is the input.
pub(super) struct Upload {
    pub(super) rows: usize,
    pub(super) watched: usize,
    pub(super) draws: usize,
    pub(super) end: usize,
}

impl Upload {
    pub(super) fn new(model: &Model, bucket: usize) -> Self {
        let rows = bucket * model.at.width * size_of::<f32>();
        let watched = rows + bucket * ROW;
        let draws = watched + bucket * WATCHED;
        Self { rows, watched, draws, end: draws + bucket * Draw::WORDS * size_of::<u32>() }
    }
}

/// Everything, taken once.
#[derive(Debug)]
pub(super) struct Memory {
    stream: Arc<CudaStream>,
    upload: CudaSlice<u8>,
    /// What is computed, one part after the other.
    work: CudaSlice<f32>,
    /// A token for each row, then the looks.
    answer: CudaSlice<u32>,
}

/// The parts of the work, in numbers.
struct Parts {
    /// Where each begins: normed, qkv, seen, inner, logits, partials, arrived, looks.
    starts: [usize; 8],
    end: usize,
}

impl Parts {
    fn new(model: &Model) -> Self {
        let (at, rows) = (&model.at, MOST_ROWS);
        let inner = at.blocks.iter().map(|block| block.down.depth).max().unwrap_or(0);
        let sizes = [
            rows * at.width,
            rows * 3 * at.width,
            rows * at.width,
            rows * inner,
            rows * at.head.outs,
            rows * at.heads * SPLITS * (HEAD + 2),
            rows * at.heads,
            at.slots * MOST_LOOKS,
        ];
        let mut end = 0;
        let starts = sizes.map(|size| {
            let start = end;
            end += size.next_multiple_of(ALIGNED);
            start
        });
        Self { starts, end }
    }
}

impl Memory {
    pub(super) fn new(card: &CudaDevice, model: &Model) -> Result<Self> {
        let stream = card.cuda_stream();
        Ok(Self {
            upload: stream.alloc_zeros(Upload::new(model, MOST_ROWS).end).w()?,
            work: stream.alloc_zeros(Parts::new(model).end).w()?,
            answer: stream.alloc_zeros(MOST_ROWS + MOST_LOOKS).w()?,
            stream,
        })
    }

    pub(super) fn room(&self, model: &Model, bucket: usize) -> Room {
        let place = |address: Place, bytes: usize| address + bytes as Place;
        let upload = Upload::new(model, bucket);
        let (sent, _sync) = self.upload.device_ptr(&self.stream);
        let (work, _sync) = self.work.device_ptr(&self.stream);
        let (answer, _sync) = self.answer.device_ptr(&self.stream);
        let [normed, qkv, seen, inner, logits, partials, arrived, looks] =
            Parts::new(model).starts.map(|start| place(work, start * size_of::<f32>()));
        Room {
            x: sent,
            rows: place(sent, upload.rows),
            watched: place(sent, upload.watched),
            draws: place(sent, upload.draws),
            normed,
            qkv,
            seen,
            inner,
            logits,
            partials,
            arrived,
            looks,
            tokens: answer,
            mean: place(answer, bucket * size_of::<u32>()),
            stride: MOST_LOOKS,
        }
    }

    pub(super) fn upload(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.memcpy_htod(bytes, &mut self.upload.slice_mut(..bytes.len())).w()?)
    }

    /// Waits for the step: a token for each row, and `looked` numbers.
    pub(super) fn download(&self, bucket: usize, looked: usize) -> Result<(Vec<i32>, Vec<f32>)> {
        let answer = self.stream.clone_dtoh(&self.answer.slice(..bucket + looked)).w()?;
        self.stream.synchronize().w()?;
        let (tokens, looks) = answer.split_at(bucket);
        let tokens = tokens.iter().map(|token| token.cast_signed()).collect();
        Ok((tokens, looks.iter().map(|bits| f32::from_bits(*bits)).collect()))
    }

    /// The logits of the first `rows` rows, of a step that was waited for.
    pub(super) fn logits(&self, model: &Model, rows: usize) -> Result<Vec<f32>> {
        let start = Parts::new(model).starts[4];
        let logits =
            self.stream.clone_dtoh(&self.work.slice(start..start + rows * model.at.head.outs)).w()?;
        self.stream.synchronize().w()?;
        Ok(logits)
    }
}
