//! One layer's step over caches of keys and values: new positions go in, attention over everything comes out.
//!
//! A single new position a row is computed head by head in a fixed order, so that a row's result does not depend on the
//! rows beside it; many new positions are a matrix product.

use crate::{
    KvCache, Result, Rope, Watch,
    attention::softmax,
    cpu::{TileSize, for_tiles, math, matrix, simd, view},
    kv_attention::{Memory, attend_many, stock_softmax},
    kv_cache::{HEAD, SCALE, Store, refuse},
    watch::tick,
};
use candle_core::{DType, Device, Tensor};

const LANES: usize = 16;

/// The sum of all lanes, by halves.
#[inline(always)]
#[expect(clippy::inline_always, reason = "out of line it would be compiled for the build's target only")]
fn fold(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// Positions that each row adds, if `rows_in_all` rows of input are that many for each row of the caches.
fn new_positions<'a>(caches: impl Iterator<Item = &'a KvCache>, rows_in_all: usize) -> Result<usize> {
    let rows: usize = caches.map(|cache| cache.rows).sum();
    if rows == 0 || rows_in_all == 0 || !rows_in_all.is_multiple_of(rows) {
        return Err(refuse(format!("{rows_in_all} rows of input for {rows} rows of keys")));
    }
    Ok(rows_in_all / rows)
}

/// Puts keys and values of new positions into `layer` of the caches, where [`KvCache::advance`] will count them, and returns the
/// queries. `qkv` is `(rows, 3 * heads * HEAD)`: queries, keys and values of each cache's rows, one cache after the other, each
/// row with the same number of positions. Queries and keys are turned by `rope`, if there is one.
pub fn append(
    caches: &mut [&mut KvCache],
    layer: usize,
    qkv: &Tensor,
    rope: Option<&Rope>,
    watch: &dyn Watch,
) -> Result<Tensor> {
    let (rows, width) = qkv.dims2()?;
    let (new, hidden) = (new_positions(caches.iter().map(|cache| &**cache), rows)?, width / 3);
    let known = rope.map_or(usize::MAX, Rope::positions);
    for cache in caches.iter() {
        if new > cache.room() || cache.len + new > known || layer >= cache.shape.layers {
            let (len, capacity) = (cache.len, cache.capacity.min(known));
            return Err(refuse(format!("{new} more positions after {len} of {capacity}")));
        }
        if width != 3 * cache.shape.heads * HEAD {
            return Err(refuse(format!("{width} numbers a row for {} heads", cache.shape.heads)));
        }
    }
    tick(watch)?;
    let (mut first, mut queries, mut parts) = (0, Vec::new(), Vec::new());
    for cache in caches.iter_mut() {
        let rows = cache.rows * new;
        if matches!(cache.store, Store::Host(_)) {
            append_host(cache, layer, &view(qkv)?[first * width..(first + rows) * width], rope, &mut queries);
        } else {
            parts.push(append_device(cache, layer, &qkv.narrow(0, first, rows)?, rope)?);
        }
        first += rows;
    }
    if parts.is_empty() { matrix(queries, rows, hidden) } else { Ok(Tensor::cat(&parts, 0)?) }
}

fn append_host(cache: &mut KvCache, layer: usize, qkv: &[f32], rope: Option<&Rope>, queries: &mut Vec<f32>) {
    let hidden = cache.shape.heads * HEAD;
    let new = qkv.len() / (3 * hidden) / cache.rows;
    let spans: Vec<usize> = (0..cache.rows * cache.shape.heads)
        .map(|index| cache.span(index / cache.shape.heads, index % cache.shape.heads, 0).start)
        .collect();
    let Store::Host(layers) = &mut cache.store else { return };
    let [keys, values] = &mut layers[layer];
    let mut turned = vec![0.0; hidden];
    for (index, position) in qkv.chunks_exact(3 * hidden).enumerate() {
        let (row, at) = (index / new, cache.len + index % new);
        let (q, kv) = position.split_at(hidden);
        let (k, v) = kv.split_at(hidden);
        let start = queries.len();
        queries.extend_from_slice(q);
        if let Some(rope) = rope {
            rope.turn(at, q, &mut queries[start..]);
            rope.turn(at, k, &mut turned);
        } else {
            turned.copy_from_slice(k);
        }
        for (head, (k, v)) in turned.chunks_exact(HEAD).zip(v.chunks_exact(HEAD)).enumerate() {
            let to = spans[row * cache.shape.heads + head] + at * HEAD;
            keys[to..to + HEAD].copy_from_slice(k);
            values[to..to + HEAD].copy_from_slice(v);
        }
    }
}

