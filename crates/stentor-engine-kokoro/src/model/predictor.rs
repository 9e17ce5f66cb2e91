//! Prosody: how long each phoneme lasts, and the curves of pitch and energy.

use super::{
    Curves,
    blocks::{Styled, StyledBlock},
};
use crate::config::Config;
use candle_core::Tensor;
use stentor_nn::{AdaLayerNorm, BiLstm, Conv1d, ConvShape, Linear, Result, Scope, Watch};

#[derive(Debug, Clone)]
pub(super) struct Predictor {
    encoder: DurationEncoder,
    lstm: BiLstm,
    duration: Linear,
    shared: BiLstm,
    pitch: Curve,
    energy: Curve,
}

/// LSTMs with adaptive layer norms between them; the style is appended to each one's input and to the result.
#[derive(Debug, Clone)]
struct DurationEncoder {
    layers: Vec<(BiLstm, AdaLayerNorm)>,
}

/// One of the two curves, with two values for each frame.
#[derive(Debug, Clone)]
struct Curve {
    name: &'static str,
    blocks: [StyledBlock; 3],
    projection: Conv1d,
}

impl Predictor {
    pub(super) fn load(scope: &Scope<'_>, config: &Config) -> Result<Self> {
        let (hidden, style) = (config.hidden_dim, config.style_dim);
        let lstm = |name: &str| BiLstm::load(&scope.at(name), hidden + style, hidden / 2);
        Ok(Self {
            encoder: DurationEncoder::load(&scope.at("text_encoder"), config)?,
            lstm: lstm("lstm")?,
            duration: Linear::load(&scope.at("duration_proj.linear_layer"), hidden, config.max_dur)?,
            shared: lstm("shared")?,
            pitch: Curve::load(scope, "F0", config)?,
            energy: Curve::load(scope, "N", config)?,
        })
    }

    /// `(tokens, hidden)` to `(tokens, hidden + style)`, sequence after sequence, whose lengths are `lens`. Row i of `styles` is that
    /// of sequence i.
    pub(super) fn encode(
        &self,
        x: &Tensor,
        styles: &Tensor,
        lens: &[usize],
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        let encoded = self.encoder.forward(x, styles, lens, watch)?;
        watch.layer("predictor.text_encoder", &encoded);
        Ok(encoded)
    }

    /// Frames of each token of each sequence, at least one, from what [`Predictor::encode`] gave, for a length and a speed of each.
    pub(super) fn durations(
        &self,
        encoded: &Tensor,
        (lens, speeds): (&[usize], &[f32]),
        watch: &dyn Watch,
    ) -> Result<Vec<Vec<usize>>> {
        let x = self.lstm.forward(encoded, lens, watch)?;
        watch.layer("predictor.lstm", &x);
        let logits = self.duration.forward(&x, watch)?;
        watch.layer("predictor.duration_proj", &logits);
        let logits = logits.to_vec2::<f32>()?;
        let mut rows = logits.iter();
        let each = lens.iter().zip(speeds);
        Ok(each
            .map(|(&len, &speed)| rows.by_ref().take(len).map(|row| frames(row, speed)).collect())
            .collect())
    }

    /// Pitch and energy, packed, from the encoding stretched to `(frames, hidden + style)`, sequence after sequence, whose lengths
    /// are `frames`.
    pub(super) fn curves(
        &self,
        stretched: &Tensor,
        frames: &[usize],
        styled: Styled<'_>,
        watch: &dyn Watch,
    ) -> Result<Curves> {
        let x = self.shared.forward(stretched, frames, watch)?;
        watch.layer("predictor.shared", &x);
        let x = styled.packing.columns_of_rows(&x)?;
        Ok(Curves {
            pitch: self.pitch.forward(&x, styled, watch)?,
            energy: self.energy.forward(&x, styled, watch)?,
        })
    }
}

