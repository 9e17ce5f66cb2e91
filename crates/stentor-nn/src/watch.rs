//! How the caller of a forward pass counts its work, stops it, and looks into it.

use crate::{NnError, Result};
use candle_core::Tensor;

/// Watches one forward pass. Kernels call it from several threads.
pub trait Watch: Sync {
    /// A unit of work is done: a tile of a convolution, some steps of a recurrence, one elementwise pass. `false` stops the
    /// pass, which then ends with [`NnError::Stopped`].
    fn tick(&self) -> bool;

    /// The output of a named layer, for those who compare activations.
    fn layer(&self, _name: &str, _output: &Tensor) {}
}

/// Lets every pass run to its end.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn tick(&self) -> bool {
        true
    }
}

/// Counts a unit of work done on the calling thread.
pub(crate) fn tick(watch: &dyn Watch) -> Result<()> {
    if watch.tick() { Ok(()) } else { Err(NnError::Stopped) }
}
