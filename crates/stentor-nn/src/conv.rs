//! One-dimensional convolution.
//!
//! On the CPU a kernel of k taps is k matrix products, each on the input shifted by its tap, summed into a tile of the
//! output while it stays in cache: no im2col, no transpose. On a card it is one launch of a kernel of ours (`card/conv.cu`).

use crate::{
    Deferred, Result, Scope, Watch,
    cpu::{
        LINE, MOST_TAPS, Mat, PANEL, Tile, TileSize, View, Windows, Winograd, WinogradInput, WinogradShape,
        for_rows, for_tiles, is_cpu, matrix, view, with_scratch,
    },
    deferred::{Finish, Rest},
    watch::tick,
};
use candle_core::{DType, Tensor};
use std::{ops::Range, sync::Arc};

/// Elements of the input that a tile is computed from, at most: they should stay in the second-level cache.
const INPUT_PER_TILE: usize = 1 << 16;
/// Steps of a block's sums, at most, where a tap has no more.
const STEPS_AT_ONCE: usize = 1024;

/// The geometry of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvShape {
    pub input: usize,
    pub output: usize,
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
    pub dilation: usize,
}

impl ConvShape {
    /// Stride 1 and the padding that keeps the length, for odd kernels.
    pub fn same(input: usize, output: usize, kernel: usize, dilation: usize) -> Self {
        Self { input, output, kernel, stride: 1, padding: dilation * (kernel - 1) / 2, dilation }
    }

    fn tile(&self) -> TileSize {
        TileSize { rows: 256, cols: (INPUT_PER_TILE / self.input).clamp(64, 512) / 64 * 64 }
    }

    /// The same, if it can be computed with fewer products and there are so many channels that it pays, but not more than
    /// were tried: weights take 2 (3 taps) to 7 times (5 taps; 5 for 7, 3.8 for 11) the room.
    fn winograd(&self) -> Option<WinogradShape> {
        const CHANNELS: std::ops::RangeInclusive<usize> = 32..=1100;
        // Outputs lie up to this many tiles behind their own, which must leave room in a grid of one panel.
        const MOST_DILATION: usize = 15;
        let Self { input, output, kernel, stride, padding, dilation } = *self;
        let dilated = dilation % 2 == 1 && dilation <= MOST_DILATION;
        let fits = stride == 1 && (3..=MOST_TAPS).contains(&kernel) && dilated && CHANNELS.contains(&input);
        fits.then_some(WinogradShape { input, output, kernel, padding, dilation })
    }

    /// Output length for an input of `len`; zero when the kernel does not fit.
    fn output_len(&self, len: usize) -> usize {
        let span = self.dilation * (self.kernel - 1) + 1;
        (len + 2 * self.padding).checked_sub(span).map_or(0, |rest| rest / self.stride + 1)
    }
}

/// `(input, time)` to `(output, time')`.
#[derive(Debug, Clone)]
pub struct Conv1d {
    weight: Weight,
    /// `(output)`, f32.
    bias: Option<Tensor>,
    shape: ConvShape,
}

#[derive(Debug, Clone)]
enum Weight {
    /// For our kernel: `(output, kernel, input)`.
    Taps(Tensor),
    /// For fewer products.
    Points(Arc<Winograd>),
    /// For candle's: `(output, input, kernel)`, in the precision of the product.
    Stock(Tensor),
    #[cfg(feature = "cuda")]
    Card(crate::card::CardConv),
}

impl Conv1d {
    /// Reads `weight` (or its weight-norm pair) and `bias`.
    pub fn load(scope: &Scope<'_>, shape: ConvShape) -> Result<Self> {
        let bias = scope.tensor("bias", &[shape.output])?;
        Ok(Self { bias: Some(bias), ..Self::load_without_bias(scope, shape)? })
    }

