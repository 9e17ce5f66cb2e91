//! Phonemes as the decoder sees them: convolutions over the phoneme sequence, then an LSTM.

use crate::config::Config;
use candle_core::Tensor;
use stentor_nn::{
    Activation, BiLstm, Conv1d, ConvShape, Embedding, LayerNorm, Packing, Result, Scope, Watch, activate,
};

const EPS: f32 = 1e-5;

#[derive(Debug, Clone)]
pub(super) struct TextEncoder {
    embedding: Embedding,
    layers: Vec<(Conv1d, LayerNorm)>,
    lstm: BiLstm,
    /// Columns that a convolution sees beyond an end.
    reach: usize,
}

impl TextEncoder {
    pub(super) fn load(scope: &Scope<'_>, config: &Config) -> Result<Self> {
        let (hidden, kernel) = (config.hidden_dim, config.text_encoder_kernel_size);
        let layer = |index: usize| -> Result<_> {
            let part = |name: &str| scope.at(format!("cnn.{index}.{name}"));
            let conv = Conv1d::load(&part("0"), ConvShape::same(hidden, hidden, kernel, 1))?;
            Ok((conv, LayerNorm::load(&part("1"), ["gamma", "beta"], hidden, EPS)?))
        };
        Ok(Self {
            embedding: Embedding::load(&scope.at("embedding"), config.n_token, hidden)?,
            layers: (0..config.n_layer).map(layer).collect::<Result<_>>()?,
            lstm: BiLstm::load(&scope.at("lstm"), hidden, hidden / 2)?,
            reach: kernel / 2,
        })
    }

    /// Ids `(tokens)` to `(tokens, hidden)`, sequence after sequence, whose lengths are `lens`.
    pub(super) fn forward(&self, ids: &Tensor, lens: &[usize], watch: &dyn Watch) -> Result<Tensor> {
        let packing = Packing::new(lens, self.reach, ids.device());
        let mut x = self.embedding.forward(ids)?;
        for (index, (conv, norm)) in self.layers.iter().enumerate() {
            let convolved = conv.forward(&packing.columns_of_rows(&x)?, watch)?;
            let normal = norm.forward(&packing.rows_of_columns(&convolved)?, watch)?;
            x = activate(&normal, Activation::LeakyRelu(0.2), watch)?;
            watch.layer(&format!("text_encoder.cnn.{index}"), &x.t()?);
        }
        let encoded = self.lstm.forward(&x, lens, watch)?;
        watch.layer("text_encoder", &encoded.t()?);
        Ok(encoded)
    }
}
