//! Linear layers of few rows: the steps of a language model.
//!
//! What such a layer costs is reading its weights, so every weight is read from memory once for all rows. Each product is
//! summed in one fixed order, whatever the number of rows, tiles or threads: a row's result does not depend on its
//! neighbours, which a general matrix product does not promise.

use crate::{
    Linear, Result, Scope, Watch,
    cpu::{TileSize, for_tiles, is_cpu, matrix, simd, view},
};
use candle_core::{Device, Tensor};

/// Numbers that are summed side by side.
const LANES: usize = 16;
/// Outputs, and at most as many rows, whose sums are held in registers together.
const BLOCK: usize = 4;
/// Weights of one tile: they stay in a core's cache while the rows pass by.
const WEIGHTS_PER_TILE: usize = 1 << 16;

/// The sums of `R` rows with `O` outputs; `weight` holds the outputs' rows one after the other.
#[inline(always)]
#[expect(clippy::inline_always, reason = "out of line it would be compiled for the build's target only")]
fn sums<const R: usize, const O: usize>(x: [&[f32]; R], weight: &[f32], depth: usize) -> [[f32; R]; O] {
    let weight: [&[f32]; O] = std::array::from_fn(|output| &weight[output * depth..][..depth]);
    let (x_lanes, w_lanes) = (x.map(|x| x.as_chunks::<LANES>()), weight.map(|w| w.as_chunks::<LANES>()));
    let mut lanes = [[[0.0f32; LANES]; R]; O];
    for step in 0..depth / LANES {
        for (output, lanes) in lanes.iter_mut().enumerate() {
            let w = &w_lanes[output].0[step];
            for (row, lanes) in lanes.iter_mut().enumerate() {
                let x = &x_lanes[row].0[step];
                for lane in 0..LANES {
                    lanes[lane] = w[lane].mul_add(x[lane], lanes[lane]);
                }
            }
        }
    }
    for (output, lanes) in lanes.iter_mut().enumerate() {
        for (row, lanes) in lanes.iter_mut().enumerate() {
            for ((lane, w), x) in lanes.iter_mut().zip(w_lanes[output].1).zip(x_lanes[row].1) {
                *lane = w.mul_add(*x, *lane);
            }
        }
    }
    lanes.map(|rows| rows.map(fold))
}