    /// Reads `weight` (or its weight-norm pair).
    pub fn load_without_bias(scope: &Scope<'_>, shape: ConvShape) -> Result<Self> {
        let weight = scope.folded_weight(&[shape.output, shape.input, shape.kernel])?;
        Self::new(&weight.to_dtype(scope.dtype())?, None, shape)
    }

    /// [`Conv1d::load`] with fewer products on the CPU, where kernel, stride and dilation allow it. Errors of rounding are some
    /// times larger, so nothing should be decided by what comes out; sound is well served.
    pub fn load_for_sound(scope: &Scope<'_>, shape: ConvShape) -> Result<Self> {
        let weight = scope.folded_weight(&[shape.output, shape.input, shape.kernel])?;
        let bias = Some(scope.tensor("bias", &[shape.output])?);
        match shape.winograd().filter(|_| is_cpu(&weight)) {
            Some(points) => {
                let points = Winograd::new(&view(&weight.contiguous()?)?, points);
                scope.count_beyond(points.bytes().saturating_sub(weight.elem_count() * size_of::<f32>()));
                Ok(Self { weight: Weight::Points(Arc::new(points)), bias, shape })
            }
            None => Self::new(&weight.to_dtype(scope.dtype())?, bias, shape),
        }
    }

    /// `weight` is `(output, input, kernel)`, `bias` is `(output)`.
    pub fn new(weight: &Tensor, bias: Option<Tensor>, shape: ConvShape) -> Result<Self> {
        #[cfg(feature = "cuda")]
        if weight.device().is_cuda() {
            let plan = crate::implicit::Plan::conv(weight, shape)?;
            return Ok(Self { weight: Weight::Card(crate::card::CardConv::new(plan)?), bias, shape });
        }
        let weight = if is_cpu(weight) {
            Weight::Taps(weight.permute((0, 2, 1))?.contiguous()?)
        } else {
            // candle's convolution reads a kernel that is not contiguous wrongly.
            Weight::Stock(weight.contiguous()?)
        };
        Ok(Self { weight, bias, shape })
    }

    /// Columns before or after its own that a column is computed from, at most, where the stride is 1: with fewer products several
    /// columns come out of what each of them sees.
    pub fn reach(&self) -> usize {
        let ConvShape { kernel, padding, dilation, .. } = self.shape;
        match &self.weight {
            Weight::Points(points) => points.reach(),
            _ => padding.max((dilation * (kernel - 1)).saturating_sub(padding)),
        }
    }

    pub fn forward(&self, x: &Tensor, watch: &dyn Watch) -> Result<Tensor> {
        self.run(x, None, None, watch)
    }

    /// The convolution plus `residual`, which has the output's shape.
    pub fn forward_add(&self, x: &Tensor, residual: &Tensor, watch: &dyn Watch) -> Result<Tensor> {
        self.run(x, None, Some(residual), watch)
    }

    /// The convolution of what `x` comes to, plus `residual`, which has the output's shape.
    pub fn forward_deferred(
        &self,
        x: Deferred<'_>,
        residual: Option<&Tensor>,
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        match (&self.weight, &x.rest) {
            (Weight::Points(_), Some(rest)) => self.run(&x.x, Some(rest), residual, watch),
            _ => self.run(&x.finish(watch)?, None, residual, watch),
        }
    }

