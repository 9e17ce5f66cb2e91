//! The two-dimensional part: convolutions over frequency and time, computed as ones over time alone.
//!
//! A map lies in memory as `(frequency, channels, time)`. The three rows of frequency that a 3 x 3 kernel sees are then one
//! block of three times as many channels, and each output row is an ordinary convolution of it.

use super::{
    RELU,
    norm::{BatchNorm, fold},
    refused, shape,
};
use candle_core::Tensor;
use stentor_nn::{Conv1d, ConvShape, Result, Scope, Watch, activate};

/// Height and width of the large kernels.
const KERNEL: usize = 3;

/// Filter bank to channels over time.
pub(super) struct Head {
    first: Conv2d,
    blocks: Vec<Residual>,
    last: Conv2d,
}

impl Head {
    pub(super) fn load(scope: &Scope<'_>) -> Result<Self> {
        let mut blocks = Vec::new();
        for layer in 1.. {
            let layer = scope.at(format!("layer{layer}"));
            let before = blocks.len();
            for block in 0.. {
                let block = layer.at(block);
                if block.shape("conv1.weight").is_none() {
                    break;
                }
                blocks.push(Residual::load(&block)?);
            }
            if blocks.len() == before {
                break;
            }
        }
        let first = Conv2d::load(scope, ("conv1", "bn1"), 1)?;
        Ok(Self { first, blocks, last: Conv2d::load(scope, ("conv2", "bn2"), 2)? })
    }

    /// `(bins, time)` to `(channels * frequencies, time)`, the channel counting more.
    pub(super) fn forward(&self, x: &Tensor, watch: &dyn Watch) -> Result<Tensor> {
        let mut x = activate(&self.first.forward(x, None, watch)?, RELU, watch)?;
        for block in &self.blocks {
            x = block.forward(&x, watch)?;
        }
        let x = activate(&self.last.forward(&x, None, watch)?, RELU, watch)?;
        let (rows, time) = x.dims2()?;
        let channels = self.last.shape.output;
        let x = x.reshape((rows / channels, channels, time))?.transpose(0, 1)?.contiguous()?;
        Ok(x.reshape((rows, time))?)
    }
}

/// Two convolutions around which the input goes as it is, or, where the frequencies are halved, through one of its own.
struct Residual {
    convs: [Conv2d; 2],
    shortcut: Option<Conv2d>,
}

impl Residual {
    fn load(scope: &Scope<'_>) -> Result<Self> {
        let halves = scope.shape("shortcut.0.weight").is_some();
        let stride = if halves { 2 } else { 1 };
        let shortcut =
            halves.then(|| Conv2d::load(scope, ("shortcut.0", "shortcut.1"), stride)).transpose()?;
        let convs =
            [Conv2d::load(scope, ("conv1", "bn1"), stride)?, Conv2d::load(scope, ("conv2", "bn2"), 1)?];
        Ok(Self { convs, shortcut })
    }

    fn forward(&self, x: &Tensor, watch: &dyn Watch) -> Result<Tensor> {
        let inner = activate(&self.convs[0].forward(x, None, watch)?, RELU, watch)?;
        let around = self.shortcut.as_ref().map(|conv| conv.forward(x, None, watch)).transpose()?;
        let sum = self.convs[1].forward(&inner, Some(around.as_ref().unwrap_or(x)), watch)?;
        activate(&sum, RELU, watch)
    }
}

/// A two-dimensional convolution with its batch norm; only frequencies are strided.
struct Conv2d {
    /// Of the rows that a kernel sees, as channels.
    conv: Conv1d,
    shape: ConvShape,
    /// Rows of frequency that a kernel sees.
    height: usize,
    stride: usize,
}

impl Conv2d {
    fn load(scope: &Scope<'_>, (conv, norm): (&str, &str), stride: usize) -> Result<Self> {
        let conv = scope.at(conv);
        let dims = shape(&conv, "weight")?;
        let [output, input, height, width] = dims;
        if height != width || (height != 1 && height != KERNEL) {
            return Err(refused(&conv, "weight", &[output, input, KERNEL, KERNEL]));
        }
        let weight = conv.tensor("weight", &dims)?.transpose(1, 2)?.flatten_all()?.to_vec1()?;
        let shape = ConvShape::same(input * height, output, width, 1);
        let conv = fold(weight, &BatchNorm::load(&scope.at(norm), output)?, shape)?;
        Ok(Self { conv, shape, height, stride })
    }

    /// `(frequencies * input, time)` to `((frequencies / stride) * output, time)`, plus `residual` of the latter shape.
    fn forward(&self, x: &Tensor, residual: Option<&Tensor>, watch: &dyn Watch) -> Result<Tensor> {
        let channels = self.shape.input / self.height;
        let (rows, time) = x.dims2()?;
        let beyond = Tensor::zeros((self.height / 2 * channels, time), x.dtype(), x.device())?;
        let padded = Tensor::cat(&[&beyond, x, &beyond], 0)?;
        let row = |index: usize| {
            let seen = padded.narrow(0, index * self.stride * channels, self.shape.input)?;
            let Some(residual) = residual else { return self.conv.forward(&seen, watch) };
            let residual = residual.narrow(0, index * self.shape.output, self.shape.output)?;
            self.conv.forward_add(&seen, &residual, watch)
        };
        let out = (0..(rows / channels).div_ceil(self.stride)).map(row).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::cat(&out, 0)?)
    }
}
