//! Densely connected layers over time: each sees what all before it made, and adds a few channels of its own.

use super::{
    norm::{BatchNorm, folded},
    shape,
};
use candle_core::Tensor;
use stentor_nn::{Activation, Conv1d, ConvShape, Result, Scope, Watch, activate};

/// Frames of a segment whose mean is context.
const SEGMENT: usize = 100;

/// Layers of one width, kernel and dilation.
pub(super) struct DenseBlock {
    layers: Vec<Layer>,
    output: usize,
}

impl DenseBlock {
    /// As many layers as the checkpoint has.
    pub(super) fn load(scope: &Scope<'_>, input: usize, dilation: usize) -> Result<Self> {
        let mut output = input;
        let mut layers = Vec::new();
        for number in 1.. {
            let layer = scope.at(format!("tdnnd{number}"));
            if layer.shape("linear1.weight").is_none() {
                break;
            }
            let layer = Layer::load(&layer, output, dilation)?;
            output += layer.growth;
            layers.push(layer);
        }
        Ok(Self { layers, output })
    }

    /// Channels that come out.
    pub(super) fn output(&self) -> usize {
        self.output
    }

    /// `(channels, time)` to `(output, time)`.
    pub(super) fn forward(&self, mut x: Tensor, watch: &dyn Watch) -> Result<Tensor> {
        for layer in &self.layers {
            let new = layer.forward(&x, watch)?;
            x = Tensor::cat(&[x, new], 0)?;
        }
        Ok(x)
    }
}

struct Layer {
    norm: BatchNorm,
    /// With the batch norm after it.
    bottleneck: Conv1d,
    local: Conv1d,
    context: [Conv1d; 2],
    growth: usize,
}

impl Layer {
    fn load(scope: &Scope<'_>, input: usize, dilation: usize) -> Result<Self> {
        let [inner, _, _] = shape(scope, "linear1.weight")?;
        let context = scope.at("cam_layer");
        let [growth, _, kernel] = shape(&context, "linear_local.weight")?;
        let [reduced, _, _] = shape(&context, "linear1.weight")?;
        let conv = ConvShape::same(input, inner, 1, 1);
        Ok(Self {
            norm: BatchNorm::load(&scope.at("nonlinear1.batchnorm"), input)?,
            bottleneck: folded(&scope.at("linear1"), &scope.at("nonlinear2.batchnorm"), conv)?,
            local: Conv1d::load_without_bias(
                &context.at("linear_local"),
                ConvShape::same(inner, growth, kernel, dilation),
            )?,
            context: [
                Conv1d::load(&context.at("linear1"), ConvShape::same(inner, reduced, 1, 1))?,
                Conv1d::load(&context.at("linear2"), ConvShape::same(reduced, growth, 1, 1))?,
            ],
            growth,
        })
    }

    /// `(input, time)` to `(growth, time)`.
    fn forward(&self, x: &Tensor, watch: &dyn Watch) -> Result<Tensor> {
        let relu = Activation::LeakyRelu(0.0);
        let inner = activate(&self.bottleneck.forward(&self.norm.relu(x, watch)?, watch)?, relu, watch)?;
        let local = self.local.forward(&inner, watch)?;
        let context = activate(&self.context[0].forward(&context(&inner)?, watch)?, relu, watch)?;
        let gates = activate(&self.context[1].forward(&context, watch)?, Activation::Sigmoid, watch)?;
        weighted(&local, &gates)
    }
}

/// The mean of each channel over a segment plus that over all time, `(channels, segments)`. The last segment's is over what
/// there is of it.
fn context(x: &Tensor) -> Result<Tensor> {
    let (channels, time) = x.dims2()?;
    let values = x.flatten_all()?.to_vec1::<f32>()?;
    let mean = |values: &[f32]| values.iter().map(|&x| f64::from(x)).sum::<f64>() / values.len() as f64;
    let mut out = Vec::with_capacity(channels * time.div_ceil(SEGMENT));
    for row in values.chunks_exact(time) {
        let all = mean(row);
        out.extend(row.chunks(SEGMENT).map(|segment| (mean(segment) + all) as f32));
    }
    Ok(Tensor::from_vec(out, (channels, time.div_ceil(SEGMENT)), x.device())?)
}

/// Every frame of `(channels, time)` times its segment's gate.
fn weighted(x: &Tensor, gates: &Tensor) -> Result<Tensor> {
    let (channels, time) = x.dims2()?;
    let mut values = x.flatten_all()?.to_vec1::<f32>()?;
    let gates = gates.to_vec2::<f32>()?;
    for (row, gates) in values.chunks_exact_mut(time).zip(&gates) {
        for (segment, gate) in row.chunks_mut(SEGMENT).zip(gates) {
            for x in segment {
                *x *= gate;
            }
        }
    }
    Ok(Tensor::from_vec(values, (channels, time), x.device())?)
}
