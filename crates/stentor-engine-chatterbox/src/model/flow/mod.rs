//! Flow matching: speech tokens and a voice to mel frames.

use crate::voice::S3GenPrompt;
use candle_core::{Device, Tensor};
use stentor_nn::{NnError, Result, Scope, Watch};
use stentor_types::Precision;

/// Encoder, estimator and solver: the tensors under `flow.`.
pub struct Flow {
    meanflow: bool,
}

impl Flow {
    /// Reads the tensors under `flow.` of `s3gen.*`; whether it is a mean flow follows from `time_embed_mixer`.
    pub fn load(_root: &Scope<'_>, _device: &Device, _precision: Precision) -> Result<Self> {
        Err(NnError::Stopped)
    }

    /// Two steps without guidance (Turbo, Nano) instead of ten with it.
    pub fn is_meanflow(&self) -> bool {
        self.meanflow
    }

    /// Mel frames of `tokens`, `(80, frames)` on the device: two frames a token. Unless `last`, the final three tokens are
    /// only looked ahead at, and give no frames. `noise` is row-major `(frames of prompt and result, 80)`: where the solver starts.
    pub fn render(
        &self,
        _prompt: &S3GenPrompt,
        (_tokens, _last): (&[u32], bool),
        (_noise, _steps): (&[f32], usize),
        _watch: &dyn Watch,
    ) -> Result<Tensor> {
        Err(NnError::Stopped)
    }
}
