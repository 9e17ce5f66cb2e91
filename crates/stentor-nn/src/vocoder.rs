//! What vocoders that mix the spectrum of an excitation into their upsampling have in common.

use crate::Result;
use candle_core::Tensor;

/// `(channels, time)` with one column more in front: reflected, the second column comes to stand before the first.
pub fn reflect_left(x: &Tensor) -> Result<Tensor> {
    Ok(Tensor::cat(&[&x.narrow(1, 1, 1)?, x], 1)?)
}
