//! The estimator: which way a mixture of noise and speech has to go at a moment between them, given what it should become.
//!
//! A U-Net in name: nothing is sampled down, only the first block's output joins the last one's input. Nearly all of the time
//! that speech takes is spent here.

use super::{blocks, dims};
use candle_core::Tensor;
use stentor_nn::{
    Activation, LayerNorm, NnError, Packing, Result, RowConv, RowShape, Scope, Then, Watch, activate,
    packed_attention,
};
use stentor_types::Precision;

const EPS: f32 = 1e-5;
/// Width of an attention head.
const HEAD: usize = 64;
/// Moments run from 0 to 1; their waves were made for steps of a thousand.
const MOMENTS: f32 = 1000.0;
/// The slowest wave of a moment is this many times slower than the fastest.
const SLOWEST: f32 = 10_000.0;
/// What a norm's two tensors are called.
const NORM: [&str; 2] = ["weight", "bias"];

/// The columns that stand beside a mixture in the estimator's input, `(time, 3 * mels)`: what the encoder says, the speaker, and
/// frames that are known. `mu` and `known` are `(time, mels)`, `speaker` is `(1, mels)`.
pub(super) fn columns(mu: &Tensor, speaker: &Tensor, known: &Tensor) -> Result<Tensor> {
    let speaker = speaker.broadcast_as(mu.shape())?.contiguous()?;
    Ok(Tensor::cat(&[mu, &speaker, known], 1)?)
}

/// What speech is wanted, of one sequence or of several that lie side by side.
pub(super) struct Condition {
    columns: Tensor,
    packing: Packing,
    /// Sequences whose layers are shown, and how they are called.
    names: Vec<(usize, &'static str)>,
}

impl Condition {
    /// One sequence for each of the [`columns`]; layers of the first are shown.
    pub(super) fn new(columns: &[Tensor], gap: usize) -> Result<Self> {
        let lens = columns.iter().map(|columns| Ok(columns.dims2()?.0)).collect::<Result<Vec<_>>>()?;
        let packing = Packing::new(&lens, gap, columns[0].device());
        Ok(Self { columns: packing.pack_rows(columns)?, packing, names: vec![(0, "cond")] })
    }

    /// And behind these as many sequences of any speech at all.
    pub(super) fn with_unconditional(columns: &[Tensor], gap: usize) -> Result<Self> {
        let any = columns.iter().map(|columns| Ok(columns.zeros_like()?)).collect::<Result<Vec<_>>>()?;
        let names = vec![(0, "cond"), (columns.len(), "uncond")];
        Ok(Self { names, ..Self::new(&[columns, &any].concat(), gap)? })
    }

    /// Any speech at all.
    pub(super) fn unconditional(&self) -> Result<Self> {
        let (columns, packing) = (self.columns.zeros_like()?, self.packing.clone());
        Ok(Self { columns, packing, names: vec![(0, "uncond")] })
    }

    /// How the sequences lie in a mixture.
    pub(super) fn packing(&self) -> &Packing {
        &self.packing
    }

