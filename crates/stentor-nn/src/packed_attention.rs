//! Self-attention over queries, keys and values that one product has put side by side, plain or with relative positions.
//!
//! A tile is one head and some of its queries: their scores stay in the second-level cache from the first product to the
//! second, and a row's sum divides its 64 results, not its many weights.

use crate::{
    Packing, Result, Watch,
    cpu::{
        Mat, PANEL, Panels, Storage, Tile, TileSize, View, for_tiles, is_cpu, math, matrix, simd, view,
        with_scratch,
    },
    watch::tick,
};
use candle_core::{D, DType, Tensor};
use rayon::prelude::*;
use std::ops::Range;

const QUERIES_PER_TILE: usize = 96;

simd! {
    /// Replaces each x of the row by e^((x - max) * scale), and returns their sum.
    fn exponentials(row: &mut [f32], scale: f32) -> f32 {
        const LANES: usize = 16;
        let mut highest = [f32::NEG_INFINITY; LANES];
        let chunks = row.chunks_exact(LANES);
        let rest = chunks.remainder().iter().fold(f32::NEG_INFINITY, |max, &x| max.max(x));
        for chunk in chunks {
            for (max, &x) in highest.iter_mut().zip(chunk) {
                *max = if x > *max { x } else { *max };
            }
        }
        let max = highest.iter().fold(rest, |max, &x| max.max(x));
        let mut sums = [0.0f32; LANES];
        let mut chunks = row.chunks_exact_mut(LANES);
        for chunk in &mut chunks {
            for (sum, x) in sums.iter_mut().zip(chunk) {
                *x = math::exp::<FMA>((*x - max) * scale);
                *sum += *x;
            }
        }
        let mut sum = 0.0f32;
        for x in chunks.into_remainder() {
            *x = math::exp::<FMA>((*x - max) * scale);
            sum += *x;
        }
        sums.iter().fold(sum, |sum, x| sum + x)
    }
}

simd! {
    fn add_to(row: &mut [f32], other: &[f32]) {
        for (x, other) in row.iter_mut().zip(other) {
            *x += other;
        }
    }
}

fn put(_: usize, _: Range<usize>, sums: &[f32], out: &mut [f32]) {
    out.copy_from_slice(sums);
}

/// What a network with relative positions adds to the scores: a query's content with a bias meets each key, with another bias
/// each distance.
#[derive(Debug, Clone, Copy)]
pub struct RelativePositions<'a> {
    /// The projected embeddings of the distances `time - 1` (the key is before the query) to `1 - time`:
    /// `(2 * time - 1, heads * width)`. Of several sequences, time is the packing's pitch.
    pub distances: &'a Tensor,
    /// Added to the queries before they meet keys, `(heads * width)`.
    pub key_bias: &'a Tensor,
    /// Added to the queries before they meet distances, `(heads * width)`.
    pub distance_bias: &'a Tensor,
}

/// softmax(Q Kᵀ / sqrt(width of a head)) V for each head, all positions of a sequence seeing all of it and nothing else. `qkv` is
/// `(time, 3 * heads * width)`: queries, keys, values; the result is `(time, heads * width)`.
pub fn packed_attention(qkv: &Tensor, heads: usize, packing: &Packing, watch: &dyn Watch) -> Result<Tensor> {
    attend(qkv, heads, (None, packing), watch)
}

