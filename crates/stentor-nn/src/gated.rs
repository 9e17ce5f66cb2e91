//! The gate between the two halves of a feed-forward layer.

use crate::{
    Result, Watch,
    cpu::{for_rows, is_cpu, math, matrix, simd, view},
    watch::tick,
};
use candle_core::{D, Tensor};

simd! {
    fn gate(gates: &[f32], values: &[f32], out: &mut [f32]) {
        for ((out, gate), value) in out.iter_mut().zip(gates).zip(values) {
            *out = gate * math::sigmoid::<FMA>(*gate) * value;
        }
    }
}

/// silu(first half) times second half of each row: `(time, 2 * channels)` to `(time, channels)`.
pub fn gated_silu(x: &Tensor, watch: &dyn Watch) -> Result<Tensor> {
    if !is_cpu(x) {
        tick(watch)?;
        return stock(x);
    }
    let ((rows, both), values) = (x.dims2()?, view(x)?);
    let cols = both / 2;
    let out = for_rows(rows, cols, watch, |row, out| {
        let (gates, values) = values[row * both..][..2 * cols].split_at(cols);
        gate(gates, values, out);
    })?;
    matrix(out, rows, cols)
}

fn stock(x: &Tensor) -> Result<Tensor> {
    let cols = x.dim(D::Minus1)? / 2;
    Ok((x.narrow(D::Minus1, 0, cols)?.contiguous()?.silu()? * x.narrow(D::Minus1, cols, cols)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Unwatched, stock_test::assert_same};
    use candle_core::Device;

    #[test]
    fn candles_ops_give_the_same() {
        let x = Tensor::randn(0f32, 2.0, (3, 70), &Device::Cpu).unwrap();
        assert_same(&gated_silu(&x, &Unwatched).unwrap(), &stock(&x).unwrap());
    }
}