    /// Shows a layer's output, rows of each sequence or one for all.
    fn show(&self, layer: &str, x: &Tensor, watch: &dyn Watch) -> Result<()> {
        let of_all = x.dims2()?.0 != self.packing.count() * self.packing.pitch();
        for (index, name) in &self.names {
            let name = format!("flow.{name}.{layer}");
            if of_all {
                watch.layer(&name, x);
            } else {
                let (first, len) = (index * self.packing.pitch(), self.packing.lens()[*index]);
                watch.layer(&name, &x.narrow(0, first, len)?);
            }
        }
        Ok(())
    }
}

pub(super) struct Estimator {
    time: Time,
    heard: Heard,
    down: Stage,
    down_conv: RowConv,
    middle: Vec<Stage>,
    up: Stage,
    up_conv: RowConv,
    last: Causal,
    output: RowConv,
}

impl Estimator {
    pub(super) fn load(scope: &Scope<'_>, mels: usize) -> Result<Self> {
        let conv = |scope: Scope<'_>| {
            let [output, input, kernel] = dims(&scope, "weight")?;
            RowConv::load(&scope, RowShape::causal(input, output, kernel))
        };
        let middle = blocks(scope, |index| format!("mid_blocks.{index}.0.res_conv.weight"));
        let [_, width, _] = dims(scope, "final_proj.weight")?;
        let exact = scope.with_products(Precision::F32);
        Ok(Self {
            time: Time::load(&exact)?,
            heard: Heard::load(&exact, middle)?,
            down: Stage::load(&scope.at("down_blocks.0"))?,
            down_conv: conv(scope.at("down_blocks.0.2"))?,
            middle: (0..middle)
                .map(|index| Stage::load(&scope.at("mid_blocks").at(index)))
                .collect::<Result<_>>()?,
            up: Stage::load(&scope.at("up_blocks.0"))?,
            up_conv: conv(scope.at("up_blocks.0.2"))?,
            last: Causal::load(&scope.at("final_block.block"))?,
            output: RowConv::load(&exact.at("final_proj"), RowShape::causal(width, mels, 1))?,
        })
    }

    pub(super) fn is_meanflow(&self) -> bool {
        self.time.mixer.is_some()
    }

    /// Rows between two sequences that no convolution sees across.
    pub(super) fn gap(&self) -> usize {
        let stages = [&self.down, &self.up].into_iter().chain(&self.middle);
        let inner = stages.flat_map(|stage| [&stage.resnet.first.conv, &stage.resnet.second.conv]);
        let outer = [&self.down_conv, &self.up_conv, &self.last.conv];
        inner.chain(outer).map(RowConv::reach).max().unwrap_or_default()
    }

    /// The velocity of `x`, `(time, mels)`, at the moment `span.0`; of a mean flow, the mean until `span.1`.
    pub(super) fn velocity(
        &self,
        x: &Tensor,
        condition: &Condition,
        span: (f32, f32),
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        let layer = |name: &str, x: &Tensor| condition.show(name, x, watch);
        let packing = &condition.packing;
        let time = self.time.forward(span, x, watch)?;
        layer("time", &time)?;
        let heard = self.heard.forward(&time, watch)?;
        let x = Tensor::cat(&[x, &condition.columns], 1)?;
        let x = self.down.resnet.forward(&x, (&heard[0], packing), watch)?;
        layer("resnet", &x)?;
        let skipped = self.down.transform(x, packing, watch)?;
        layer("down", &skipped)?;
        let mut x = self.down_conv.forward(&packing.clear_row_gaps(&skipped)?, Then::Nothing, watch)?;
        for (index, stage) in self.middle.iter().enumerate() {
            x = stage.forward(&x, (&heard[1 + index], packing), watch)?;
            layer(&format!("mid.{index}"), &x)?;
        }
        let last = &heard[heard.len() - 1];
        let x = self.up.forward(&Tensor::cat(&[&x, &skipped], 1)?, (last, packing), watch)?;
        layer("up", &x)?;
        let x = self.up_conv.forward(&packing.clear_row_gaps(&x)?, Then::Nothing, watch)?;
        let x = self.last.forward(&packing.clear_row_gaps(&x)?, (None, packing), watch)?;
        layer("final", &x)?;
        let velocity = self.output.forward(&x, Then::Nothing, watch)?;
        layer("velocity", &velocity)?;
        Ok(velocity)
    }
}

/// A moment as a vector.
struct Time {
    waves: usize,
    first: RowConv,
    second: RowConv,
    /// Of a mean flow: two moments to one vector.
    mixer: Option<RowConv>,
}

impl Time {
    fn load(scope: &Scope<'_>) -> Result<Self> {
        let [width, input] = dims(scope, "time_mlp.linear_1.weight")?;
        let mixer = scope.shape("time_embed_mixer.weight").is_some();
        let mixer =
            mixer.then(|| RowConv::load_linear_without_bias(&scope.at("time_embed_mixer"), 2 * width, width));
        Ok(Self {
            waves: input / 2,
            first: RowConv::load_linear(&scope.at("time_mlp.linear_1"), input, width)?,
            second: RowConv::load_linear(&scope.at("time_mlp.linear_2"), width, width)?,
            mixer: mixer.transpose()?,
        })
    }

