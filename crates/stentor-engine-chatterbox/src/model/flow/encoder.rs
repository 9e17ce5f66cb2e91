//! The conformer encoder: token embeddings to twice as many frames. Its blocks have no convolution; what makes it one are relative
//! positions, a look ahead over three tokens before the first blocks, and the convolution that fills in between tokens.

use super::{blocks, dims};
use candle_core::{Device, Tensor};
use stentor_nn::{
    Activation, LayerNorm, NnError, Packing, RelativePositions, Result, RowConv, RowShape, Scope, Then,
    Watch, relative_attention, repeat_rows_twice,
};

/// Of the norms inside of blocks.
const BLOCK_EPS: f32 = 1e-12;
/// Of all others.
const EPS: f32 = 1e-5;
const LOOKAHEAD_SLOPE: f32 = 0.01;
/// The slowest wave of the positions is this many times slower than the fastest.
const SLOWEST: f32 = 10_000.0;
/// What a norm's two tensors are called.
const NORM: [&str; 2] = ["weight", "bias"];

pub(super) struct Encoder {
    embed: Embed,
    ahead: RowConv,
    behind: RowConv,
    lookahead: usize,
    blocks: Vec<Block>,
    fill_in: RowConv,
    up_embed: Embed,
    up_blocks: Vec<Block>,
    norm: LayerNorm,
}

impl Encoder {
    pub(super) fn load(scope: &Scope<'_>, width: usize) -> Result<Self> {
        let kernel = |name: &str| dims(scope, &format!("{name}.weight")).map(|[_, _, kernel]| kernel);
        let conv = |name: &str, shape: fn(usize, usize, usize) -> RowShape| {
            RowConv::load(&scope.at(name), shape(width, width, kernel(name)?))
        };
        let all = |name: &str| {
            let count = blocks(scope, |index| format!("{name}.{index}.norm_mha.weight"));
            (0..count).map(|index| Block::load(&scope.at(name).at(index), width)).collect::<Result<Vec<_>>>()
        };
        Ok(Self {
            embed: Embed::load(&scope.at("embed.out"), width)?,
            ahead: conv("pre_lookahead_layer.conv1", RowShape::looking_ahead)?,
            behind: conv("pre_lookahead_layer.conv2", RowShape::causal)?,
            lookahead: kernel("pre_lookahead_layer.conv1")?.saturating_sub(1),
            blocks: all("encoders")?,
            fill_in: conv("up_layer.conv", RowShape::causal)?,
            up_embed: Embed::load(&scope.at("up_embed.out"), width)?,
            up_blocks: all("up_encoders")?,
            norm: LayerNorm::load(&scope.at("after_norm"), NORM, width, EPS)?,
        })
    }

    pub(super) fn lookahead(&self) -> usize {
        self.lookahead
    }

    /// Rows between two sequences of tokens that no convolution sees across.
    pub(super) fn gap(&self) -> usize {
        // The last one sees rows of which there are twice as many.
        self.ahead.reach().max(self.behind.reach()).max(self.fill_in.reach().div_ceil(2))
    }

    /// `(tokens, width)` to `(2 * tokens, width)`, and how the sequences lie there.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        packing: &Packing,
        watch: &dyn Watch,
    ) -> Result<(Tensor, Packing)> {
        let embedded = packing.clear_row_gaps(&self.embed.forward(x, watch)?)?;
        let leaky = Then::Activate(Activation::LeakyRelu(LOOKAHEAD_SLOPE));
        let ahead = packing.clear_row_gaps(&self.ahead.forward(&embedded, leaky, watch)?)?;
        let x = self.behind.forward(&ahead, Then::Add(&embedded), watch)?;
        watch.layer("flow.lookahead", &x);
        let x = through(&self.blocks, x, ("flow.encoder", packing), watch)?;
        let (x, packing) = (repeat_rows_twice(&packing.clear_row_gaps(&x)?, watch)?, packing.stretched(2, 0));
        let x = self.fill_in.forward(&x, Then::Nothing, watch)?;
        watch.layer("flow.upsampled", &x);
        let x = self.up_embed.forward(&x, watch)?;
        let x = through(&self.up_blocks, x, ("flow.up_encoder", &packing), watch)?;
        Ok((self.norm.forward(&x, watch)?, packing))
    }
}

/// `x` through all of the blocks.
fn through(
    blocks: &[Block],
    mut x: Tensor,
    (name, packing): (&str, &Packing),
    watch: &dyn Watch,
) -> Result<Tensor> {
    let distances = distances(packing.pitch(), x.dims2()?.1, x.device())?;
    for (index, block) in blocks.iter().enumerate() {
        x = block.forward(&x, (&distances, packing), watch)?;
        watch.layer(&format!("{name}.{index}"), &x);
    }
    Ok(x)
}

