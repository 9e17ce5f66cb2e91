//! The GPT-2 of Turbo and Nano, as a list of blocks. Its linear layers are stored as `(input, output)`.

use super::{
    backbone::{Backbone, Block, Norm, count},
    table::dims,
};
use stentor_nn::{HEAD, KvShape, LayerNorm, Linear, Result, Scope};

const EPS: f32 = 1e-5;

/// Reads the blocks under `scope`.
pub(super) fn load(scope: &Scope<'_>, width: usize) -> Result<Backbone> {
    let layers = count(scope, "h", "ln_1.weight");
    let blocks =
        (0..layers).map(|layer| block(&scope.at(format!("h.{layer}")), width)).collect::<Result<Vec<_>>>()?;
    Ok(Backbone {
        shape: KvShape { layers, heads: width / HEAD, dtype: scope.dtype() },
        // Which heads of these follow the text is not published.
        aligned: None,
        blocks,
        last: norm(scope, "ln_f", width)?,
        rope: None,
        gated: false,
    })
}

fn norm(scope: &Scope<'_>, name: &str, width: usize) -> Result<Norm> {
    Ok(Norm::Layer(LayerNorm::load(&scope.at(name), ["weight", "bias"], width, EPS)?))
}

fn block(scope: &Scope<'_>, width: usize) -> Result<Block> {
    let (attention, mlp) = (scope.at("attn"), scope.at("mlp"));
    let [_, inner] = dims(&mlp, "c_fc.weight");
    Ok(Block {
        before_attention: norm(scope, "ln_1", width)?,
        qkv: Linear::load_transposed(&attention.at("c_attn"), width, 3 * width)?,
        out: Linear::load_transposed(&attention.at("c_proj"), width, width)?,
        before_mlp: norm(scope, "ln_2", width)?,
        up: Linear::load_transposed(&mlp.at("c_fc"), width, inner)?,
        down: Linear::load_transposed(&mlp.at("c_proj"), inner, width)?,
    })
}