    /// `(1, width)`, on the device of `like`.
    fn forward(&self, (from, to): (f32, f32), like: &Tensor, watch: &dyn Watch) -> Result<Tensor> {
        let embed = |moment: f32| {
            let waves = Tensor::from_vec(self.wave(moment), (1, 2 * self.waves), like.device())?;
            let hidden = self.first.forward(&waves, Then::Activate(Activation::Silu), watch)?;
            self.second.forward(&hidden, Then::Nothing, watch)
        };
        match &self.mixer {
            None => embed(from),
            Some(mixer) => mixer.forward(&Tensor::cat(&[embed(from)?, embed(to)?], 1)?, Then::Nothing, watch),
        }
    }

    /// Sines, then cosines.
    fn wave(&self, moment: f32) -> Vec<f32> {
        let slowing = -SLOWEST.ln() / (self.waves as f32 - 1.0);
        let angle = |wave: usize| MOMENTS * moment * (wave as f32 * slowing).exp();
        let sines = (0..self.waves).map(|wave| angle(wave).sin());
        sines.chain((0..self.waves).map(|wave| angle(wave).cos())).collect()
    }
}

/// What the stages hear of a moment: a linear layer for each, all of one input, as one layer.
struct Heard {
    stages: usize,
    layers: RowConv,
}

impl Heard {
    /// `middle` stages lie between the first and the last.
    fn load(scope: &Scope<'_>, middle: usize) -> Result<Self> {
        let middle = (0..middle).map(|index| format!("mid_blocks.{index}.0.mlp.1"));
        let [first, last] = ["down_blocks", "up_blocks"].map(|name| [format!("{name}.0.0.mlp.1")]);
        let names: Vec<String> = first.into_iter().chain(middle).chain(last).collect();
        let [output, input] = dims(scope, &format!("{}.weight", names[0]))?;
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        let layers = RowConv::load_side_by_side(scope, &all, (input, output), true)?;
        Ok(Self { stages: names.len(), layers })
    }

    /// What each stage hears of a moment's vector, `(channels)`.
    fn forward(&self, time: &Tensor, watch: &dyn Watch) -> Result<Vec<Tensor>> {
        // Every stage begins with the same activation of it.
        let time = activate(time, Activation::Mish, watch)?;
        let all = self.layers.forward(&time, Then::Nothing, watch)?.flatten_all()?;
        Ok(all.chunk(self.stages, 0)?)
    }
}

/// A residual block that hears of the time, and transformer blocks.
struct Stage {
    resnet: Resnet,
    transformers: Vec<Transformer>,
}

impl Stage {
    fn load(scope: &Scope<'_>) -> Result<Self> {
        let transformers = blocks(scope, |index| format!("1.{index}.norm1.weight"));
        Ok(Self {
            resnet: Resnet::load(&scope.at(0))?,
            transformers: (0..transformers)
                .map(|index| Transformer::load(&scope.at(1).at(index)))
                .collect::<Result<_>>()?,
        })
    }

    fn forward(&self, x: &Tensor, among: (&Tensor, &Packing), watch: &dyn Watch) -> Result<Tensor> {
        self.transform(self.resnet.forward(x, among, watch)?, among.1, watch)
    }

    fn transform(&self, mut x: Tensor, packing: &Packing, watch: &dyn Watch) -> Result<Tensor> {
        let Some(first) = self.transformers.first() else { return Ok(x) };
        let mut normal = first.norm_attention.forward(&x, watch)?;
        let nexts = self.transformers.iter().skip(1).map(|block| Some(&block.norm_attention));
        for (block, next) in self.transformers.iter().zip(nexts.chain([None])) {
            (x, normal) = block.forward((&x, &normal), next, packing, watch)?;
        }
        Ok(x)
    }
}

