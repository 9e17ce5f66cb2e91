//! Upsampling with the excitation mixed in at every stage, then an inverse Fourier transform.

use super::block::SnakeBlock;
use candle_core::Tensor;
use stentor_nn::{
    Activation, Conv1d, ConvShape, ConvTranspose1d, Packing, Result, Scope, Stft, Watch, activate,
    activate_packed, mean_of,
};
use stentor_types::Precision;

/// What the stages upsample by; the tensors do not tell.
pub(super) const RATES: [usize; 3] = [8, 5, 3];
pub(super) const HOP: usize = 4;
const KERNEL: usize = 7;
/// Blocks of each stage, whose mean goes on.
const BLOCKS: usize = 3;
/// Before each stage.
const SLOPE: f32 = 0.1;
/// Before the last convolution.
const LAST_SLOPE: f32 = 0.01;
const LARGEST_MAGNITUDE: f32 = 100.0;

#[derive(Debug, Clone)]
pub(super) struct Generator {
    pre: Conv1d,
    stages: Vec<Stage>,
    post: Conv1d,
    stft: Stft,
    /// Frames between two sequences that no convolution sees across.
    gap: usize,
}

#[derive(Debug, Clone)]
struct Stage {
    index: usize,
    up: ConvTranspose1d,
    source_down: Conv1d,
    source_block: SnakeBlock,
    blocks: Vec<SnakeBlock>,
}

impl Generator {
    /// Widths follow from the tensors. Layers that read the excitation or give the spectrum multiply in f32 whatever `scope` says.
    pub(super) fn load(scope: &Scope<'_>, mels: usize) -> Result<Self> {
        const USUAL_CHANNELS: usize = 512;
        const USUAL_SPECTRUM: usize = 18;
        let exact = scope.with_products(Precision::F32);
        let first = |name: &str, axis: usize| scope.shape(name).and_then(|shape| shape.get(axis).copied());
        let channels = first("conv_pre.weight_v", 0).unwrap_or(USUAL_CHANNELS);
        let spectrum = first("conv_post.weight_v", 0).unwrap_or(USUAL_SPECTRUM);
        let last = channels >> RATES.len();
        let stage = |index: usize| Stage::load((scope, &exact), channels >> (index + 1), spectrum, index);
        let stages = (0..RATES.len()).map(stage).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            pre: Conv1d::load(&scope.at("conv_pre"), ConvShape::same(mels, channels, KERNEL, 1))?,
            gap: stages.iter().map(Stage::gap).fold(KERNEL / 2, usize::max),
            stages,
            post: Conv1d::load(&exact.at("conv_post"), ConvShape::same(last, spectrum, KERNEL, 1))?,
            stft: Stft::new(spectrum - 2, HOP),
        })
    }

    /// The samples of each of several `(80, frames)`, of which `sources` have as many; each comes out as if it were alone.
    pub(super) fn forward(
        &self,
        mels: &[Tensor],
        sources: &[Vec<f32>],
        watch: &dyn Watch,
    ) -> Result<Vec<Vec<f32>>> {
        let lens = mels.iter().map(|mel| Ok(mel.dims2()?.1)).collect::<Result<Vec<_>>>()?;
        let mut packing = Packing::new(&lens, self.gap, mels[0].device());
        let excitation = self.excitation(sources, &packing, watch)?.to_device(mels[0].device())?;
        // Alone, what the strided ones read ends with that column; packed, it is within a sequence's room.
        let longer = if mels.len() > 1 { excitation.pad_with_zeros(1, 0, 1)? } else { excitation.clone() };
        let mut x = self.pre.forward(&packing.pack(mels)?.contiguous()?, watch)?;
        watch.layer("conv_pre", &x);
        for stage in &self.stages {
            let inner = packing.stretched(RATES[stage.index], usize::from(stage.is_last()));
            let excitation = if stage.is_last() { &excitation } else { &longer };
            x = packing.clear_gaps(&x)?;
            x = stage.forward(x, excitation, &inner, watch)?;
            packing = inner;
        }
        let x = activate_packed(&x, Activation::LeakyRelu(LAST_SLOPE), &packing, watch)?;
        let x = self.post.forward(&x, watch)?;
        watch.layer("conv_post", &x);
        let inverse = |x: &Tensor| self.stft.inverse_of_log_magnitude_and_sine(x, LARGEST_MAGNITUDE, watch);
        packing.unpack(&x)?.iter().map(inverse).collect()
    }

    /// The spectra of the sources, packed as the last stage's output is; `packing` is that of the frames.
    fn excitation(&self, sources: &[Vec<f32>], packing: &Packing, watch: &dyn Watch) -> Result<Tensor> {
        let spectrum = |source: &Vec<f32>| self.stft.transform_to_parts(source, watch);
        let spectra = sources.iter().map(spectrum).collect::<Result<Vec<_>>>()?;
        // A centred transform has one frame more than hops.
        packing.stretched(RATES.iter().product(), 1).pack(&spectra)
    }
}