    /// `rest` is only given where weights are [`Weight::Points`].
    fn run(
        &self,
        x: &Tensor,
        rest: Option<&Rest<'_>>,
        residual: Option<&Tensor>,
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        let weights = match &self.weight {
            Weight::Points(points) => Weights::Points(points),
            Weight::Taps(taps) if is_cpu(x) => Weights::Taps(view(taps)?),
            Weight::Taps(taps) => {
                tick(watch)?;
                return self.stock(x, &taps.permute((0, 2, 1))?.contiguous()?, residual);
            }
            Weight::Stock(weight) => {
                tick(watch)?;
                return self.stock(x, weight, residual);
            }
            #[cfg(feature = "cuda")]
            Weight::Card(card) => {
                tick(watch)?;
                return card.forward(x, crate::card::Added::new(self.bias.as_ref(), residual));
            }
        };
        let len = x.dims2()?.1;
        let (rows, cols) = (self.shape.output, self.shape.output_len(len));
        let operands = Operands {
            shape: self.shape,
            len,
            x: view(x)?,
            finish: rest.map(|rest| rest.ready(len)).transpose()?,
            weights,
            bias: self.bias.as_ref().map(view).transpose()?,
            residual: residual.map(view).transpose()?,
        };
        let out = for_tiles(rows, cols, operands.tile(), watch, |tile| operands.fill(tile, cols))?;
        matrix(out, rows, cols)
    }

    /// The same out of candle's ops; `weight` is `(output, input, kernel)`.
    fn stock(&self, x: &Tensor, weight: &Tensor, residual: Option<&Tensor>) -> Result<Tensor> {
        let ConvShape { stride, padding, dilation, .. } = self.shape;
        let x = x.to_dtype(weight.dtype())?.unsqueeze(0)?;
        let mut out = x.conv1d(weight, padding, stride, dilation, 1)?.squeeze(0)?.to_dtype(DType::F32)?;
        if let Some(bias) = &self.bias {
            out = out.broadcast_add(&bias.unsqueeze(1)?)?;
        }
        Ok(if let Some(residual) = residual { (out + residual)? } else { out })
    }
}

/// A [`Weight`] that is at hand.
enum Weights<'a> {
    Taps(View<'a>),
    Points(&'a Winograd),
}

/// What the tiles of one convolution are made of.
struct Operands<'a> {
    shape: ConvShape,
    /// Length of the input.
    len: usize,
    x: View<'a>,
    /// What `x` goes through before, if weights are [`Weights::Points`].
    finish: Option<Finish<'a>>,
    weights: Weights<'a>,
    bias: Option<View<'a>>,
    residual: Option<View<'a>>,
}

