//! From stretched phonemes, pitch and energy to the generator's input, at two columns for each frame.

use super::{
    Curves,
    blocks::{Styled, StyledBlock},
};
use crate::config::Config;
use candle_core::Tensor;
use stentor_nn::{Conv1d, ConvShape, Result, Scope, Watch};

#[derive(Debug, Clone)]
pub(super) struct Decoder {
    pitch: Conv1d,
    energy: Conv1d,
    residual: Conv1d,
    encode: StyledBlock,
    decode: Vec<StyledBlock>,
}

impl Decoder {
    pub(super) fn load(scope: &Scope<'_>, config: &Config) -> Result<Self> {
        let (hidden, width, residual) = (config.hidden_dim, config.decoder_dim, config.asr_res_dim);
        let (style, last) = (config.style_dim, config.istftnet.upsample_initial_channel);
        let halve = ConvShape { input: 1, output: 1, kernel: 3, stride: 2, padding: 1, dilation: 1 };
        let input = width + residual + 2;
        let decode = |(index, (output, upsample)): (usize, (usize, bool))| {
            StyledBlock::load(&scope.at(format!("decode.{index}")), [input, output], style, (upsample, true))
        };
        let outputs = [(width, false), (width, false), (width, false), (last, true)];
        Ok(Self {
            pitch: Conv1d::load(&scope.at("F0_conv"), halve)?,
            energy: Conv1d::load(&scope.at("N_conv"), halve)?,
            residual: Conv1d::load(&scope.at("asr_res.0"), ConvShape::same(hidden, residual, 1, 1))?,
            encode: StyledBlock::load(&scope.at("encode"), [hidden + 2, width], style, (false, true))?,
            decode: outputs.into_iter().enumerate().map(decode).collect::<Result<_>>()?,
        })
    }

    /// Frames before or after its own that a frame is computed from by one convolution, at most.
    pub(super) fn reach(&self) -> usize {
        self.decode.iter().chain([&self.encode]).map(StyledBlock::reach).max().unwrap_or_default()
    }

    /// Text `(hidden, frames)` and the curves to `(channels, 2 * frames)`, all packed.
    pub(super) fn forward(
        &self,
        text: &Tensor,
        curves: &Curves,
        styled: Styled<'_>,
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        let pitch = self.pitch.forward(&curves.pitch, watch)?;
        let energy = self.energy.forward(&curves.energy, watch)?;
        watch.layer("decoder.F0_conv", &pitch);
        watch.layer("decoder.N_conv", &energy);
        let input = Tensor::cat(&[text, &pitch, &energy], 0)?;
        let (mut x, _) = self.encode.forward(&input, styled, watch)?;
        watch.layer("decoder.encode", &x);
        let residual = self.residual.forward(text, watch)?;
        watch.layer("decoder.asr_res", &residual);
        for (index, block) in self.decode.iter().enumerate() {
            let input = Tensor::cat(&[&x, &residual, &pitch, &energy], 0)?;
            (x, _) = block.forward(&input, styled, watch)?;
            watch.layer(&format!("decoder.decode.{index}"), &x);
        }
        Ok(x)
    }
}