impl Stage {
    /// `exact` is `scope` with products in f32; `channels` is what the stage gives.
    fn load(
        (scope, exact): (&Scope<'_>, &Scope<'_>),
        channels: usize,
        spectrum: usize,
        index: usize,
    ) -> Result<Self> {
        let (rate, up) = (RATES[index], scope.at(format!("ups.{index}")));
        let kernel = up.shape("weight_v").and_then(|shape| shape.last().copied()).unwrap_or(2 * rate);
        let down = source_shape(&RATES[index + 1..], spectrum, channels);
        let block = |offset: usize| {
            SnakeBlock::load(&scope.at(format!("resblocks.{}", index * BLOCKS + offset)), channels)
        };
        Ok(Self {
            index,
            up: ConvTranspose1d::load(&up, [2 * channels, channels, kernel], rate, (kernel - rate) / 2)?,
            source_down: Conv1d::load(&exact.at(format!("source_downs.{index}")), down)?,
            source_block: SnakeBlock::load(&scope.at(format!("source_resblocks.{index}")), channels)?,
            blocks: (0..BLOCKS).map(block).collect::<Result<_>>()?,
        })
    }

    fn is_last(&self) -> bool {
        self.index + 1 == RATES.len()
    }

    /// Frames between two sequences that no convolution of the stage sees across, nor its column more at the end.
    fn gap(&self) -> usize {
        let blocks = self.blocks.iter().chain([&self.source_block]);
        let reach = blocks.map(SnakeBlock::reach).max().unwrap_or_default();
        (reach + 1).div_ceil(RATES[..=self.index].iter().product())
    }

    /// `x` is let go of as soon as it is upsampled; `packing` is how the output is packed.
    fn forward(
        &self,
        x: Tensor,
        excitation: &Tensor,
        packing: &Packing,
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        let mut outputs = Vec::with_capacity(BLOCKS);
        // When the last block is given it, nobody else holds it, so it is free as soon as that has gone on.
        let inputs = vec![self.excited(x, excitation, packing, watch)?; BLOCKS];
        for (offset, (block, x)) in self.blocks.iter().zip(inputs).enumerate() {
            let output = block.forward(x, packing, watch)?;
            watch.layer(&format!("resblocks.{}", self.index * BLOCKS + offset), &output);
            outputs.push(output);
        }
        mean_of(&outputs, watch)
    }

    /// The input at this stage's rate, and what the excitation adds to it.
    fn excited(
        &self,
        mut x: Tensor,
        excitation: &Tensor,
        packing: &Packing,
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        let note = |part: &str, x: &Tensor| watch.layer(&format!("{part}.{}", self.index), x);
        x = activate(&x, Activation::LeakyRelu(SLOPE), watch)?;
        x = self.up.forward(&x, watch)?;
        note("ups", &x);
        if self.is_last() {
            // A centred transform of the source has one frame more than hops.
            x = packing.reflect_left(&x)?;
        }
        let source = self.source_down.forward(excitation, watch)?;
        note("source_downs", &source);
        let source = self.source_block.forward(source, packing, watch)?;
        note("source_resblocks", &source);
        Ok((x + source)?)
    }
}

/// The convolution that brings the source's spectrum down to a stage's rate, given the upsampling that still follows.
fn source_shape(following: &[usize], spectrum: usize, channels: usize) -> ConvShape {
    if following.is_empty() {
        return ConvShape::same(spectrum, channels, 1, 1);
    }
    let stride = following.iter().product::<usize>();
    let (kernel, padding) = (2 * stride, stride / 2);
    ConvShape { input: spectrum, output: channels, kernel, stride, padding, dilation: 1 }
}
