//! The phoneme language model: ALBERT, one transformer layer applied again and again, normalised after each half.

use crate::config::Config;
use candle_core::Tensor;
use stentor_nn::{
    Activation, Embedding, LayerNorm, Linear, Result, Scope, Watch, activate, self_attention_of_stretches,
};

const EPS: f32 = 1e-12;
const NORM: [&str; 2] = ["weight", "bias"];

#[derive(Debug, Clone)]
pub(super) struct Albert {
    words: Embedding,
    positions: Embedding,
    token_types: Embedding,
    norm: LayerNorm,
    into_hidden: Linear,
    layer: Layer,
    passes: usize,
}

#[derive(Debug, Clone)]
struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    dense: Linear,
    attention_norm: LayerNorm,
    widen: Linear,
    narrow: Linear,
    norm: LayerNorm,
    heads: usize,
}

impl Albert {
    pub(super) fn load(scope: &Scope<'_>, config: &Config) -> Result<Self> {
        let sizes = &config.plbert;
        let (width, hidden) = (sizes.embedding_size, sizes.hidden_size);
        let (embeddings, encoder) = (scope.at("embeddings"), scope.at("encoder"));
        let positions = sizes.max_position_embeddings;
        Ok(Self {
            words: Embedding::load(&embeddings.at("word_embeddings"), config.n_token, width)?,
            positions: Embedding::load(&embeddings.at("position_embeddings"), positions, width)?,
            token_types: Embedding::load(&embeddings.at("token_type_embeddings"), 2, width)?,
            norm: LayerNorm::load(&embeddings.at("LayerNorm"), NORM, width, EPS)?,
            into_hidden: Linear::load(&encoder.at("embedding_hidden_mapping_in"), width, hidden)?,
            layer: Layer::load(&encoder.at("albert_layer_groups.0.albert_layers.0"), config)?,
            passes: sizes.num_hidden_layers,
        })
    }

    /// Ids `(tokens)` to `(tokens, hidden)`, sequence after sequence, whose lengths are `lens`.
    pub(super) fn forward(&self, ids: &Tensor, lens: &[usize], watch: &dyn Watch) -> Result<Tensor> {
        let positions: Vec<u32> = lens.iter().flat_map(|&len| 0..len as u32).collect();
        let positions = self.positions.forward(&Tensor::new(positions, ids.device())?)?;
        let sum = (self.words.forward(ids)? + positions)?;
        let sum = sum.broadcast_add(&self.token_types.first(1)?)?;
        let embedded = self.norm.forward(&sum, watch)?;
        watch.layer("bert.embeddings", &embedded);
        let mut x = self.into_hidden.forward(&embedded, watch)?;
        watch.layer("bert.encoder.embedding_hidden_mapping_in", &x);
        for _ in 0..self.passes {
            x = self.layer.forward(&x, lens, watch)?;
        }
        watch.layer("bert", &x);
        Ok(x)
    }
}

impl Layer {
    fn load(scope: &Scope<'_>, config: &Config) -> Result<Self> {
        let (hidden, inner) = (config.plbert.hidden_size, config.plbert.intermediate_size);
        let attention = scope.at("attention");
        let square = |name: &str| Linear::load(&attention.at(name), hidden, hidden);
        Ok(Self {
            query: square("query")?,
            key: square("key")?,
            value: square("value")?,
            dense: square("dense")?,
            attention_norm: LayerNorm::load(&attention.at("LayerNorm"), NORM, hidden, EPS)?,
            widen: Linear::load(&scope.at("ffn"), hidden, inner)?,
            narrow: Linear::load(&scope.at("ffn_output"), inner, hidden)?,
            norm: LayerNorm::load(&scope.at("full_layer_layer_norm"), NORM, hidden, EPS)?,
            heads: config.plbert.num_attention_heads,
        })
    }

    fn forward(&self, x: &Tensor, lens: &[usize], watch: &dyn Watch) -> Result<Tensor> {
        let (query, key, value) =
            (self.query.forward(x, watch)?, self.key.forward(x, watch)?, self.value.forward(x, watch)?);
        let seen = self_attention_of_stretches([&query, &key, &value], self.heads, lens, watch)?;
        let x = self.attention_norm.forward(&(x + self.dense.forward(&seen, watch)?)?, watch)?;
        let inner = activate(&self.widen.forward(&x, watch)?, Activation::GeluTanh, watch)?;
        self.norm.forward(&(&x + self.narrow.forward(&inner, watch)?)?, watch)
    }
}
