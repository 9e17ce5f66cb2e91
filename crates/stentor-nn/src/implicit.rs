//! How a convolution becomes one launch of a kernel in `card/conv.cu`: its geometry, its weights' order, and the tile that fills a card.
//!
//! Nothing here touches a card, so tests run the kernels on the host with exactly what a card would be given.

use crate::{Activation, ConvShape, Result, RowShape};
use candle_core::{DType, Tensor};

/// Numbers of a weight's row are a multiple of this, so that threads may read sixteen bytes at once.
const ALIGNED: usize = 8;

/// What a kernel is told of a layer; the kernels' `Geometry`, field by field.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Geometry {
    /// Channels and columns of the input.
    pub(crate) input: u32,
    pub(crate) len: u32,
    /// Of the product.
    pub(crate) rows: u32,
    pub(crate) columns: u32,
    pub(crate) weight_pitch: u32,
    pub(crate) kernel: u32,
    /// Column n of the product sees column n * stride + tap * dilation - padding of the input.
    pub(crate) stride: i32,
    pub(crate) dilation: i32,
    pub(crate) padding: i32,
    /// Columns of the output that each column of the product holds, and how many of the first are cut off.
    pub(crate) spread: u32,
    pub(crate) cut: u32,
    /// Columns of the output.
    pub(crate) total: u32,
    /// Sums below zero are multiplied by it.
    pub(crate) slope: f32,
    pub(crate) splits: u32,
}

/// A layer's weights as the kernels read them, and all of its geometry that does not depend on the input's length.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// `(kernel, input, pitch)` in the precision of the product.
    pub(crate) weight: Tensor,
    geometry: Geometry,
    /// Both ends of the input are extended by so much together.
    extended: usize,
    /// The input is `(time, channels)`, and so is the output.
    pub(crate) by_rows: bool,
}

impl Plan {
    /// `weight` is `(output, input, kernel)`.
    pub(crate) fn conv(weight: &Tensor, shape: ConvShape) -> Result<Self> {
        let weight = aligned(&weight.permute((2, 1, 0))?)?;
        let ConvShape { input, output, kernel, stride, padding, dilation } = shape;
        let geometry = Geometry {
            stride: stride as i32,
            padding: padding as i32,
            dilation: dilation as i32,
            ..geometry(input, output, kernel, &weight)?
        };
        Ok(Self { weight, geometry, extended: 2 * padding, by_rows: false })
    }

    /// `weight` is `(kernel * input, output)`.
    pub(crate) fn row_conv(weight: &Tensor, shape: RowShape) -> Result<Self> {
        let RowShape { input, output, kernel, before, after } = shape;
        let weight = aligned(&weight.reshape((kernel, input, output))?)?;
        let geometry = Geometry { padding: before as i32, ..geometry(input, output, kernel, &weight)? };
        Ok(Self { weight, geometry, extended: before + after, by_rows: true })
    }

    /// `weight` is `(input, output, kernel)`. Outputs that are `stride` apart see the same taps, so all from one to the next are rows
    /// of one product, of a convolution that looks back by `kernel / stride` columns.
    pub(crate) fn transposed(weight: &Tensor, stride: usize, padding: usize) -> Result<Self> {
        let (input, output, kernel) = weight.dims3()?;
        let taps = kernel.div_ceil(stride);
        let weight = weight.pad_with_zeros(2, 0, taps * stride - kernel)?;
        let weight = weight.reshape((input, output, taps, stride))?.permute((2, 0, 1, 3))?.contiguous()?;
        let weight = aligned(&weight.reshape((taps, input, output * stride))?)?;
        let geometry = Geometry {
            dilation: -1,
            spread: stride as u32,
            cut: padding as u32,
            // Till the input's length is known: what is added to it after the upsampling.
            total: kernel as u32,
            ..geometry(input, output * stride, taps, &weight)?
        };
        Ok(Self { weight, geometry, extended: 0, by_rows: false })
    }

    /// Channels of the input.
    pub(crate) fn input(&self) -> usize {
        self.geometry.input as usize
    }

    pub(crate) fn channels(&self) -> usize {
        (self.geometry.rows / self.geometry.spread) as usize
    }

    /// For an input of `len` columns, which are at least as many as a kernel sees. Nothing is activated, and nothing split.
    pub(crate) fn of_len(&self, len: usize) -> Geometry {
        let fixed = self.geometry;
        // A transposed one.
        if fixed.dilation < 0 {
            let total = (len as u32 - 1) * fixed.spread + fixed.total - 2 * fixed.cut;
            let columns = (total + fixed.cut).div_ceil(fixed.spread);
            return Geometry { len: len as u32, total, columns, ..fixed };
        }
        let span = (fixed.kernel as usize - 1) * fixed.dilation as usize + 1;
        let seen = (len + self.extended).checked_sub(span);
        let total = seen.map_or(0, |rest| rest / fixed.stride as usize + 1) as u32;
        Geometry { len: len as u32, total, columns: total, ..fixed }
    }

    /// How a card with so many multiprocessors computes it: the kernel, and the geometry with its splits.
    pub(crate) fn choose(&self, geometry: Geometry, processors: usize) -> (Kernel, Geometry) {
        let half = self.weight.dtype() == DType::F16;
        let kernels = KERNELS.iter().filter(|kernel| (kernel.half, kernel.by_rows) == (half, self.by_rows));
        let choices = kernels.flat_map(|kernel| {
            let most = kernel.steps(&geometry);
            let splits = SPLITS.into_iter().filter(move |&splits| splits == 1 || most >= 4 * splits as usize);
            splits.map(move |splits| (*kernel, Geometry { splits, ..geometry }))
        });
        let cost = |(kernel, geometry): &(Kernel, Geometry)| kernel.cost(geometry, processors);
        choices.min_by(|a, b| cost(a).total_cmp(&cost(b))).unwrap_or((KERNELS[0], geometry))
    }
}

