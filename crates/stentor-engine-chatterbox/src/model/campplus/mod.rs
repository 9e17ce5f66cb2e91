//! CAMPPlus: a recording to the x-vector that the flow is conditioned on.
//!
//! A small two-dimensional ResNet over Kaldi's filter bank, then densely connected layers over time, each weighted by its
//! context (the mean over everything and over segments of a second), then mean and deviation over time. Every batch norm that
//! follows a product is folded into it.

mod dense;
mod head;
mod norm;

use super::shape::{refused, shape};
use crate::features::fbank;
use candle_core::{Device, Tensor};
use dense::DenseBlock;
use head::Head;
use norm::{BatchNorm, folded};
use stentor_nn::{Activation, Conv1d, ConvShape, Result, Scope, Watch, activate};

/// Dilations of the dense blocks, which no tensor's shape tells.
const DILATIONS: [usize; 3] = [1, 2, 2];
const RELU: Activation<'static> = Activation::LeakyRelu(0.0);

/// The tensors under `speaker_encoder.` of `s3gen.*`, on the CPU.
pub struct CamPPlus {
    head: Head,
    tdnn: Conv1d,
    blocks: Vec<(DenseBlock, Transit)>,
    last: BatchNorm,
    projection: Conv1d,
}

impl CamPPlus {
    /// `root` is the whole checkpoint.
    pub fn load(root: &Scope<'_>) -> Result<Self> {
        let scope = root.at("speaker_encoder");
        let xvector = scope.at("xvector");
        let [channels, input, kernel] = shape(&xvector, "tdnn.linear.weight")?;
        let conv = ConvShape { input, output: channels, kernel, stride: 2, padding: kernel / 2, dilation: 1 };
        let tdnn = folded(&xvector.at("tdnn.linear"), &xvector.at("tdnn.nonlinear.batchnorm"), conv)?;
        let mut width = channels;
        let mut blocks = Vec::with_capacity(DILATIONS.len());
        for (number, dilation) in (1..).zip(DILATIONS) {
            let block = DenseBlock::load(&xvector.at(format!("block{number}")), width, dilation)?;
            let transit = Transit::load(&xvector.at(format!("transit{number}")), block.output())?;
            width = transit.output;
            blocks.push((block, transit));
        }
        let last = BatchNorm::load(&xvector.at("out_nonlinear.batchnorm"), width)?;
        let [output, _, _] = shape(&xvector, "dense.linear.weight")?;
        let conv = ConvShape::same(2 * width, output, 1, 1);
        let projection = folded(&xvector.at("dense.linear"), &xvector.at("dense.nonlinear.batchnorm"), conv)?;
        Ok(Self { head: Head::load(&scope.at("head"))?, tdnn, blocks, last, projection })
    }

    /// 192 values for samples at 16 kHz.
    pub fn embed(&self, samples: &[f32], watch: &dyn Watch) -> Result<Vec<f32>> {
        let bank = fbank(samples)?;
        let bank = Tensor::from_slice(&bank.values, (bank.frames(), bank.bins), &Device::Cpu)?;
        watch.layer("camp.fbank", &bank);
        let x = self.head.forward(&bank.t()?.contiguous()?, watch)?;
        watch.layer("camp.head", &x);
        let mut x = activate(&self.tdnn.forward(&x, watch)?, RELU, watch)?;
        watch.layer("camp.tdnn", &x);
        for (number, (block, transit)) in (1..).zip(&self.blocks) {
            x = block.forward(x, watch)?;
            watch.layer(&format!("camp.block{number}"), &x);
            x = transit.forward(&x, watch)?;
            watch.layer(&format!("camp.transit{number}"), &x);
        }
        let statistics = statistics(&self.last.relu(&x, watch)?)?;
        watch.layer("camp.statistics", &statistics);
        Ok(self.projection.forward(&statistics, watch)?.flatten_all()?.to_vec1()?)
    }
}

/// Batch norm, ReLU and a product that halves the channels.
struct Transit {
    norm: BatchNorm,
    linear: Conv1d,
    output: usize,
}

impl Transit {
    fn load(scope: &Scope<'_>, input: usize) -> Result<Self> {
        let [output, _, _] = shape(scope, "linear.weight")?;
        let linear = Conv1d::load_without_bias(&scope.at("linear"), ConvShape::same(input, output, 1, 1))?;
        Ok(Self { norm: BatchNorm::load(&scope.at("nonlinear.batchnorm"), input)?, linear, output })
    }

    fn forward(&self, x: &Tensor, watch: &dyn Watch) -> Result<Tensor> {
        self.linear.forward(&self.norm.relu(x, watch)?, watch)
    }
}

/// Means over time of `(channels, time)`, then deviations, as if of a sample (divided by time - 1): `(2 * channels, 1)`.
fn statistics(x: &Tensor) -> Result<Tensor> {
    let (channels, time) = x.dims2()?;
    let values = x.flatten_all()?.to_vec1::<f32>()?;
    let mut out = vec![0.0; 2 * channels];
    for (channel, row) in values.chunks_exact(time).enumerate() {
        let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / time as f64;
        let squares: f64 = row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum();
        out[channel] = mean as f32;
        out[channels + channel] = (squares / (time as f64 - 1.0)).sqrt() as f32;
    }
    Ok(Tensor::from_vec(out, (2 * channels, 1), x.device())?)
}
