//! The Llama of the English and multilingual models, as a list of blocks.

use super::{
    backbone::{Backbone, Block, Norm, count},
    table::dims,
};
use stentor_nn::{HEAD, KvShape, Linear, Result, RmsNorm, Rope, RopeScaling, Scope};

const EPS: f32 = 1e-5;
const THETA: f64 = 500_000.0;
const SCALING: RopeScaling =
    RopeScaling { factor: 8.0, low_frequency: 1.0, high_frequency: 4.0, original: 8192.0 };
/// Layers and heads that follow the text, in the published models.
const ALIGNED: [(usize, usize); 3] = [(12, 15), (13, 11), (9, 2)];

/// Reads the blocks under `scope`; `positions` is how long a sequence can be.
pub(super) fn load(scope: &Scope<'_>, width: usize, positions: usize) -> Result<Backbone> {
    let layers = count(scope, "layers", "input_layernorm.weight");
    let blocks = (0..layers)
        .map(|layer| block(&scope.at(format!("layers.{layer}")), width))
        .collect::<Result<Vec<_>>>()?;
    let heads = width / HEAD;
    Ok(Backbone {
        shape: KvShape { layers, heads, dtype: scope.dtype() },
        aligned: ALIGNED
            .iter()
            .all(|(layer, head)| *layer < layers && *head < heads)
            .then(|| ALIGNED.to_vec()),
        blocks,
        last: Norm::Rms(RmsNorm::load(&scope.at("norm"), width, EPS)?),
        rope: Some(Rope::new(THETA, SCALING, positions)),
        gated: true,
    })
}

fn block(scope: &Scope<'_>, width: usize) -> Result<Block> {
    let (attention, mlp) = (scope.at("self_attn"), scope.at("mlp"));
    let [inner, _] = dims(&mlp, "gate_proj.weight");
    Ok(Block {
        before_attention: Norm::Rms(RmsNorm::load(&scope.at("input_layernorm"), width, EPS)?),
        qkv: Linear::load_stacked(&attention, &["q_proj", "k_proj", "v_proj"], width, width)?,
        out: Linear::load_without_bias(&attention.at("o_proj"), width, width)?,
        before_mlp: Norm::Rms(RmsNorm::load(&scope.at("post_attention_layernorm"), width, EPS)?),
        up: Linear::load_stacked(&mlp, &["gate_proj", "up_proj"], width, inner)?,
        down: Linear::load_without_bias(&mlp.at("down_proj"), inner, width)?,
    })
}
