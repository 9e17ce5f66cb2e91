//! The waveform generator (iSTFTNet): upsampling with the excitation mixed in, then an inverse Fourier transform.

use super::{
    blocks::SnakeBlock,
    source::{Excitation, Source},
};
use crate::config::Config;
use candle_core::Tensor;
use stentor_nn::{
    Activation, Conv1d, ConvShape, ConvTranspose1d, Packing, Result, Scope, Stft, Watch, activate_packed,
    mean_of,
};
use stentor_types::Precision;

/// Dilations of the blocks that shape the excitation.
const NOISE_DILATIONS: [usize; 3] = [1, 3, 5];
const NOISE_KERNEL: usize = 7;
const LAST_NOISE_KERNEL: usize = 11;

#[derive(Debug, Clone)]
pub(super) struct Generator {
    source: Source,
    stft: Stft,
    stages: Vec<Stage>,
    post: Conv1d,
}

#[derive(Debug, Clone)]
struct Stage {
    index: usize,
    last: bool,
    rate: usize,
    noise_conv: Conv1d,
    noise_block: SnakeBlock,
    up: ConvTranspose1d,
    blocks: Vec<SnakeBlock>,
}

impl Generator {
    pub(super) fn load(scope: &Scope<'_>, config: &Config) -> Result<Self> {
        let istftnet = &config.istftnet;
        let stages = istftnet.upsample_rates.len();
        let channels = istftnet.upsample_initial_channel >> stages;
        let stft = Stft::new(istftnet.gen_istft_n_fft, istftnet.gen_istft_hop_size);
        let spectrum = 2 * stft.bins();
        Ok(Self {
            source: Source::load(
                &scope.at("m_source"),
                config.sample_rate,
                config.samples_per_pitch_frame(),
            )?,
            stages: (0..stages)
                .map(|index| Stage::load(scope, config, spectrum, index))
                .collect::<Result<_>>()?,
            post: Conv1d::load(
                &scope.at("conv_post").with_products(Precision::F32),
                ConvShape::same(channels, spectrum, 7, 1),
            )?,
            stft,
        })
    }

    /// The spectrum of the excitation for a pitch curve `(1, 2 * frames)`: magnitudes, then phases.
    pub(super) fn excite(
        &self,
        pitch: &Tensor,
        excitation: Excitation<'_>,
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        let values = pitch.flatten_all()?.to_vec1::<f32>()?;
        let signal = self.source.forward(&values, excitation, watch)?;
        Ok(self.stft.transform(&signal, watch)?.to_device(pitch.device())?)
    }

    /// How the input of each stage is packed, and the spectrum: `packing` is that of the features.
    pub(super) fn packings(&self, packing: &Packing) -> Vec<Packing> {
        let mut packings = vec![packing.clone()];
        for stage in &self.stages {
            // The spectrum has one column more.
            packings.push(packings[packings.len() - 1].stretched(stage.rate, usize::from(stage.last)));
        }
        packings
    }

    /// Packed features `(channels, 2 * frames)` to the packed spectrum of the samples, given that of the excitation, as
    /// [`Generator::excite`] gives it, and what [`Generator::packings`] gave.
    pub(super) fn forward(
        &self,
        features: &Tensor,
        excitation: &Tensor,
        (styles, packings): (&Tensor, &[Packing]),
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        let mut x = features.clone();
        for (stage, packings) in self.stages.iter().zip(packings.windows(2)) {
            x = activate_packed(&x, Activation::LeakyRelu(0.1), &packings[0], watch)?;
            x = stage.forward(x, excitation, (styles, &packings[1]), watch)?;
        }
        let x = activate_packed(&x, Activation::LeakyRelu(0.01), &packings[self.stages.len()], watch)?;
        let x = self.post.forward(&x, watch)?;
        watch.layer("decoder.generator.conv_post", &x);
        Ok(x)
    }

    /// The samples of each sequence of a packed spectrum.
    pub(super) fn samples(
        &self,
        spectrum: &Tensor,
        packing: &Packing,
        watch: &dyn Watch,
    ) -> Result<Vec<Vec<f32>>> {
        let inverse = |x: &Tensor| self.stft.inverse_of_log_magnitude_and_sine(x, f32::INFINITY, watch);
        packing.unpack(spectrum)?.iter().map(inverse).collect()
    }