impl Operands<'_> {
    /// Tiles depend on the shape alone, see [`for_tiles`].
    fn tile(&self) -> TileSize {
        match &self.weights {
            Weights::Taps(_) => self.shape.tile(),
            Weights::Points(points) => points.tile(),
        }
    }

    /// Computes a tile of an output that is `total` columns wide.
    fn fill(&self, tile: &mut Tile<'_>, total: usize) {
        match &self.weights {
            Weights::Points(points) => {
                let residual = self.residual.as_deref().map(|residual| (residual, total));
                let bias = self.bias.as_deref();
                let finish = self.finish.as_ref();
                points.fill(tile, &WinogradInput { x: &self.x, len: self.len, finish, bias, residual });
            }
            Weights::Taps(weight) if self.shape.stride == 1 => self.fill_by_windows(weight, tile, total),
            Weights::Taps(weight) => self.fill_by_taps(weight, tile, total),
        }
    }

    /// Panel after panel of columns, some taps at a time, so that what the panels need of the weights stays in cache.
    fn fill_by_windows(&self, weight: &[f32], tile: &mut Tile<'_>, total: usize) {
        let ConvShape { input, kernel, dilation, .. } = self.shape;
        let (rows, cols) = (tile.rows.clone(), tile.cols.clone());
        let width = self.width(PANEL);
        let at_once = (STEPS_AT_ONCE / input).clamp(1, kernel);
        with_scratch(cols.len().div_ceil(PANEL) * input * width, |near| {
            for (start, near) in cols.clone().step_by(PANEL).zip(near.chunks_exact_mut(input * width)) {
                self.copy_near(&(start..start + PANEL), near, width);
            }
            for tap in (0..kernel).step_by(at_once) {
                let data = &weight[(rows.start * kernel + tap) * input..];
                let lhs = Mat { data, row_stride: kernel * input, col_stride: 1 };
                for (start, near) in cols.clone().step_by(PANEL).zip(near.chunks_exact(input * width)) {
                    let windows = Windows {
                        data: &near[tap * dilation..],
                        count: at_once.min(kernel - tap),
                        shift: dilation,
                        depth: input,
                        width,
                    };
                    let range = start..cols.end.min(start + PANEL);
                    tile.put_windows(lhs, &windows, range.clone(), |row, sums, out| {
                        if tap == 0 {
                            self.begin(row * total + range.start, row, out);
                        }
                        out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
                    });
                }
            }
        });
    }

    /// Writes what products are added to: the residual from `at` on and the bias of a row.
    fn begin(&self, at: usize, row: usize, out: &mut [f32]) {
        let bias = self.bias.as_ref().map_or(0.0, |bias| bias[row]);
        match &self.residual {
            Some(residual) => {
                out.iter_mut().zip(&residual[at..]).for_each(|(out, other)| *out = other + bias);
            }
            None => out.fill(bias),
        }
    }

    /// [`Operands::begin`] for all rows of a tile.
    fn begin_all(&self, tile: &mut Tile<'_>, total: usize) {
        for row in tile.rows.clone() {
            self.begin(row * total + tile.cols.start, row, tile.row(row));
        }
    }

    fn fill_by_taps(&self, weight: &[f32], tile: &mut Tile<'_>, total: usize) {
        let ConvShape { input, kernel, stride, dilation, .. } = self.shape;
        let (rows, cols) = (tile.rows.clone(), tile.cols.clone());
        self.begin_all(tile, total);
        let width = self.width(cols.len());
        let mut near = vec![0.0; input * width];
        self.copy_near(&cols, &mut near, width);
        for tap in 0..kernel {
            let weight = &weight[(rows.start * kernel + tap) * input..];
            let lhs = Mat { data: weight, row_stride: kernel * input, col_stride: 1 };
            let rhs = Mat { data: &near[tap * dilation..], row_stride: width, col_stride: stride };
            tile.add_product(cols.clone(), input, lhs, rhs);
        }
    }

    /// Length of a row of what so many columns see: an odd number of cache lines, so that rows spread over all of a cache's sets.
    fn width(&self, cols: usize) -> usize {
        (self.span(cols).div_ceil(LINE) | 1) * LINE
    }

    fn span(&self, cols: usize) -> usize {
        (cols - 1) * self.shape.stride + (self.shape.kernel - 1) * self.shape.dilation + 1
    }

    /// Copies the part of the input that the columns `cols` see, with zeros beyond its ends, to rows of `width` numbers.
    ///
    /// Rows of the input itself are so far apart that every step of a product would be in another page.
    fn copy_near(&self, cols: &Range<usize>, near: &mut [f32], width: usize) {
        let ConvShape { stride, padding, .. } = self.shape;
        let (start, span) = (cols.start * stride, self.span(cols.len()));
        let (from, to) = (start.max(padding), (start + span).min(self.len + padding).max(padding));
        let (before, within) = (from - start, to.saturating_sub(from));
        for (row, near) in self.x.chunks_exact(self.len).zip(near.chunks_exact_mut(width)) {
            near[..before.min(span)].fill(0.0);
            if within > 0 {
                near[before..before + within].copy_from_slice(&row[from - padding..to - padding]);
            }
            near[(before + within).min(span)..span].fill(0.0);
        }
    }
}

/// Each column twice: nearest-neighbour upsampling by two of `(channels, time)`.
pub fn repeat_twice(x: &Tensor, watch: &dyn Watch) -> Result<Tensor> {
    let (rows, cols) = x.dims2()?;
    if !is_cpu(x) {
        tick(watch)?;
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            return crate::card::repeat_twice(x, false);
        }
        return Ok(x.unsqueeze(2)?.broadcast_as((rows, cols, 2))?.reshape((rows, 2 * cols))?);
    }
    let values = view(x)?;
    let out = for_rows(rows, 2 * cols, watch, |row, out| {
        for (pair, x) in out.chunks_exact_mut(2).zip(&values[row * cols..][..cols]) {
            pair.fill(*x);
        }
    })?;
    matrix(out, rows, 2 * cols)
}