/// The duration that a row of logits stands for: each is the chance that the token lasts one frame more.
fn frames(logits: &[f32], speed: f32) -> usize {
    let expected: f32 = logits.iter().map(|x| 1.0 / (1.0 + (-x).exp())).sum();
    (expected / speed).round_ties_even().max(1.0) as usize
}

impl DurationEncoder {
    fn load(scope: &Scope<'_>, config: &Config) -> Result<Self> {
        let (hidden, style) = (config.hidden_dim, config.style_dim);
        let layer = |index: usize| -> Result<_> {
            let lstm = BiLstm::load(&scope.at(format!("lstms.{}", 2 * index)), hidden + style, hidden / 2)?;
            let norm = AdaLayerNorm::load(&scope.at(format!("lstms.{}", 2 * index + 1)), style, hidden)?;
            Ok((lstm, norm))
        };
        Ok(Self { layers: (0..config.n_layer).map(layer).collect::<Result<_>>()? })
    }

    fn forward(&self, x: &Tensor, styles: &Tensor, lens: &[usize], watch: &dyn Watch) -> Result<Tensor> {
        let rows: Vec<u32> = lens
            .iter()
            .enumerate()
            .flat_map(|(index, &len)| std::iter::repeat_n(index as u32, len))
            .collect();
        let rows = styles.index_select(&Tensor::new(rows, styles.device())?, 0)?;
        let with_style = |x: &Tensor| Tensor::cat(&[x, &rows], 1);
        let mut x = with_style(x)?;
        for (index, (lstm, norm)) in self.layers.iter().enumerate() {
            let normal = norm.forward(&lstm.forward(&x, lens, watch)?, styles, lens, watch)?;
            watch.layer(&format!("predictor.text_encoder.lstms.{}", 2 * index + 1), &normal);
            x = with_style(&normal)?;
        }
        Ok(x)
    }
}

impl Curve {
    fn load(scope: &Scope<'_>, name: &'static str, config: &Config) -> Result<Self> {
        let (wide, narrow, style) = (config.hidden_dim, config.hidden_dim / 2, config.style_dim);
        let block = |index: usize, widths, upsample| {
            StyledBlock::load(&scope.at(format!("{name}.{index}")), widths, style, (upsample, false))
        };
        Ok(Self {
            name,
            blocks: [
                block(0, [wide, wide], false)?,
                block(1, [wide, narrow], true)?,
                block(2, [narrow, narrow], false)?,
            ],
            projection: Conv1d::load(&scope.at(format!("{name}_proj")), ConvShape::same(narrow, 1, 1, 1))?,
        })
    }

    fn forward(&self, x: &Tensor, styled: Styled<'_>, watch: &dyn Watch) -> Result<Tensor> {
        let (mut x, mut styled) = (x.clone(), styled);
        for (index, block) in self.blocks.iter().enumerate() {
            (x, styled) = block.forward(&x, styled, watch)?;
            watch.layer(&format!("predictor.{}.{index}", self.name), &x);
        }
        let curve = self.projection.forward(&x, watch)?;
        watch.layer(&format!("predictor.{}_proj", self.name), &curve);
        Ok(curve)
    }
}

#[cfg(test)]
mod tests {
    use super::frames;

    #[test]
    fn ties_round_to_even_after_the_speed_and_nothing_is_shorter_than_a_frame() {
        // A logit of zero counts half a frame, one of 100 a whole frame, one of -100 none.
        assert_eq!(frames(&[100.0, 100.0, 0.0], 1.0), 2);
        assert_eq!(frames(&[100.0, 100.0, 100.0, 0.0], 1.0), 4);
        assert_eq!(frames(&[100.0; 5], 2.0), 2);
        assert_eq!(frames(&[100.0; 7], 2.0), 4);
        assert_eq!(frames(&[-100.0; 50], 1.0), 1);
        assert_eq!(frames(&[0.0], 4.0), 1);
    }
}