    /// Frames between two sequences that no convolution of a stage sees across.
    pub(super) fn gap(&self) -> usize {
        let mut rate = 2;
        let gap = |stage: &Stage| {
            rate *= stage.rate;
            // One column more, as the last stage's sequences are longer by one.
            (stage.reach() + 1).div_ceil(rate)
        };
        self.stages.iter().map(gap).max().unwrap_or_default()
    }
}

impl Stage {
    fn load(scope: &Scope<'_>, config: &Config, spectrum: usize, index: usize) -> Result<Self> {
        let (istftnet, style) = (&config.istftnet, config.style_dim);
        let channels = istftnet.upsample_initial_channel >> (index + 1);
        let (rate, kernel) = (istftnet.upsample_rates[index], istftnet.upsample_kernel_sizes[index]);
        let last = index + 1 == istftnet.upsample_rates.len();
        let noise_kernel = if last { LAST_NOISE_KERNEL } else { NOISE_KERNEL };
        let noise_block = scope.at(format!("noise_res.{index}"));
        let count = istftnet.resblock_kernel_sizes.len();
        let sizes = istftnet.resblock_kernel_sizes.iter().zip(&istftnet.resblock_dilation_sizes).enumerate();
        let block = |(offset, (&kernel, dilations)): (usize, (&usize, &Vec<usize>))| {
            SnakeBlock::load(
                &scope.at(format!("resblocks.{}", index * count + offset)),
                channels,
                kernel,
                dilations,
                style,
            )
        };
        let up = scope.at(format!("ups.{index}"));
        Ok(Self {
            index,
            last,
            rate,
            noise_conv: Conv1d::load(
                &scope.at(format!("noise_convs.{index}")).with_products(Precision::F32),
                noise_shape(&istftnet.upsample_rates[index + 1..], spectrum, channels),
            )?,
            noise_block: SnakeBlock::load(&noise_block, channels, noise_kernel, &NOISE_DILATIONS, style)?,
            up: ConvTranspose1d::load(&up, [2 * channels, channels, kernel], rate, (kernel - rate) / 2)?,
            blocks: sizes.map(block).collect::<Result<_>>()?,
        })
    }

    /// Columns before or after its own that a column is computed from by one convolution, at most.
    fn reach(&self) -> usize {
        self.blocks.iter().chain([&self.noise_block]).map(SnakeBlock::reach).max().unwrap_or_default()
    }

    /// `x` is activated, and let go of as soon as it is upsampled; `styled` is how the output is packed.
    fn forward(
        &self,
        x: Tensor,
        excitation: &Tensor,
        styled: (&Tensor, &Packing),
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        let count = self.blocks.len();
        let mut outputs = Vec::with_capacity(count);
        // When the last block is given it, nobody else holds it, so it is free as soon as that has gone on.
        let inputs = vec![self.excited(x, excitation, styled, watch)?; count];
        for (offset, (block, x)) in self.blocks.iter().zip(inputs).enumerate() {
            let output = block.forward(x, styled, watch)?;
            watch.layer(&format!("decoder.generator.resblocks.{}", self.index * count + offset), &output);
            outputs.push(output);
        }
        mean_of(&outputs, watch)
    }

    /// The input at this stage's rate, and what the excitation adds to it.
    fn excited(
        &self,
        mut x: Tensor,
        excitation: &Tensor,
        styled: (&Tensor, &Packing),
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        let note = |part: &str, x: &Tensor| {
            watch.layer(&format!("decoder.generator.{part}.{}", self.index), x);
        };
        let noise = self.noise_conv.forward(excitation, watch)?;
        note("noise_convs", &noise);
        let noise = self.noise_block.forward(noise, styled, watch)?;
        note("noise_res", &noise);
        x = self.up.forward(&x, watch)?;
        note("ups", &x);
        if self.last {
            x = styled.1.reflect_left(&x)?;
        }
        Ok((x + noise)?)
    }
}

/// The convolution that brings the excitation's spectrum down to a stage's rate, given the upsampling that still follows.
fn noise_shape(following: &[usize], spectrum: usize, channels: usize) -> ConvShape {
    if following.is_empty() {
        return ConvShape::same(spectrum, channels, 1, 1);
    }
    let stride = following.iter().product::<usize>();
    let (kernel, padding) = (2 * stride, stride.div_ceil(2));
    ConvShape { input: spectrum, output: channels, kernel, stride, padding, dilation: 1 }
}
