//! One-dimensional convolution.
//!
//! On the CPU a kernel of k taps is k matrix products, each on the input shifted by its tap, summed into a tile of the
//! output while it stays in cache: no im2col, no padding copy, no transpose.

use crate::{
    Result, Scope, Watch,
    cpu::{Mat, Tile, TileSize, View, for_rows, for_tiles, is_cpu, matrix, view},
};
use candle_core::Tensor;
use std::ops::Range;

const TILE: TileSize = TileSize { rows: 256, cols: 512 };

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

    /// Output length for an input of `len`; zero when the kernel does not fit.
    fn output_len(&self, len: usize) -> usize {
        let span = self.dilation * (self.kernel - 1) + 1;
        (len + 2 * self.padding).checked_sub(span).map_or(0, |rest| rest / self.stride + 1)
    }

    /// Those of `cols` whose input under `tap` lies inside a signal of `len`.
    fn covered(&self, tap: usize, len: usize, cols: &Range<usize>) -> Range<usize> {
        let offset = tap * self.dilation;
        let first = self.padding.saturating_sub(offset).div_ceil(self.stride);
        let end = (len + self.padding).saturating_sub(offset).div_ceil(self.stride);
        let start = cols.start.max(first);
        start..cols.end.min(end).max(start)
    }
}

/// `(input, time)` to `(output, time')`.
#[derive(Debug, Clone)]
pub struct Conv1d {
    /// Tap by tap: `(kernel, output, input)`.
    weight: Tensor,
    /// `(output)`.
    bias: Option<Tensor>,
    shape: ConvShape,
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
        Self::new(&weight, None, shape)
    }

    /// `weight` is `(output, input, kernel)`, `bias` is `(output)`.
    pub fn new(weight: &Tensor, bias: Option<Tensor>, shape: ConvShape) -> Result<Self> {
        Ok(Self { weight: weight.permute((2, 0, 1))?.contiguous()?, bias, shape })
    }

    pub fn forward(&self, x: &Tensor, watch: &dyn Watch) -> Result<Tensor> {
        self.run(x, None, watch)
    }

    /// The convolution plus `residual`, which has the output's shape.
    pub fn forward_add(&self, x: &Tensor, residual: &Tensor, watch: &dyn Watch) -> Result<Tensor> {
        self.run(x, Some(residual), watch)
    }

    fn run(&self, x: &Tensor, residual: Option<&Tensor>, watch: &dyn Watch) -> Result<Tensor> {
        if !is_cpu(x) {
            return self.stock(x, residual);
        }
        let len = x.dims2()?.1;
        let (rows, cols) = (self.shape.output, self.shape.output_len(len));
        let operands = Operands {
            shape: self.shape,
            len,
            x: view(x)?,
            weight: view(&self.weight)?,
            bias: self.bias.as_ref().map(view).transpose()?,
            residual: residual.map(view).transpose()?,
        };
        let out = for_tiles(rows, cols, TILE, watch, |tile| operands.fill(tile, cols))?;
        matrix(out, rows, cols)
    }

    /// The same out of candle's ops.
    fn stock(&self, x: &Tensor, residual: Option<&Tensor>) -> Result<Tensor> {
        let ConvShape { stride, padding, dilation, .. } = self.shape;
        // candle's convolution reads a kernel that is not contiguous wrongly.
        let weight = self.weight.permute((1, 2, 0))?.contiguous()?;
        let mut out = x.unsqueeze(0)?.conv1d(&weight, padding, stride, dilation, 1)?.squeeze(0)?;
        if let Some(bias) = &self.bias {
            out = out.broadcast_add(&bias.unsqueeze(1)?)?;
        }
        Ok(if let Some(residual) = residual { (out + residual)? } else { out })
    }
}

/// What the tiles of one convolution are made of.
struct Operands<'a> {
    shape: ConvShape,
    /// Length of the input.
    len: usize,
    x: View<'a>,
    weight: View<'a>,
    bias: Option<View<'a>>,
    residual: Option<View<'a>>,
}

impl Operands<'_> {
    /// Computes a tile of an output that is `total` columns wide.
    fn fill(&self, tile: &mut Tile<'_>, total: usize) {
        let (rows, cols) = (tile.rows.clone(), tile.cols.clone());
        for row in rows.clone() {
            let out = tile.row(row);
            if let Some(residual) = &self.residual {
                out.copy_from_slice(&residual[row * total..][cols.clone()]);
            }
            if let Some(bias) = &self.bias {
                out.iter_mut().for_each(|out| *out += bias[row]);
            }
        }
        let ConvShape { input, output, kernel, stride, padding, dilation } = self.shape;
        for tap in 0..kernel {
            let cols = self.shape.covered(tap, self.len, &cols);
            if cols.is_empty() {
                continue;
            }
            let first = cols.start * stride + tap * dilation - padding;
            let lhs = Mat {
                data: &self.weight[(tap * output + rows.start) * input..],
                row_stride: input,
                col_stride: 1,
            };
            let rhs = Mat { data: &self.x[first..], row_stride: self.len, col_stride: stride };
            tile.add_product(cols, input, lhs, rhs);
        }
    }
}

/// Each column twice: nearest-neighbour upsampling by two of `(channels, time)`.
pub fn repeat_twice(x: &Tensor, watch: &dyn Watch) -> Result<Tensor> {
    let (rows, cols) = x.dims2()?;
    if !is_cpu(x) {
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