/// Row i of `(time, channels)` repeated `counts[i]` times.
pub fn repeat_interleave(x: &Tensor, counts: &[usize]) -> Result<Tensor> {
    let index: Vec<u32> =
        counts.iter().enumerate().flat_map(|(row, &count)| std::iter::repeat_n(row as u32, count)).collect();
    let index = Tensor::new(index, x.device())?;
    Ok(x.index_select(&index, 0)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activation, Packing, Unwatched, stock_test::assert_same};
    use candle_core::Device;

    fn random(dims: &[usize]) -> Tensor {
        Tensor::randn(0f32, 1.0, dims, &Device::Cpu).unwrap()
    }

    #[test]
    fn candles_ops_give_the_same() {
        let shape = ConvShape { input: 5, output: 7, kernel: 6, stride: 3, padding: 2, dilation: 1 };
        let weight = random(&[7, 5, 6]);
        let conv = Conv1d::new(&weight, Some(random(&[7])), shape).unwrap();
        let (x, residual) = (random(&[5, 100]), random(&[7, 33]));
        let ours = conv.forward_add(&x, &residual, &Unwatched).unwrap();
        assert_same(&ours, &conv.stock(&x, &weight, Some(&residual)).unwrap());
    }

    /// The same numbers in every run, about as large as normal ones.
    fn numbers(dims: &[usize], seed: u64) -> Tensor {
        let mut state = seed;
        let mut number = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * 3f32.sqrt()
        };
        let values: Vec<f32> = (0..dims.iter().product()).map(|_| number()).collect();
        Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
    }

    /// With all products, and with fewer.
    fn both(shape: ConvShape) -> [Conv1d; 2] {
        let ConvShape { input, output, kernel, padding, dilation, .. } = shape;
        let weight = (numbers(&[output, input, kernel], 1) / ((input * kernel) as f64).sqrt()).unwrap();
        let direct = Conv1d::new(&weight, Some(numbers(&[output], 2)), shape).unwrap();
        let points = WinogradShape { input, output, kernel, padding, dilation };
        let points = Winograd::new(&view(&weight).unwrap(), points);
        [Conv1d { weight: Weight::Points(Arc::new(points)), ..direct.clone() }, direct]
    }

    fn largest(x: &Tensor) -> f32 {
        x.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
    }

    /// Tiles of fewer products begin at every fourth or sixteenth column, and so does each of several sequences. What no number is would
    /// be seen whatever it is multiplied by.
    #[test]
    fn a_sequence_beside_infinities_is_to_the_bit_what_it_is_alone() {
        for (kernel, dilation) in [(3, 1), (3, 5), (7, 1), (7, 3), (11, 1), (11, 5)] {
            for conv in both(ConvShape::same(33, 14, kernel, dilation)) {
                // No more than the gap is between a sequence and the next.
                let reach = conv.reach();
                let lens = [640 - reach, 640 - reach, 3];
                let packing = Packing::new(&lens, reach, &Device::Cpu);
                assert_eq!(packing.pitch(), 640);
                let x = numbers(&[33, lens[1]], 3);
                let alone = conv.forward(&x, &Unwatched).unwrap();
                let infinite = |len| (numbers(&[33, len], 4) / 0.0).unwrap();
                let packed = packing.pack(&[infinite(lens[0]), x, infinite(lens[2])]).unwrap();
                let together = packing.unpack(&conv.forward(&packed, &Unwatched).unwrap());
                let bits = |x: &Tensor| x.to_vec2::<f32>().unwrap();
                if kernel % 2 == 1 {
                    assert!(
                        bits(&alone) == bits(&together.unwrap()[1]),
                        "{kernel} taps, dilation {dilation}"
                    );
                }
            }
        }
    }

    /// Over several tiles, and whatever stands between sequences.
    #[test]
    fn what_is_activated_on_the_way_is_as_if_it_had_been_before() {
        let alpha = (numbers(&[33], 5).abs().unwrap() + 0.5).unwrap();
        for (lens, kernel, dilation) in
            [(vec![1300], 3, 1), (vec![700, 12, 690], 7, 3), (vec![2, 1600], 11, 5)]
        {
            for conv in both(ConvShape::same(33, 14, kernel, dilation)) {
                let packing = Packing::new(&lens, conv.reach(), &Device::Cpu);
                let total = packing.count() * packing.pitch();
                let owned = packing.clear_gaps(&Tensor::ones((1, total), DType::F32, &Device::Cpu).unwrap());
                // Infinite where it is nobody's.
                let x = numbers(&[33, total], 3).broadcast_div(&owned.unwrap()).unwrap();
                let residual = numbers(&[14, total], 4);
                let affine: Vec<f32> = (0..2 * 33 * lens.len()).map(|i| 0.7 + i as f32 / 300.0).collect();
                let deferred = || {
                    let rest = (Activation::Snake(&alpha), &packing);
                    Deferred::normal(x.clone(), affine.clone(), rest)
                };
                let before = deferred().finish(&Unwatched).unwrap();
                let expected = conv.forward_add(&before, &residual, &Unwatched).unwrap();
                let ours = conv.forward_deferred(deferred(), Some(&residual), &Unwatched).unwrap();
                let bits = |x: &Tensor| x.to_vec2::<f32>().unwrap();
                assert!(bits(&expected).iter().flatten().all(|x| x.is_finite()), "{lens:?}");
                assert!(bits(&expected) == bits(&ours), "{lens:?}, {kernel} taps");
                // And that is a norm with an activation: x * scale + shift, then the snake.
                let (at, own) = (packing.pitch() * (lens.len() - 1), lens[lens.len() - 1]);
                let place = 2 * (5 * lens.len() + lens.len() - 1);
                let last: Vec<f32> = before.get(5).unwrap().narrow(0, at, own).unwrap().to_vec1().unwrap();
                let from: Vec<f32> = x.get(5).unwrap().narrow(0, at, own).unwrap().to_vec1().unwrap();
                let alpha: f32 = alpha.get(5).unwrap().to_scalar().unwrap();
                for (x, out) in from.iter().zip(last) {
                    let y = x * affine[place] + affine[place + 1];
                    assert!((out - (y + (alpha * y).sin().powi(2) / alpha)).abs() < 1e-5, "{x}: {out}");
                }
            }
        }
    }

    /// Also where tiles reach over both ends, and where there are more of them than are computed at once.
    #[test]
    fn fewer_products_give_the_same() {
        for kernel in 3..=MOST_TAPS {
            for (dilation, padding) in
                [(1, 0), (1, kernel / 2), (3, 3 * kernel / 2), (5, 40), (15, 7 * kernel)]
            {
                let shape = ConvShape { input: 33, output: 14, kernel, stride: 1, padding, dilation };
                let ways = both(shape);
                for len in [1, 2, 15, 16, 17, 40, 300, 1300] {
                    let total = shape.output_len(len);
                    if total == 0 {
                        continue;
                    }
                    let (x, residual) = (numbers(&[33, len], 3), numbers(&[14, total], 4));
                    let [ours, theirs] =
                        ways.each_ref().map(|conv| conv.forward_add(&x, &residual, &Unwatched).unwrap());
                    let error = largest(&(ours - &theirs).unwrap());
                    let place =
                        format!("{kernel} taps, dilation {dilation}, padding {padding}, {len} columns");
                    assert!(error < 1e-5 * largest(&theirs), "{place}: {error}");
                }
            }
        }
    }
}
