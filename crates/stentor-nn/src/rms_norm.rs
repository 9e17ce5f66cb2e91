//! Root-mean-square norm over the channels of `(time, channels)`.

use crate::{
    Result, Scope, Watch,
    cpu::{for_rows, is_cpu, math, matrix, simd, view},
    watch::tick,
};
use candle_core::{D, Tensor};

simd! {
    fn scale_row(x: &[f32], gain: &[f32], eps: f32, out: &mut [f32]) {
        const LANES: usize = 32;
        let mut lanes = [0.0f32; LANES];
        let chunks = x.chunks_exact(LANES);
        let mut sum = chunks.remainder().iter().map(|&x| f64::from(x * x)).sum::<f64>();
        for chunk in chunks {
            for (lane, x) in lanes.iter_mut().zip(chunk) {
                *lane = math::fma::<FMA>(*x, *x, *lane);
            }
        }
        sum += lanes.iter().map(|&x| f64::from(x)).sum::<f64>();
        let scale = 1.0 / ((sum / x.len() as f64) as f32 + eps).sqrt();
        for ((out, x), gain) in out.iter_mut().zip(x).zip(gain) {
            *out = x * scale * gain;
        }
    }
}

/// x / sqrt(mean(x²) + eps), times a gain for each channel.
#[derive(Debug, Clone)]
pub struct RmsNorm {
    pub(crate) gain: Tensor,
    pub(crate) eps: f32,
}

impl RmsNorm {
    /// Reads `weight`.
    pub fn load(scope: &Scope<'_>, channels: usize, eps: f32) -> Result<Self> {
        Ok(Self { gain: scope.tensor("weight", &[channels])?, eps })
    }

    /// `(time, channels)` to the same; rows do not depend on each other.
    pub fn forward(&self, x: &Tensor, watch: &dyn Watch) -> Result<Tensor> {
        if !is_cpu(x) {
            tick(watch)?;
            return self.stock(x);
        }
        let ((rows, cols), values, gain) = (x.dims2()?, view(x)?, view(&self.gain)?);
        let out = for_rows(rows, cols, watch, |row, out| {
            scale_row(&values[row * cols..][..cols], &gain, self.eps, out);
        })?;
        matrix(out, rows, cols)
    }

    fn stock(&self, x: &Tensor) -> Result<Tensor> {
        let root = (x.sqr()?.mean_keepdim(D::Minus1)? + f64::from(self.eps))?.sqrt()?;
        Ok(x.broadcast_div(&root)?.broadcast_mul(&self.gain)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Unwatched, stock_test::assert_same};
    use candle_core::Device;

    #[test]
    fn candles_ops_give_the_same() {
        // The smaller the values, the more the epsilon matters.
        for scale in [1.0, 1e-3] {
            let random = |dims: &[usize]| Tensor::randn(0f32, scale, dims, &Device::Cpu).unwrap();
            let (x, norm) = (random(&[5, 77]), RmsNorm { gain: random(&[77]), eps: 1e-5 });
            assert_same(&norm.forward(&x, &Unwatched).unwrap(), &norm.stock(&x).unwrap());
        }
    }
}