fn append_device(cache: &KvCache, layer: usize, qkv: &Tensor, rope: Option<&Rope>) -> Result<Tensor> {
    let Store::Device { layers, .. } = &cache.store else { return Err(refuse("no tensors".to_owned())) };
    let (rows, heads) = (cache.rows, cache.shape.heads);
    let (hidden, new) = (heads * HEAD, qkv.dim(0)? / rows);
    let split = |index: usize| {
        let part = qkv.narrow(1, index * hidden, hidden)?.contiguous()?;
        part.reshape((rows, new, heads, HEAD))?.transpose(1, 2)?.contiguous()
    };
    let turn = |x: Tensor| rope.map_or(Ok(x.clone()), |rope| rope.stock(cache.len, &x));
    let (q, k, v) = (turn(split(0)?)?, turn(split(1)?)?, split(2)?);
    let stored = |x: Tensor| x.reshape((rows * heads, new, HEAD))?.to_dtype(cache.shape.dtype)?.contiguous();
    layers[layer][0].slice_set(&stored(k)?, 1, cache.len)?;
    layers[layer][1].slice_set(&stored(v)?, 1, cache.len)?;
    Ok(q.transpose(1, 2)?.contiguous()?.reshape((rows * new, hidden))?)
}

/// softmax(Q Kᵀ / 8) V of the positions that [`append`] has just added to `layer`: each sees all positions of its row up to
/// itself. `queries` is what [`append`] returned, and so is the shape of the result.
pub fn attend(caches: &[&KvCache], layer: usize, queries: &Tensor, watch: &dyn Watch) -> Result<Tensor> {
    let (rows, hidden) = queries.dims2()?;
    let new = new_positions(caches.iter().copied(), rows)?;
    if caches.iter().all(|cache| matches!(cache.store, Store::Host(_))) {
        let values = if new == 1 {
            attend_one(caches, layer, &view(queries)?, watch)?
        } else {
            attend_rows(caches, layer, &view(queries)?, watch)?
        };
        return matrix(values, rows, hidden);
    }
    tick(watch)?;
    let (mut first, mut parts) = (0, Vec::new());
    for cache in caches {
        parts.push(attend_device(cache, layer, &queries.narrow(0, first, cache.rows * new)?)?);
        first += cache.rows * new;
    }
    Ok(Tensor::cat(&parts, 0)?)
}

/// One new position a row.
fn attend_one(caches: &[&KvCache], layer: usize, queries: &[f32], watch: &dyn Watch) -> Result<Vec<f32>> {
    let owners: Vec<(&KvCache, usize)> =
        caches.iter().flat_map(|cache| (0..cache.rows).map(move |row| (*cache, row))).collect();
    let hidden = queries.len() / owners.len();
    for_tiles(owners.len(), hidden, TileSize { rows: 1, cols: HEAD }, watch, |tile| {
        let (row, start) = (tile.rows.start, tile.cols.start);
        let (cache, own_row) = owners[row];
        let Store::Host(layers) = &cache.store else { return };
        let span = cache.span(own_row, start / HEAD, cache.len + 1);
        let mut scores = vec![0.0; cache.len + 1];
        score(&queries[row * hidden + start..][..HEAD], &layers[layer][0][span.clone()], &mut scores);
        softmax(&mut scores, SCALE);
        blend(&scores, &layers[layer][1][span], tile.row(row));
    })
}