/// [`packed_attention`] whose scores also depend on how far apart query and key are.
pub fn relative_attention(
    qkv: &Tensor,
    heads: usize,
    (positions, packing): (RelativePositions<'_>, &Packing),
    watch: &dyn Watch,
) -> Result<Tensor> {
    attend(qkv, heads, (Some(positions), packing), watch)
}

fn attend(
    qkv: &Tensor,
    heads: usize,
    (positions, packing): (Option<RelativePositions<'_>>, &Packing),
    watch: &dyn Watch,
) -> Result<Tensor> {
    if !is_cpu(qkv) {
        tick(watch)?;
        #[cfg(feature = "cuda")]
        if let Some(seen) = on_card(qkv, heads, (positions, packing))? {
            return Ok(seen);
        }
        return stock(&qkv.to_dtype(DType::F32)?, heads, (positions, packing));
    }
    if packing.count() == 1 {
        return attend_alone(qkv, heads, positions, watch);
    }
    // There is nothing to share between sequences here, and a sequence's own keys fit in a cache.
    let alone = |qkv: &Tensor| {
        let len = qkv.dims2()?.0;
        let near = |positions: RelativePositions<'_>| {
            positions.distances.narrow(0, packing.pitch() - len, 2 * len - 1)
        };
        let near = positions.map(near).transpose()?;
        let positions = positions.zip(near.as_ref());
        let positions = positions.map(|(all, distances)| RelativePositions { distances, ..all });
        attend_alone(qkv, heads, positions, watch)
    };
    packing.pack_rows(&packing.unpack_rows(qkv)?.iter().map(alone).collect::<Result<Vec<_>>>()?)
}

/// With a card's kernel, where there is one.
#[cfg(feature = "cuda")]
fn on_card(
    qkv: &Tensor,
    heads: usize,
    (positions, packing): (Option<RelativePositions<'_>>, &Packing),
) -> Result<Option<Tensor>> {
    let width = qkv.dims2()?.1 / 3 / heads;
    if !qkv.device().is_cuda() || !crate::card::can_attend(qkv.dtype(), width, positions.is_some()) {
        return Ok(None);
    }
    crate::card::Attention::new(&[qkv], heads)?.of_packed(positions, packing).map(Some)
}

/// One sequence, with our kernels.
fn attend_alone(
    qkv: &Tensor,
    heads: usize,
    positions: Option<RelativePositions<'_>>,
    watch: &dyn Watch,
) -> Result<Tensor> {
    let (len, hidden) = (qkv.dims2()?.0, qkv.dims2()?.1 / 3);
    let width = hidden / heads;
    let values = view(qkv)?;
    let positions = positions.map(Positions::of).transpose()?;
    let heads = (0..heads).into_par_iter().map(|head| {
        let first = head * width;
        let part = |part: usize, strides: (usize, usize), dims| {
            let data = &values[part * hidden + first..];
            Panels::new(Mat { data, row_stride: strides.0, col_stride: strides.1 }, dims, Storage::Single)
        };
        Head {
            keys: part(1, (1, 3 * hidden), (width, len)),
            values: part(2, (3 * hidden, 1), (len, width)),
            distances: positions.as_ref().map(|positions| {
                let data = &positions.distances[first..];
                let data = Mat { data, row_stride: 1, col_stride: hidden };
                Panels::new(data, (width, 2 * len - 1), Storage::Single)
            }),
        }
    });
    let heads = heads.collect();
    let operands =
        Operands { len, hidden, width, scale: 1.0 / (width as f32).sqrt(), qkv: &values, positions, heads };
    let size = TileSize { rows: QUERIES_PER_TILE, cols: width };
    let out = for_tiles(len, hidden, size, watch, |tile| operands.fill(tile))?;
    matrix(out, len, hidden)
}

struct Positions<'a> {
    distances: View<'a>,
    key_bias: View<'a>,
    distance_bias: View<'a>,
}

impl<'a> Positions<'a> {
    fn of(positions: RelativePositions<'a>) -> Result<Self> {
        Ok(Self {
            distances: view(positions.distances)?,
            key_bias: view(positions.key_bias)?,
            distance_bias: view(positions.distance_bias)?,
        })
    }
}

/// What the queries of a head meet.
struct Head {
    /// `(width, time)`.
    keys: Panels,
    /// `(time, width)`.
    values: Panels,
    /// `(width, 2 * time - 1)`.
    distances: Option<Panels>,
}

struct Operands<'a> {
    len: usize,
    hidden: usize,
    /// Of a head.
    width: usize,
    scale: f32,
    qkv: &'a [f32],
    positions: Option<Positions<'a>>,
    heads: Vec<Head>,
}

