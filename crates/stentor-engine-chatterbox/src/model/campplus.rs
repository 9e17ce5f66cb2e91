//! CAMPPlus: a recording to the x-vector that the flow is conditioned on.

use stentor_nn::{NnError, Result, Scope, Watch};

/// The tensors under `speaker_encoder.` of `s3gen.*`, on the CPU.
pub struct CamPPlus {}

impl CamPPlus {
    pub fn load(_root: &Scope<'_>) -> Result<Self> {
        Err(NnError::Stopped)
    }

    /// 192 values for samples at 16 kHz.
    pub fn embed(&self, _samples: &[f32], _watch: &dyn Watch) -> Result<Vec<f32>> {
        Err(NnError::Stopped)
    }
}