/// Many new positions a row.
fn attend_rows(caches: &[&KvCache], layer: usize, queries: &[f32], watch: &dyn Watch) -> Result<Vec<f32>> {
    let rows: usize = caches.iter().map(|cache| cache.rows).sum();
    let owners = caches.iter().flat_map(|cache| (0..cache.rows).map(move |row| (*cache, row)));
    let mut out = Vec::with_capacity(queries.len());
    for ((cache, row), queries) in owners.zip(queries.chunks_exact(queries.len() / rows)) {
        let Store::Host(layers) = &cache.store else { continue };
        let heads = cache.shape.heads;
        let (start, len) = (cache.span(row, 0, 0).start, cache.len + queries.len() / (heads * HEAD));
        let memory = Memory {
            keys: &layers[layer][0][start..],
            values: &layers[layer][1][start..],
            stride: HEAD,
            head_stride: cache.capacity * HEAD,
            len,
            seen_by_first: cache.len + 1,
        };
        out.extend(attend_many(queries, (heads, HEAD), memory, watch)?);
    }
    Ok(out)
}

fn attend_device(cache: &KvCache, layer: usize, queries: &Tensor) -> Result<Tensor> {
    let Store::Device { layers, .. } = &cache.store else { return Err(refuse("no tensors".to_owned())) };
    let (rows, heads, before) = (cache.rows, cache.shape.heads, cache.len);
    let new = queries.dim(0)? / rows;
    let queries = (queries.reshape((rows, new, heads, HEAD))?.transpose(1, 2)? * f64::from(SCALE))?;
    let queries = queries.contiguous()?.reshape((rows * heads, new, HEAD))?.to_dtype(cache.shape.dtype)?;
    let [keys, values] = &layers[layer];
    let (keys, values) = (keys.narrow(1, 0, before + new)?, values.narrow(1, 0, before + new)?);
    let mut scores = queries.matmul(&keys.transpose(1, 2)?)?.to_dtype(DType::F32)?;
    if new > 1 {
        scores = scores.broadcast_add(&causal(before, new, scores.device())?)?;
    }
    let weights = stock_softmax(&scores)?.to_dtype(cache.shape.dtype)?;
    let out = weights.matmul(&values)?.to_dtype(DType::F32)?.reshape((rows, heads, new, HEAD))?;
    Ok(out.transpose(1, 2)?.contiguous()?.reshape((rows * new, heads * HEAD))?)
}

/// Zero where a new position may look, else minus infinity: `(new, before + new)`.
fn causal(before: usize, new: usize, device: &Device) -> Result<Tensor> {
    let row = |i| (0..before + new).map(move |at| if at > before + i { f32::NEG_INFINITY } else { 0.0 });
    Ok(Tensor::from_vec((0..new).flat_map(row).collect::<Vec<f32>>(), (new, before + new), device)?)
}

simd! {
    /// The product of `query` with each key, one after the other in `keys`.
    pub(crate) fn score(query: &[f32], keys: &[f32], scores: &mut [f32]) {
        for (score, key) in scores.iter_mut().zip(keys.chunks_exact(HEAD)) {
            let mut lanes = [0.0f32; LANES];
            for (q, k) in query.as_chunks::<LANES>().0.iter().zip(key.as_chunks::<LANES>().0) {
                for lane in 0..LANES {
                    lanes[lane] = math::fma::<FMA>(q[lane], k[lane], lanes[lane]);
                }
            }
            *score = fold(lanes);
        }
    }
}