impl Operands<'_> {
    /// The results of a tile, whose columns are one head's.
    fn fill(&self, tile: &mut Tile<'_>) {
        let (rows, len) = (tile.rows.len(), self.len);
        let head = &self.heads[tile.cols.start / self.width];
        with_scratch(rows * len, |scores| self.fill_with(tile, head, scores));
    }

    /// [`Operands::fill`] with room for the scores.
    fn fill_with(&self, tile: &mut Tile<'_>, head: &Head, scores: &mut [f32]) {
        let (rows, cols) = (tile.rows.clone(), tile.cols.clone());
        let (len, packed) = (self.len, 3 * self.hidden);
        match &self.positions {
            None => {
                let queries = &self.qkv[rows.start * packed + cols.start..];
                let queries = Mat { data: queries, row_stride: packed, col_stride: 1 };
                Tile::whole(scores, len).put_products(queries, (&head.keys, 0), put);
            }
            Some(positions) => {
                let queries = self.biased(tile, &positions.key_bias);
                let queries = Mat { data: &queries, row_stride: self.width, col_stride: 1 };
                Tile::whole(scores, len).put_products(queries, (&head.keys, 0), put);
                let queries = self.biased(tile, &positions.distance_bias);
                self.meet_distances(scores, &queries, head, rows.clone());
            }
        }
        let sums: Vec<f32> = scores.chunks_exact_mut(len).map(|row| exponentials(row, self.scale)).collect();
        let inverses: Vec<f32> = sums.iter().map(|sum| 1.0 / sum).collect();
        let scores = Mat { data: scores, row_stride: len, col_stride: 1 };
        tile.put_products(scores, (&head.values, 0), |row, _, sums, out| {
            out.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum * inverses[row - rows.start]);
        });
    }

    /// Adds the products of queries and distances. The distance of query i and key j stands at `len - 1 - i + j`.
    fn meet_distances(&self, scores: &mut [f32], queries: &[f32], head: &Head, rows: Range<usize>) {
        let Some(distances) = &head.distances else { return };
        // The rows of a tile see ranges of distances that begin one after the other, the last row's first.
        let last = self.len - rows.end;
        let first = last / PANEL * PANEL;
        let seen = self.len + rows.len() - 1 + last - first;
        let mut products = vec![0.0; rows.len() * seen];
        let queries = Mat { data: queries, row_stride: self.width, col_stride: 1 };
        Tile::whole(&mut products, seen).put_products(queries, (distances, first), put);
        for (row, (scores, products)) in
            scores.chunks_exact_mut(self.len).zip(products.chunks_exact(seen)).enumerate()
        {
            add_to(scores, &products[last - first + rows.len() - 1 - row..][..self.len]);
        }
    }

    /// A tile's queries with a bias, dense.
    fn biased(&self, tile: &Tile<'_>, bias: &[f32]) -> Vec<f32> {
        let cols = tile.cols.clone();
        let mut queries = Vec::with_capacity(tile.rows.len() * cols.len());
        for row in tile.rows.clone() {
            let query = &self.qkv[row * 3 * self.hidden..][cols.clone()];
            queries.extend(query.iter().zip(&bias[cols.clone()]).map(|(x, bias)| x + bias));
        }
        queries
    }
}

