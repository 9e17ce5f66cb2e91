//! Transposed convolutions that upsample.

use crate::{
    Packing, Result, Scope, Watch,
    cpu::{Mat, TileSize, for_rows, for_tiles, is_cpu, matrix, view},
    watch::tick,
};
use candle_core::{DType, Tensor};

const TILE: TileSize = TileSize { rows: 256, cols: 256 };

/// `(input, time)` to `(output, time')` with time' = (time - 1) * stride + kernel - 2 * padding.
///
/// One matrix product gives every tap's contribution; each output then gathers those that meet in it. Padding only cuts both
/// ends off, so candle's path runs without it and narrows the result: its padded kernel is several times slower.
#[derive(Debug, Clone)]
pub struct ConvTranspose1d {
    weight: Weight,
    /// `(output)`, f32.
    bias: Tensor,
    stride: usize,
    padding: usize,
}

#[derive(Debug, Clone)]
enum Weight {
    /// `(input, output, kernel)`, in the precision of the product.
    Taps(Tensor),
    #[cfg(feature = "cuda")]
    Card(crate::card::CardConv),
}

impl ConvTranspose1d {
    /// Reads `weight` (or its weight-norm pair) and `bias`; `widths` are those of input, output and kernel.
    pub fn load(scope: &Scope<'_>, widths: [usize; 3], stride: usize, padding: usize) -> Result<Self> {
        let (weight, bias) = (scope.folded_weight(&widths)?, scope.tensor("bias", &[widths[1]])?);
        let weight = weight.to_dtype(scope.dtype())?;
        #[cfg(feature = "cuda")]
        if weight.device().is_cuda() {
            let plan = crate::implicit::Plan::transposed(&weight, stride, padding)?;
            return Ok(Self {
                weight: Weight::Card(crate::card::CardConv::new(plan)?),
                bias,
                stride,
                padding,
            });
        }
        Ok(Self::new(weight, bias, stride, padding))
    }

    /// `weight` is `(input, output, kernel)`, `bias` is `(output)`.
    pub fn new(weight: Tensor, bias: Tensor, stride: usize, padding: usize) -> Self {
        Self { weight: Weight::Taps(weight), bias, stride, padding }
    }

    pub fn forward(&self, x: &Tensor, watch: &dyn Watch) -> Result<Tensor> {
        match &self.weight {
            Weight::Taps(weight) => self.gather(x, weight, watch),
            #[cfg(feature = "cuda")]
            Weight::Card(card) => {
                tick(watch)?;
                card.forward(x, crate::card::Added::new(Some(&self.bias), None))
            }
        }
    }

    /// A product, then a sum for each output.
    fn gather(&self, x: &Tensor, weight: &Tensor, watch: &dyn Watch) -> Result<Tensor> {
        let ((input, output, kernel), (_, len)) = (weight.dims3()?, x.dims2()?);
        let total = (len - 1) * self.stride + kernel - 2 * self.padding;
        if !(is_cpu(x) && is_cpu(weight)) {
            tick(watch)?;
            return self.stock(x, weight, total);
        }
        let taps = {
            let (values, weight) = (view(x)?, view(weight)?);
            for_tiles(output * kernel, len, TILE, watch, |tile| {
                let lhs =
                    Mat { data: &weight[tile.rows.start..], row_stride: 1, col_stride: output * kernel };
                let rhs = Mat { data: &values[tile.cols.start..], row_stride: len, col_stride: 1 };
                tile.add_product(tile.cols.clone(), input, lhs, rhs);
            })?
        };
        let bias = view(&self.bias)?;
        let out = for_rows(output, total, watch, |row, out| {
            out.fill(bias[row]);
            for tap in 0..kernel {
                self.scatter(tap, &taps[(row * kernel + tap) * len..][..len], out);
            }
        })?;
        matrix(out, output, total)
    }

    /// Adds one tap's contributions, of input step i to output step i * stride + tap - padding.
    fn scatter(&self, tap: usize, contributions: &[f32], out: &mut [f32]) {
        let first = self.padding.saturating_sub(tap).div_ceil(self.stride);
        let start = first * self.stride + tap - self.padding;
        let targets = out.iter_mut().skip(start).step_by(self.stride);
        for (out, x) in targets.zip(contributions.iter().skip(first)) {
            *out += x;
        }
    }

