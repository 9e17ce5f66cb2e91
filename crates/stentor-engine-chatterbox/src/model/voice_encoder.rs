//! The voice encoder: a recording to T3's speaker embedding.

use stentor_nn::{NnError, Result, Watch, Weights};

/// The tensors of `ve.*`, on the CPU.
pub struct VoiceEncoder {}

impl VoiceEncoder {
    pub fn load(_weights: &Weights) -> Result<Self> {
        Err(NnError::Stopped)
    }

    /// 256 values of unit length for samples at 16 kHz.
    pub fn embed(&self, _samples: &[f32], _watch: &dyn Watch) -> Result<Vec<f32>> {
        Err(NnError::Stopped)
    }
}