simd! {
    /// The sum of `values`, each [`HEAD`] wide, times its weight.
    fn blend(weights: &[f32], values: &[f32], out: &mut [f32]) {
        let mut sums = [0.0f32; HEAD];
        for (weight, value) in weights.iter().zip(values.as_chunks::<HEAD>().0) {
            for (sum, value) in sums.iter_mut().zip(value) {
                *sum = math::fma::<FMA>(*weight, *value, *sum);
            }
        }
        out.copy_from_slice(&sums);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KvShape, Look, RopeScaling, Unwatched, stock_test::assert_same};

    const SHAPE: KvShape = KvShape { layers: 2, heads: 4, dtype: DType::F32 };
    /// Some that follow each other, and one that does not.
    const LOOKED_AT: [usize; 3] = [0, 2, 3];
    const SCALING: RopeScaling =
        RopeScaling { factor: 8.0, low_frequency: 1.0, high_frequency: 4.0, original: 64.0 };

    fn random(rows: usize) -> Tensor {
        Tensor::randn(0f32, 1.0, (rows, 3 * SHAPE.heads * HEAD), &Device::Cpu).unwrap()
    }

    /// Runs `qkv` through layer 1 of a cache and counts it.
    fn step(cache: &mut KvCache, qkv: &Tensor, rope: &Rope) -> (Tensor, Tensor) {
        let queries = append(&mut [&mut *cache], 1, qkv, Some(rope), &Unwatched).unwrap();
        let out = attend(&[&*cache], 1, &queries, &Unwatched).unwrap();
        let new = qkv.dim(0).unwrap() / cache.rows();
        let look = Look { layer: 1, heads: &LOOKED_AT, positions: 1..cache.len() + new, new };
        let looked = cache.look(&queries.narrow(0, new - 1, 1).unwrap(), &look).unwrap();
        cache.advance(new);
        (out, looked)
    }

    #[test]
    fn candles_ops_give_the_same_in_prefill_fork_and_decode() {
        let rope = Rope::new(10_000.0, SCALING, 100);
        let [mut ours, mut stock] =
            [true, false].map(|host| KvCache::in_store(SHAPE, (1, 80), &Device::Cpu, host).unwrap());
        let prefix = random(70);
        let (a, b) = (step(&mut ours, &prefix, &rope), step(&mut stock, &prefix, &rope));
        assert_same(&a.0, &b.0);
        assert_same(&a.1, &b.1);
        let [mut ours, mut stock] = [&ours, &stock].map(|cache| cache.fork(2, 85).unwrap());
        for qkv in [random(6), random(2), random(2)] {
            let (a, b) = (step(&mut ours, &qkv, &rope), step(&mut stock, &qkv, &rope));
            assert_same(&a.0, &b.0);
            assert_same(&a.1, &b.1);
        }
        assert_eq!((ours.len(), ours.room()), (75, 10));
    }

    #[test]
    fn a_cache_of_half_precision_gives_nearly_the_same() {
        let rope = Rope::new(10_000.0, SCALING, 100);
        let half = KvShape { dtype: DType::F16, ..SHAPE };
        let mut exact = KvCache::in_store(SHAPE, (1, 80), &Device::Cpu, false).unwrap();
        let mut rounded = KvCache::in_store(half, (1, 80), &Device::Cpu, false).unwrap();
        let mut compare = |qkv: &Tensor| {
            let (a, b) = (step(&mut exact, qkv, &rope), step(&mut rounded, qkv, &rope));
            for (a, b) in [(a.0, b.0), (a.1, b.1)] {
                assert_eq!((b.dtype(), b.dims()), (DType::F32, a.dims()));
                let error = (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
                let error = error.to_scalar::<f32>().unwrap();
                assert!(error > 0.0 && error < 1e-2, "{error}");
            }
        };
        compare(&random(70));
        compare(&random(1));
    }

    #[test]
    fn a_cache_that_is_full_refuses_and_so_does_a_rope_that_ends() {
        let rope = Rope::new(10_000.0, SCALING, 3);
        let mut cache = KvCache::new(SHAPE, 2, 4, &Device::Cpu).unwrap();
        let mut add = |rows: usize, rope: Option<&Rope>| {
            append(&mut [&mut cache], 0, &random(rows), rope, &Unwatched).map(|_| ())
        };
        add(8, None).unwrap();
        assert!(add(10, None).unwrap_err().to_string().contains("5 more positions after 0 of 4"));
        assert!(add(8, Some(&rope)).unwrap_err().to_string().contains("4 more positions after 0 of 3"));
        assert!(add(3, None).is_err(), "three rows of input for two rows of keys");
    }
}