    /// The same out of candle's ops.
    fn stock(&self, x: &Tensor, weight: &Tensor, total: usize) -> Result<Tensor> {
        let x = x.to_dtype(weight.dtype())?.unsqueeze(0)?;
        let whole = x.conv_transpose1d(weight, 0, 0, self.stride, 1, 1)?.squeeze(0)?;
        let kept = whole.narrow(1, self.padding, total)?.to_dtype(DType::F32)?;
        Ok(kept.broadcast_add(&self.bias.unsqueeze(1)?)?.contiguous()?)
    }
}

/// The depthwise transposed convolution with kernel 3, stride 2, padding 1 and output padding 1, which doubles the length
/// of `(channels, time)`.
///
/// Every even output sees the middle tap alone, every odd one the last tap of its left and the first tap of its right
/// neighbour: out[2i] = w1 x[i] + b, out[2i+1] = w2 x[i] + w0 x[i+1] + b.
#[derive(Debug, Clone)]
pub struct DepthwiseUpsample {
    /// `(channels, 1, 3)`.
    weight: Tensor,
    /// `(channels)`.
    bias: Tensor,
}

impl DepthwiseUpsample {
    /// Reads `weight` (or its weight-norm pair) and `bias`.
    pub fn load(scope: &Scope<'_>, channels: usize) -> Result<Self> {
        Ok(Self::new(scope.folded_weight(&[channels, 1, 3])?, scope.tensor("bias", &[channels])?))
    }

    /// `weight` is `(channels, 1, 3)`, `bias` is `(channels)`.
    pub fn new(weight: Tensor, bias: Tensor) -> Self {
        Self { weight, bias }
    }

    /// [`DepthwiseUpsample::forward`] with zeros in the columns that are nobody's; `packing` is that of the output.
    pub fn forward_packed(&self, x: &Tensor, packing: &Packing, watch: &dyn Watch) -> Result<Tensor> {
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            tick(watch)?;
            return crate::card::depthwise_upsample(x, (&self.weight, &self.bias), Some(packing));
        }
        packing.clear_gaps(&self.forward(x, watch)?)
    }

    pub fn forward(&self, x: &Tensor, watch: &dyn Watch) -> Result<Tensor> {
        if !is_cpu(x) {
            tick(watch)?;
            #[cfg(feature = "cuda")]
            if x.device().is_cuda() {
                return crate::card::depthwise_upsample(x, (&self.weight, &self.bias), None);
            }
            return self.stock(x);
        }
        let (rows, cols) = x.dims2()?;
        let (values, weight, bias) = (view(x)?, view(&self.weight)?, view(&self.bias)?);
        let out = for_rows(rows, 2 * cols, watch, |row, out| {
            let x = &values[row * cols..][..cols];
            let (taps, bias) = (&weight[3 * row..][..3], bias[row]);
            let next = x.iter().skip(1).chain(&[0.0]);
            for ((pair, x), next) in out.chunks_exact_mut(2).zip(x).zip(next) {
                pair[0] = taps[1] * x + bias;
                pair[1] = taps[2] * x + taps[0] * next + bias;
            }
        })?;
        matrix(out, rows, 2 * cols)
    }

    /// The same out of candle's ops.
    fn stock(&self, x: &Tensor) -> Result<Tensor> {
        let (rows, cols) = x.dims2()?;
        let tap = |index| self.weight.narrow(2, index, 1)?.squeeze(2);
        let next = x.narrow(1, 1, cols - 1)?.pad_with_zeros(1, 0, 1)?;
        let even = x.broadcast_mul(&tap(1)?)?;
        let odd = (x.broadcast_mul(&tap(2)?)? + next.broadcast_mul(&tap(0)?)?)?;
        let both = Tensor::stack(&[even, odd], 2)?.reshape((rows, 2 * cols))?;
        Ok(both.broadcast_add(&self.bias.unsqueeze(1)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Unwatched, stock_test::assert_same};
    use candle_core::Device;

    #[test]
    fn candles_ops_give_the_same() {
        let random = |dims: &[usize]| Tensor::randn(0f32, 1.0, dims, &Device::Cpu).unwrap();
        let weight = random(&[4, 3, 7]);
        let conv = ConvTranspose1d::new(weight.clone(), random(&[3]), 3, 2);
        let x = random(&[4, 20]);
        assert_same(&conv.forward(&x, &Unwatched).unwrap(), &conv.stock(&x, &weight, 60).unwrap());
        let upsample = DepthwiseUpsample::new(random(&[4, 1, 3]), random(&[4]));
        assert_same(&upsample.forward(&x, &Unwatched).unwrap(), &upsample.stock(&x).unwrap());
    }
}