/// The sum of all lanes, by halves.
#[inline(always)]
#[expect(clippy::inline_always, reason = "as above")]
pub(crate) fn fold(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// `R` rows of `x` against all of `weight`: adds to `out`, whose rows are `outputs` long.
#[inline(always)]
#[expect(clippy::inline_always, reason = "as above")]
fn rows<const R: usize>(x: &[f32], weight: &[f32], depth: usize, out: &mut [f32]) {
    let x: [&[f32]; R] = std::array::from_fn(|row| &x[row * depth..][..depth]);
    let outputs = out.len() / R;
    let mut add = |output: usize, sums: &[f32; R]| {
        for (row, sum) in sums.iter().enumerate() {
            out[row * outputs + output] += sum;
        }
    };
    let whole = outputs / BLOCK * BLOCK;
    for output in (0..whole).step_by(BLOCK) {
        let block: [[f32; R]; BLOCK] = sums(x, &weight[output * depth..], depth);
        for (index, sums) in block.iter().enumerate() {
            add(output + index, sums);
        }
    }
    for output in whole..outputs {
        let [one]: [[f32; R]; 1] = sums(x, &weight[output * depth..], depth);
        add(output, &one);
    }
}

simd! {
    /// Adds x Wᵀ to `out`: `x` is `[row][depth]`, `weight` `[output][depth]`, `out` `[row][output]`.
    fn add_products(x: &[f32], weight: &[f32], depth: usize, out: &mut [f32]) {
        let outputs = weight.len() / depth;
        let blocks = x.chunks(BLOCK * depth).zip(out.chunks_mut(BLOCK * outputs));
        for (x, out) in blocks {
            match x.len() / depth {
                1 => rows::<1>(x, weight, depth, out),
                2 => rows::<2>(x, weight, depth, out),
                3 => rows::<3>(x, weight, depth, out),
                _ => rows::<4>(x, weight, depth, out),
            }
        }
    }
}

impl Linear {
    /// The layer for few rows at a time: `(rows, input)` to `(rows, output)`, where what becomes of a row does not depend on the
    /// others, bit for bit.
    pub fn forward_each(&self, x: &Tensor, watch: &dyn Watch) -> Result<Tensor> {
        if !(is_cpu(x) && is_cpu(&self.weight)) {
            return self.forward(x, watch);
        }
        let ((rows, input), output) = (x.dims2()?, self.bias.dims1()?);
        let (values, weight, bias) = (view(x)?, view(&self.weight)?, view(&self.bias)?);
        let cols = (WEIGHTS_PER_TILE / input.max(1)).max(BLOCK).next_multiple_of(BLOCK);
        let out = for_tiles(rows, output, TileSize { rows: rows.max(1), cols }, watch, |tile| {
            let (rows, cols) = (tile.rows.clone(), tile.cols.clone());
            let mut sums = Vec::with_capacity(rows.len() * cols.len());
            for _ in rows.clone() {
                sums.extend_from_slice(&bias[cols.clone()]);
            }
            add_products(&values, &weight[cols.start * input..cols.end * input], input, &mut sums);
            for (row, sums) in rows.zip(sums.chunks_exact(cols.len())) {
                tile.row(row).copy_from_slice(sums);
            }
        })?;
        matrix(out, rows, output)
    }

    /// Several layers without bias that see the same input, as one: reads `<name>.weight` of each, `(output, input)`.
    pub fn load_stacked(scope: &Scope<'_>, names: &[&str], input: usize, output: usize) -> Result<Self> {
        let mut values = Vec::with_capacity(names.len() * output * input);
        for name in names {
            values.extend_from_slice(&scope.at(name).values("weight", &[output, input])?);
        }
        let all = names.len() * output;
        let weight = scope.upload(values, &[all, input])?.to_dtype(scope.products())?;
        Ok(Self { bias: scope.upload(vec![0.0; all], &[all])?, weight })
    }

    /// Reads `bias` and a `weight` that is stored as `(input, output)`.
    pub fn load_transposed(scope: &Scope<'_>, input: usize, output: usize) -> Result<Self> {
        let stored = scope.values("weight", &[input, output])?;
        let mut values = vec![0.0; input * output];
        for (from, row) in stored.chunks_exact(output).enumerate() {
            for (to, value) in row.iter().enumerate() {
                values[to * input + from] = *value;
            }
        }
        let weight = scope.upload(values, &[output, input])?.to_dtype(scope.products())?;
        Ok(Self { weight, bias: scope.tensor("bias", &[output])? })
    }

    pub fn device(&self) -> &Device {
        self.bias.device()
    }

    /// Bytes of the layer's numbers on its device.
    pub fn bytes(&self) -> u64 {
        let of = |tensor: &Tensor| (tensor.elem_count() * tensor.dtype().size_in_bytes()) as u64;
        of(&self.weight) + of(&self.bias)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Unwatched, stock_test::assert_same};

    /// Sizes that fill blocks, lanes and tiles, and sizes that don't.
    #[test]
    fn a_row_comes_out_the_same_alone_and_among_others() {
        for (input, output) in [(1024, 200), (37, 7), (5, 3), (16, 4), (4100, 70)] {
            let random = |dims: &[usize]| Tensor::randn(0f32, 0.1, dims, &Device::Cpu).unwrap();
            let layer = Linear::new(random(&[output, input]), random(&[output]));
            let x = random(&[11, input]);
            let together = layer.forward_each(&x, &Unwatched).unwrap();
            assert_same(&together, &layer.forward(&x, &Unwatched).unwrap());
            for (first, count) in [(0, 1), (3, 1), (10, 1), (1, 2), (4, 3), (0, 4), (5, 6)] {
                let alone = layer.forward_each(&x.narrow(0, first, count).unwrap(), &Unwatched).unwrap();
                let bits = |x: Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                let same = bits(alone) == bits(together.narrow(0, first, count).unwrap());
                assert!(same, "{count} rows from {first} of {input} to {output}");
            }
        }
    }
}