/// A causal convolution, a norm over channels, Mish.
struct Causal {
    conv: RowConv,
    norm: LayerNorm,
}

impl Causal {
    fn load(scope: &Scope<'_>) -> Result<Self> {
        let [output, input, kernel] = dims(scope, "0.weight")?;
        Ok(Self {
            conv: RowConv::load(&scope.at(0), RowShape::causal(input, output, kernel))?,
            norm: LayerNorm::load(&scope.at(2), NORM, output, EPS)?,
        })
    }

    /// An offset is added at the end; between sequences come zeros.
    fn forward(&self, x: &Tensor, among: (Option<&Tensor>, &Packing), watch: &dyn Watch) -> Result<Tensor> {
        let x = self.conv.forward(x, Then::Nothing, watch)?;
        self.norm.forward_activate(&x, Activation::Mish, among, watch)
    }
}

struct Resnet {
    first: Causal,
    second: Causal,
    skip: RowConv,
}

impl Resnet {
    fn load(scope: &Scope<'_>) -> Result<Self> {
        let [output, input, kernel] = dims(scope, "res_conv.weight")?;
        Ok(Self {
            first: Causal::load(&scope.at("block1.block"))?,
            second: Causal::load(&scope.at("block2.block"))?,
            skip: RowConv::load(&scope.at("res_conv"), RowShape::causal(input, output, kernel))?,
        })
    }

    fn forward(
        &self,
        x: &Tensor,
        (heard, packing): (&Tensor, &Packing),
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        let x = packing.clear_row_gaps(x)?;
        let inner = self.first.forward(&x, (Some(heard), packing), watch)?;
        let inner = self.second.forward(&inner, (None, packing), watch)?;
        self.skip.forward(&x, Then::Add(&inner), watch)
    }
}

struct Transformer {
    norm_attention: LayerNorm,
    heads: usize,
    /// Queries, keys and values side by side.
    inputs: RowConv,
    output: RowConv,
    norm_feed_forward: LayerNorm,
    wide: RowConv,
    narrow: RowConv,
}

impl Transformer {
    fn load(scope: &Scope<'_>) -> Result<Self> {
        let [hidden, width] = dims(scope, "attn1.to_q.weight")?;
        let [inner, _] = dims(scope, "ff.net.0.proj.weight")?;
        let norm = |name: &str| {
            Ok::<_, NnError>(LayerNorm::load(&scope.at(name), NORM, width, EPS)?.for_products(scope))
        };
        let inputs = ["to_q", "to_k", "to_v"];
        let inputs =
            RowConv::load_side_by_side(&scope.at("attn1"), &inputs, (width, hidden), false)?.for_products();
        Ok(Self {
            norm_attention: norm("norm1")?,
            heads: hidden / HEAD,
            inputs,
            output: RowConv::load_linear(&scope.at("attn1.to_out.0"), hidden, width)?,
            norm_feed_forward: norm("norm3")?,
            wide: RowConv::load_linear(&scope.at("ff.net.0.proj"), width, inner)?.for_products(),
            narrow: RowConv::load_linear(&scope.at("ff.net.2"), inner, width)?,
        })
    }

    /// Takes `x` and its norm; gives the block's output and what the `next` one's norm makes of it.
    fn forward(
        &self,
        (x, normal): (&Tensor, &Tensor),
        next: Option<&LayerNorm>,
        packing: &Packing,
        watch: &dyn Watch,
    ) -> Result<(Tensor, Tensor)> {
        let qkv = self.inputs.forward(normal, Then::Nothing, watch)?;
        let seen = packed_attention(&qkv, self.heads, packing, watch)?;
        let (x, normal) = self.output.forward_add_norm(&seen, x, &self.norm_feed_forward, watch)?;
        let wide = self.wide.forward(&normal, Then::Activate(Activation::GeluErf), watch)?;
        match next {
            Some(norm) => self.narrow.forward_add_norm(&wide, &x, norm, watch),
            None => Ok((self.narrow.forward(&wide, Then::Add(&x), watch)?, normal)),
        }
    }
}