/// The same out of candle's ops: all sequences as long as their pitch, where what is nobody's is seen by nobody.
fn stock(
    qkv: &Tensor,
    heads: usize,
    (positions, packing): (Option<RelativePositions<'_>>, &Packing),
) -> Result<Tensor> {
    let qkv = packing.clear_row_gaps(qkv)?;
    let (rows, packed) = qkv.dims2()?;
    let (hidden, width) = (packed / 3, packed / 3 / heads);
    let (count, len) = (packing.count(), rows / packing.count());
    // `(time, heads * width)` to `(heads, time, width)`, and each head's sequences apart.
    let split = |x: &Tensor| x.reshape(((), heads, width))?.transpose(0, 1)?.contiguous();
    let apart = |x: &Tensor| split(x)?.reshape((heads * count, len, width));
    let part = |index: usize| qkv.narrow(1, index * hidden, hidden)?.contiguous();
    let (q, k, v) = (part(0)?, apart(&part(1)?)?, apart(&part(2)?)?);
    let keys = k.transpose(1, 2)?.contiguous()?;
    let mut scores = match positions {
        None => apart(&q)?.matmul(&keys)?,
        Some(positions) => {
            let near = split(positions.distances)?.transpose(1, 2)?.contiguous()?;
            // By distance first: that takes the most memory, and gives it back before the other scores are there.
            let by_distance = split(&q.broadcast_add(positions.distance_bias)?)?.matmul(&near)?;
            let by_distance = shifted(by_distance.reshape((heads * count, len, 2 * len - 1))?)?;
            (apart(&q.broadcast_add(positions.key_bias)?)?.matmul(&keys)? + by_distance)?
        }
    };
    scores = (scores * f64::from(1.0 / (width as f32).sqrt()))?;
    if let Some(barrier) = packing.barrier()? {
        let by_sequence = scores.reshape((heads, count, len, len))?.broadcast_add(&barrier)?;
        scores = by_sequence.reshape((heads * count, len, len))?;
    }
    let weights = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
    drop(scores);
    let weights = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
    let seen = weights.matmul(&v)?.reshape((heads, rows, width))?;
    Ok(seen.transpose(0, 1)?.contiguous()?.reshape((rows, hidden))?)
}

/// `(heads, time, 2 * time - 1)` by distance to `(heads, time, time)` by key: a column more makes rows of `2 * time`, which, read
/// as rows of `2 * time - 1` after the first `time` numbers, begin one earlier each.
///
/// It takes its input, so that no more than two tensors of this size are held at a time.
fn shifted(by_distance: Tensor) -> Result<Tensor> {
    let (heads, len, distances) = by_distance.dims3()?;
    let wider = by_distance.pad_with_zeros(2, 1, 0)?.contiguous()?.reshape((heads, distances + 1, len))?;
    drop(by_distance);
    let rows = wider.narrow(1, 1, distances)?.contiguous()?.reshape((heads, len, distances))?;
    drop(wider);
    Ok(rows.narrow(2, 0, len)?.contiguous()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Unwatched, self_attention, stock_test::assert_same};
    use candle_core::Device;

    fn random(dims: &[usize]) -> Tensor {
        Tensor::randn(0f32, 1.0, dims, &Device::Cpu).unwrap()
    }

    /// Relative positions of up to so many rows.
    struct Case {
        distances: Tensor,
        key_bias: Tensor,
        distance_bias: Tensor,
    }

    impl Case {
        fn new(longest: usize) -> Self {
            let [key_bias, distance_bias] = [(); 2].map(|()| random(&[24]));
            Self { distances: random(&[2 * longest - 1, 24]), key_bias, distance_bias }
        }

        fn positions(&self) -> RelativePositions<'_> {
            let Self { distances, key_bias, distance_bias } = self;
            RelativePositions { distances, key_bias, distance_bias }
        }
    }

    #[test]
    fn candles_ops_give_the_same() {
        for len in [1, 70, 150] {
            let (qkv, case, alone) = (random(&[len, 3 * 24]), Case::new(len), Packing::alone(len));
            for positions in [None, Some(case.positions())] {
                let ours = attend(&qkv, 3, (positions, &alone), &Unwatched).unwrap();
                assert_same(&ours, &stock(&qkv, 3, (positions, &alone)).unwrap());
            }
        }
    }

    #[test]
    fn a_sequence_among_others_sees_itself_alone() {
        let lens = [70, 1, 133];
        let packing = Packing::new(&lens, 3, &Device::Cpu);
        let sequences = lens.map(|len| random(&[len, 3 * 24]));
        let case = Case::new(packing.pitch());
        let mut packed = packing.pack_rows(&sequences).unwrap();
        // What is between them, and nobody's, is not even a number.
        packed = (&packed / packing.clear_row_gaps(&packed.ones_like().unwrap()).unwrap()).unwrap();
        for with in [false, true] {
            let positions = with.then(|| case.positions());
            let ours = attend(&packed, 3, (positions, &packing), &Unwatched).unwrap();
            let stock = stock(&packed, 3, (positions, &packing)).unwrap();
            let both =
                packing.unpack_rows(&ours).unwrap().into_iter().zip(packing.unpack_rows(&stock).unwrap());
            for (qkv, (ours, stock)) in sequences.iter().zip(both) {
                let len = qkv.dims2().unwrap().0;
                let near = case.distances.narrow(0, packing.pitch() - len, 2 * len - 1).unwrap();
                let positions = positions.map(|all| RelativePositions { distances: &near, ..all });
                let alone = attend(qkv, 3, (positions, &Packing::alone(len)), &Unwatched).unwrap();
                assert!(alone.to_vec2::<f32>().unwrap() == ours.to_vec2::<f32>().unwrap(), "{len} rows");
                assert_same(&alone, &stock);
            }
        }
    }

    #[test]
    fn packing_changes_nothing() {
        let [q, k, v] = [(); 3].map(|()| random(&[130, 32]));
        let qkv = Tensor::cat(&[&q, &k, &v], 1).unwrap();
        let packed = packed_attention(&qkv, 2, &Packing::alone(130), &Unwatched).unwrap();
        assert_same(&packed, &self_attention(&q, &k, &v, 2, &Unwatched).unwrap());
    }
}
