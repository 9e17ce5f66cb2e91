//! Batch norm with fixed statistics: a scale and a shift of each channel, or a part of the product before it.

use candle_core::{Device, Tensor};
use stentor_nn::{Activation, Conv1d, ConvShape, Result, Scope, Watch, activate};

const EPS: f64 = 1e-5;

/// Scale and shift of each channel.
pub(super) struct BatchNorm {
    pub(super) scale: Vec<f32>,
    pub(super) shift: Vec<f32>,
}

impl BatchNorm {
    /// Reads `running_mean` and `running_var`, and `weight` and `bias` where there are any.
    pub(super) fn load(scope: &Scope<'_>, channels: usize) -> Result<Self> {
        let mean = scope.values("running_mean", &[channels])?;
        let variance = scope.values("running_var", &[channels])?;
        let affine = scope.shape("weight").is_some() || scope.shape("bias").is_some();
        let learnt = |name: &str, default: f32| {
            if affine { scope.values(name, &[channels]) } else { Ok(vec![default; channels]) }
        };
        let (gain, bias) = (learnt("weight", 1.0)?, learnt("bias", 0.0)?);
        let scales = gain.iter().zip(&variance).map(|(&g, &v)| f64::from(g) / (f64::from(v) + EPS).sqrt());
        let scale: Vec<f64> = scales.collect();
        let shifts =
            bias.iter().zip(&mean).zip(&scale).map(|((&b, &m), scale)| f64::from(b) - f64::from(m) * scale);
        Ok(Self {
            shift: shifts.map(|x| x as f32).collect(),
            scale: scale.iter().map(|&x| x as f32).collect(),
        })
    }

    /// The norm and ReLU of `(channels, time)`.
    pub(super) fn relu(&self, x: &Tensor, watch: &dyn Watch) -> Result<Tensor> {
        let column = |values: &[f32]| Tensor::from_slice(values, (values.len(), 1), &Device::Cpu);
        let normal = x.broadcast_mul(&column(&self.scale)?)?.broadcast_add(&column(&self.shift)?)?;
        activate(&normal, Activation::LeakyRelu(0.0), watch)
    }
}

/// A convolution without bias and the batch norm that follows it.
pub(super) fn folded(conv: &Scope<'_>, norm: &Scope<'_>, shape: ConvShape) -> Result<Conv1d> {
    let weight = conv.values("weight", &[shape.output, shape.input, shape.kernel])?;
    fold(weight, &BatchNorm::load(norm, shape.output)?, shape)
}

/// The same of values in the order `(output, input, kernel)`.
pub(super) fn fold(mut weight: Vec<f32>, norm: &BatchNorm, shape: ConvShape) -> Result<Conv1d> {
    for (row, scale) in weight.chunks_exact_mut(shape.input * shape.kernel).zip(&norm.scale) {
        for x in row {
            *x *= scale;
        }
    }
    let weight = Tensor::from_vec(weight, (shape.output, shape.input, shape.kernel), &Device::Cpu)?;
    let bias = Tensor::from_slice(&norm.shift, shape.output, &Device::Cpu)?;
    Conv1d::new(&weight, Some(bias), shape)
}