/// Sines (even columns) and cosines of the distances `len - 1` to `1 - len`: `(2 * len - 1, width)`.
fn distances(len: usize, width: usize, device: &Device) -> Result<Tensor> {
    let slowing = -SLOWEST.ln() / width as f32;
    let speeds: Vec<f32> = (0..width).step_by(2).map(|column| (column as f32 * slowing).exp()).collect();
    let mut table = vec![0.0; (2 * len - 1) * width];
    for distance in 0..len {
        for (pair, speed) in speeds.iter().enumerate() {
            let (sin, cos) = (distance as f32 * speed).sin_cos();
            for (row, sin) in [(len - 1 - distance, sin), (len - 1 + distance, -sin)] {
                table[row * width + 2 * pair] = sin;
                table[row * width + 2 * pair + 1] = cos;
            }
        }
    }
    Ok(Tensor::from_vec(table, (2 * len - 1, width), device)?)
}

/// A linear layer, a norm, and the scale that positions are meant for.
struct Embed {
    linear: RowConv,
    norm: LayerNorm,
    scale: f64,
}

impl Embed {
    fn load(scope: &Scope<'_>, width: usize) -> Result<Self> {
        Ok(Self {
            linear: RowConv::load_linear(&scope.at(0), width, width)?,
            norm: LayerNorm::load(&scope.at(1), NORM, width, EPS)?,
            scale: (width as f64).sqrt(),
        })
    }

    fn forward(&self, x: &Tensor, watch: &dyn Watch) -> Result<Tensor> {
        Ok((self.norm.forward(&self.linear.forward(x, Then::Nothing, watch)?, watch)? * self.scale)?)
    }
}

struct Block {
    norm_attention: LayerNorm,
    attention: Attention,
    norm_feed_forward: LayerNorm,
    wide: RowConv,
    narrow: RowConv,
}

impl Block {
    fn load(scope: &Scope<'_>, width: usize) -> Result<Self> {
        let norm = |name: &str| {
            Ok::<_, NnError>(LayerNorm::load(&scope.at(name), NORM, width, BLOCK_EPS)?.for_products(scope))
        };
        let [inner, _] = dims(scope, "feed_forward.w_1.weight")?;
        Ok(Self {
            norm_attention: norm("norm_mha")?,
            attention: Attention::load(&scope.at("self_attn"), width)?,
            norm_feed_forward: norm("norm_ff")?,
            wide: RowConv::load_linear(&scope.at("feed_forward.w_1"), width, inner)?.for_products(),
            narrow: RowConv::load_linear(&scope.at("feed_forward.w_2"), inner, width)?,
        })
    }

    fn forward(&self, x: &Tensor, among: (&Tensor, &Packing), watch: &dyn Watch) -> Result<Tensor> {
        let normal = self.norm_attention.forward(x, watch)?;
        let x = self.attention.forward_add(&normal, among, x, watch)?;
        let normal = self.norm_feed_forward.forward(&x, watch)?;
        let wide = self.wide.forward(&normal, Then::Activate(Activation::Silu), watch)?;
        self.narrow.forward(&wide, Then::Add(&x), watch)
    }
}

struct Attention {
    heads: usize,
    /// Queries, keys and values side by side.
    inputs: RowConv,
    distances: RowConv,
    key_bias: Tensor,
    distance_bias: Tensor,
    output: RowConv,
}

impl Attention {
    fn load(scope: &Scope<'_>, width: usize) -> Result<Self> {
        let [heads, of_head] = dims(scope, "pos_bias_u")?;
        let hidden = heads * of_head;
        let inputs = ["linear_q", "linear_k", "linear_v"];
        let bias = |name: &str| Ok::<_, NnError>(scope.tensor(name, &[heads, of_head])?.flatten_all()?);
        Ok(Self {
            heads,
            inputs: RowConv::load_side_by_side(scope, &inputs, (width, hidden), true)?,
            distances: RowConv::load_linear_without_bias(&scope.at("linear_pos"), width, hidden)?,
            key_bias: bias("pos_bias_u")?,
            distance_bias: bias("pos_bias_v")?,
            output: RowConv::load_linear(&scope.at("linear_out"), hidden, width)?,
        })
    }

    /// The attention of `x` plus `residual`.
    fn forward_add(
        &self,
        x: &Tensor,
        (distances, packing): (&Tensor, &Packing),
        residual: &Tensor,
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        let qkv = self.inputs.forward(x, Then::Nothing, watch)?;
        let distances = self.distances.forward(distances, Then::Nothing, watch)?;
        let positions = RelativePositions {
            distances: &distances,
            key_bias: &self.key_bias,
            distance_bias: &self.distance_bias,
        };
        let seen = relative_attention(&qkv, self.heads, (positions, packing), watch)?;
        self.output.forward(&seen, Then::Add(residual), watch)
    }
}
