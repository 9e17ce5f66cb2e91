//! The card's memory that steps use.

use super::{
    layout::{ANSWER, MOST_ROWS, Upload, Work, room},
    plan::{ModelAt, Room},
};
use crate::Result;
use candle_core::{
    CudaDevice,
    cuda_backend::{
        WrapErr,
        cudarc::driver::{CudaSlice, CudaStream, DevicePtr},
    },
};
use std::sync::Arc;

/// Everything, taken once.
#[derive(Debug)]
pub(super) struct Memory {
    stream: Arc<CudaStream>,
    upload: CudaSlice<u8>,
    work: CudaSlice<f32>,
    answer: CudaSlice<u32>,
}

impl Memory {
    pub(super) fn new(card: &CudaDevice, model: &ModelAt) -> Result<Self> {
        let stream = card.cuda_stream();
        Ok(Self {
            upload: stream.alloc_zeros(Upload::new(model, MOST_ROWS).end).w()?,
            work: stream.alloc_zeros(Work::new(model).end).w()?,
            answer: stream.alloc_zeros(ANSWER).w()?,
            stream,
        })
    }

    pub(super) fn room(&self, model: &ModelAt, bucket: usize) -> Room {
        let (upload, _sync) = self.upload.device_ptr(&self.stream);
        let (work, _sync) = self.work.device_ptr(&self.stream);
        let (answer, _sync) = self.answer.device_ptr(&self.stream);
        room(model, bucket, [upload, work, answer])
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
    pub(super) fn logits(&self, model: &ModelAt, rows: usize) -> Result<Vec<f32>> {
        let logits = self.stream.clone_dtoh(&self.work.slice(Work::new(model).logits(model, rows))).w()?;
        self.stream.synchronize().w()?;
        Ok(logits)
    }
}