/// A layer as it is, before what is particular to one kind.
fn geometry(input: usize, rows: usize, kernel: usize, weight: &Tensor) -> Result<Geometry> {
    Ok(Geometry {
        input: input as u32,
        len: 0,
        rows: rows as u32,
        columns: 0,
        weight_pitch: weight.dim(2)? as u32,
        kernel: kernel as u32,
        stride: 1,
        dilation: 1,
        padding: 0,
        spread: 1,
        cut: 0,
        total: 0,
        slope: 1.0,
        splits: 1,
    })
}

/// `(kernel, input, output)` with zeros to the next multiple of [`ALIGNED`].
fn aligned(weight: &Tensor) -> Result<Tensor> {
    let output = weight.dim(2)?;
    let more = output.next_multiple_of(ALIGNED) - output;
    let weight = if more > 0 { weight.pad_with_zeros(2, 0, more)? } else { weight.clone() };
    Ok(weight.contiguous()?)
}

/// A kernel with the tile of the output that a block of its threads computes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Kernel {
    pub(crate) name: &'static str,
    half: bool,
    by_rows: bool,
    rows: u32,
    columns: u32,
    pub(crate) threads: u32,
    /// Products for each number that is read from shared memory, beside those of the widest tile: what share of its speed is left.
    speed: f64,
}

const fn single(name: &'static str, by_rows: bool, tile: (u32, u32), threads: u32, speed: f64) -> Kernel {
    Kernel { name, half: false, by_rows, rows: tile.0, columns: tile.1, threads, speed }
}

const fn half(name: &'static str, by_rows: bool, side: u32, threads: u32, speed: f64) -> Kernel {
    Kernel { name, half: true, by_rows, rows: side, columns: side, threads, speed }
}

const KERNELS: [Kernel; 9] = [
    single("conv_single_wide", false, (128, 128), 256, 1.0),
    single("conv_single_square", false, (64, 64), 128, 0.7),
    single("conv_single_flat", false, (32, 128), 128, 0.7),
    single("row_conv_single_wide", true, (128, 128), 256, 1.0),
    single("row_conv_single_square", true, (64, 64), 128, 0.7),
    half("conv_half_wide", false, 128, 256, 1.0),
    half("conv_half_square", false, 64, 128, 0.6),
    half("row_conv_half_wide", true, 128, 256, 1.0),
    half("row_conv_half_square", true, 64, 128, 0.6),
];

/// In how many parts the sums of a tile may be computed.
const SPLITS: [u32; 5] = [1, 2, 4, 8, 16];

impl Kernel {
    /// Blocks of threads: columns, rows and splits.
    pub(crate) fn grid(&self, geometry: &Geometry) -> (u32, u32, u32) {
        (geometry.columns.div_ceil(self.columns), geometry.rows.div_ceil(self.rows), geometry.splits)
    }

    /// Channels of the input that are multiplied between two barriers.
    fn depth(&self) -> u32 {
        if self.half { 32 } else { 8 }
    }

    /// Parts that the sums can be split into.
    fn steps(&self, geometry: &Geometry) -> usize {
        let channels = geometry.input.div_ceil(self.depth());
        // Taps of the half precision kernels share what they gather.
        (if self.half { channels } else { channels * geometry.kernel }) as usize
    }

    /// Reckoned time, in products of one multiprocessor. What counts is how often every multiprocessor has to take another block;
    /// sums in parts are written, read again and put together by one launch more.
    fn cost(&self, geometry: &Geometry, processors: usize) -> f64 {
        // Products in the time of a launch, and in that of moving one number to or from memory: of 128 lanes at 1.7 GHz, and of
        // tensor cores that do eight times as much.
        let (launch, number) = if self.half { (4e6, 200.0) } else { (5e5, 25.0) };
        let (x, y, z) = self.grid(geometry);
        let rounds = (f64::from(x) * f64::from(y) * f64::from(z) / processors as f64).ceil();
        let depth = f64::from(geometry.input.next_multiple_of(self.depth()) * geometry.kernel);
        let products = f64::from(self.rows * self.columns) * depth / f64::from(z);
        let kept = f64::from(geometry.rows) * f64::from(geometry.columns) * f64::from(2 * z);
        let split = if z > 1 { launch + kept * number / processors as f64 } else { 0.0 };
        rounds * products / self.speed + split
    }
}

/// The number by which kernels know an activation that has no parameters of a channel, and its slope below zero.
pub(crate) fn activation_code(activation: Activation<'_>) -> Option<(u32, f32)> {
    Some(match activation {
        Activation::Identity => (0, 0.0),
        Activation::LeakyRelu(slope) => (1, slope),
        Activation::GeluTanh => (2, 0.0),
        Activation::GeluErf => (3, 0.0),
        Activation::Silu => (4, 0.0),
        Activation::Mish => (5, 0.0),
        Activation::Elu => (6, 0.0),
        Activation::Tanh => (7, 0.0),
        Activation::Sigmoid => (8, 0.0),
        Activation::Snake(_) => return None,
    })
}

#[cfg(test)]
mod tests;
