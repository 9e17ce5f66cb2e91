//! The S3 tokenizer: a recording to speech tokens, 25 a second.

use stentor_nn::{NnError, Result, Scope, Watch};

/// The tensors under `tokenizer.` of `s3gen.*`, on the CPU.
pub struct S3Tokenizer {}

impl S3Tokenizer {
    pub fn load(_root: &Scope<'_>) -> Result<Self> {
        Err(NnError::Stopped)
    }

    /// Tokens below 6561 for samples at 16 kHz; at most `max`.
    pub fn tokenize(&self, _samples: &[f32], _max: usize, _watch: &dyn Watch) -> Result<Vec<u32>> {
        Err(NnError::Stopped)
    }
}
