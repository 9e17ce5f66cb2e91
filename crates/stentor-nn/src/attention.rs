//! Multi-head self-attention of one sequence.

use crate::{
    Result, Watch,
    cpu::{Mat, Tile, TileSize, for_tiles, is_cpu, math, matrix, simd, view},
    for_each_stretch,
    packing::split_rows,
    watch::tick,
};
use candle_core::{D, Tensor};

const QUERIES_PER_TILE: usize = 64;

simd! {
    pub(crate) fn softmax(row: &mut [f32], scale: f32) {
        let max = row.iter().fold(f32::NEG_INFINITY, |max, &x| max.max(x));
        let mut sum = 0.0f32;
        for x in row.iter_mut() {
            *x = math::exp::<FMA>((*x - max) * scale);
        }
        for x in row.iter() {
            sum += x;
        }
        let inverse = 1.0 / sum;
        for x in row.iter_mut() {
            *x *= inverse;
        }
    }
}

/// softmax(Q Kᵀ / sqrt(width of a head)) V for each head, all positions seeing all. The three inputs and the output are
/// `(time, heads * width)`.
pub fn self_attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, watch: &dyn Watch) -> Result<Tensor> {
    let (len, hidden) = q.dims2()?;
    let width = hidden / heads;
    let scale = 1.0 / (width as f32).sqrt();
    if !is_cpu(q) {
        tick(watch)?;
        #[cfg(feature = "cuda")]
        if is_for_card(q, width) {
            return crate::card::Attention::new(&[q, k, v], heads)?.of_stretches(&[len]);
        }
        return stock(q, k, v, heads, scale);
    }
    let (q, k, v) = (view(q)?, view(k)?, view(v)?);
    let size = TileSize { rows: QUERIES_PER_TILE, cols: width };
    let out = for_tiles(len, hidden, size, watch, |tile| {
        let (rows, cols) = (tile.rows.clone(), tile.cols.clone());
        let mut scores = vec![0.0; rows.len() * len];
        let queries = Mat { data: &q[rows.start * hidden + cols.start..], row_stride: hidden, col_stride: 1 };
        let keys = Mat { data: &k[cols.start..], row_stride: 1, col_stride: hidden };
        Tile::whole(&mut scores, len).add_product(0..len, width, queries, keys);
        scores.chunks_exact_mut(len).for_each(|row| softmax(row, scale));
        let weights = Mat { data: &scores, row_stride: len, col_stride: 1 };
        let values = Mat { data: &v[cols.start..], row_stride: hidden, col_stride: 1 };
        tile.add_product(cols, len, weights, values);
    })?;
    matrix(out, len, hidden)
}

/// [`self_attention`] of each stretch of rows by itself; `lens` says how long each is.
pub fn self_attention_of_stretches(
    [q, k, v]: [&Tensor; 3],
    heads: usize,
    lens: &[usize],
    watch: &dyn Watch,
) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if is_for_card(q, q.dims2()?.1 / heads) {
        tick(watch)?;
        return crate::card::Attention::new(&[q, k, v], heads)?.of_stretches(lens);
    }
    let (keys, values) = (split_rows(k, lens)?, split_rows(v, lens)?);
    for_each_stretch(q, lens, |index, q| {
        let (k, v) = (keys[index].contiguous()?, values[index].contiguous()?);
        self_attention(&q.contiguous()?, &k, &v, heads, watch)
    })
}

#[cfg(feature = "cuda")]
fn is_for_card(q: &Tensor, width: usize) -> bool {
    // In f16 queries, keys and values have to lie side by side.
    q.device().is_cuda()
        && q.dtype() == candle_core::DType::F32
        && crate::card::can_attend(q.dtype(), width, false)
}

/// The same out of candle's ops.
fn stock(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, scale: f32) -> Result<Tensor> {
    let (len, hidden) = q.dims2()?;
    let split = |x: &Tensor| x.reshape((len, heads, hidden / heads))?.transpose(0, 1)?.contiguous();
    let scores = (split(q)?.matmul(&split(k)?.transpose(1, 2)?.contiguous()?)? * f64::from(scale))?;
    let shifted = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
    let weights = shifted.broadcast_div(&shifted.sum_keepdim(D::Minus1)?)?;
    Ok(weights.matmul(&split(v)?)?.transpose(0, 1)?.reshape((len, hidden))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Unwatched, stock_test::assert_same};
    use candle_core::Device;

    #[test]
    fn candles_ops_give_the_same() {
        let [q, k, v] = [(); 3].map(|()| Tensor::randn(0f32, 1.0, (70, 24), &Device::Cpu).unwrap());
        let ours = self_attention(&q, &k, &v, 3, &Unwatched).unwrap();
        assert_same(&ours, &stock(&q, &k, &v, 3, 1.0 / 8f32.sqrt()).unwrap());
    }
}
