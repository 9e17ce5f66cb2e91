//! Attention of many queries over keys of another length, as a tiled matrix product.

use crate::{
    Result, Watch,
    attention::softmax,
    cpu::{Mat, Tile, TileSize, for_tiles, is_cpu, matrix, view},
    watch::tick,
};
use candle_core::{D, Tensor};

const QUERIES_PER_TILE: usize = 64;

/// Keys and values of one head after the other: `stride` from position to position, `head_stride` from head to head.
#[derive(Clone, Copy)]
pub(crate) struct Memory<'a> {
    pub(crate) keys: &'a [f32],
    pub(crate) values: &'a [f32],
    pub(crate) stride: usize,
    pub(crate) head_stride: usize,
    /// Positions that are held.
    pub(crate) len: usize,
    /// The first query sees the positions before this one, and each further query one more; none sees beyond `len`.
    pub(crate) seen_by_first: usize,
}

/// softmax(Q Kᵀ / sqrt(width)) V of `queries`, dense rows of `heads * width`.
pub(crate) fn attend_many(
    queries: &[f32],
    (heads, width): (usize, usize),
    memory: Memory<'_>,
    watch: &dyn Watch,
) -> Result<Vec<f32>> {
    let (hidden, scale) = (heads * width, 1.0 / (width as f32).sqrt());
    let size = TileSize { rows: QUERIES_PER_TILE, cols: width };
    for_tiles(queries.len() / hidden, hidden, size, watch, |tile| {
        let (rows, cols) = (tile.rows.clone(), tile.cols.clone());
        let base = cols.start / width * memory.head_stride;
        let seen = |row: usize| (memory.seen_by_first + row).min(memory.len);
        let len = seen(rows.end - 1);
        let mut scores = vec![0.0; rows.len() * len];
        let lhs =
            Mat { data: &queries[rows.start * hidden + cols.start..], row_stride: hidden, col_stride: 1 };
        let keys = Mat { data: &memory.keys[base..], row_stride: 1, col_stride: memory.stride };
        Tile::whole(&mut scores, len).add_product(0..len, width, lhs, keys);
        for (row, scores) in rows.zip(scores.chunks_exact_mut(len)) {
            let (visible, hidden) = scores.split_at_mut(seen(row));
            softmax(visible, scale);
            hidden.fill(0.0);
        }
        let weights = Mat { data: &scores, row_stride: len, col_stride: 1 };
        let values = Mat { data: &memory.values[base..], row_stride: memory.stride, col_stride: 1 };
        tile.add_product(cols, len, weights, values);
    })
}

/// Attention of one sequence to another: `q` is `(time, heads * width)`, `k` and `v` are `(other time, heads * width)`.
pub fn cross_attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    heads: usize,
    watch: &dyn Watch,
) -> Result<Tensor> {
    let ((rows, hidden), len) = (q.dims2()?, k.dims2()?.0);
    if !is_cpu(q) {
        tick(watch)?;
        return stock(q, k, v, heads);
    }
    let (q, keys, values) = (view(q)?, view(k)?, view(v)?);
    let width = hidden / heads;
    let memory =
        Memory { keys: &keys, values: &values, stride: hidden, head_stride: width, len, seen_by_first: len };
    matrix(attend_many(&q, (heads, width), memory, watch)?, rows, hidden)
}

/// The same out of candle's ops.
fn stock(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize) -> Result<Tensor> {
    let (rows, hidden) = q.dims2()?;
    let split = |x: &Tensor| x.reshape((x.dim(0)?, heads, hidden / heads))?.transpose(0, 1)?.contiguous();
    let scale = 1.0 / ((hidden / heads) as f64).sqrt();
    let scores = (split(q)?.matmul(&split(k)?.transpose(1, 2)?.contiguous()?)? * scale)?;
    Ok(stock_softmax(&scores)?.matmul(&split(v)?)?.transpose(0, 1)?.reshape((rows, hidden))?)
}

/// Over the last dimension.
pub(crate) fn stock_softmax(scores: &Tensor) -> Result<Tensor> {
    let shifted = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
    Ok(shifted.broadcast_div(&shifted.sum_keepdim(D::Minus1)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Unwatched, stock_test::assert_same};
    use candle_core::Device;

    #[test]
    fn candles_ops_give_the_same() {
        let random = |rows: usize| Tensor::randn(0f32, 1.0, (rows, 24), &Device::Cpu).unwrap();
        for (rows, len) in [(70, 9), (3, 130), (1, 1)] {
            let (q, k, v) = (random(rows), random(len), random(len));
            let ours = cross_attention(&q, &k, &v, 3, &Unwatched).unwrap();
            assert_same(&ours, &stock(&q, &k, &v, 3).unwrap());
        }
    }
}
