//! A transformer whose blocks normalise before they attend and before their feed-forward part.
//!
//! It runs in two ways: over many positions of one sequence, and one position each of many sequences, where what becomes
//! of a row does not depend on the others (on a card, unless candle's ops compute it).

use crate::model::{SPEECH_TOKENS, STOP_SPEECH};
use candle_core::Tensor;
use std::{collections::BTreeMap, ops::Range};
use stentor_nn::{
    Activation, BlockLayers, Blueprint, KvCache, KvShape, LayerNorm, Linear, Look, Result, RmsNorm, Rope,
    RowNorm, Scope, Watch, activate, append, attend, gated_silu,
};

pub(super) struct Backbone {
    pub(super) shape: KvShape,
    /// Layers and heads that follow the text, where that is known.
    pub(super) aligned: Option<Vec<(usize, usize)>>,
    pub(super) blocks: Vec<Block>,
    pub(super) last: Norm,
    pub(super) rope: Option<Rope>,
    /// Whether the feed-forward part is gated by SiLU, or else has a GELU.
    pub(super) gated: bool,
}

pub(super) struct Block {
    pub(super) before_attention: Norm,
    /// Queries, keys and values, one after the other.
    pub(super) qkv: Linear,
    pub(super) out: Linear,
    pub(super) before_mlp: Norm,
    pub(super) up: Linear,
    pub(super) down: Linear,
}

pub(super) enum Norm {
    Rms(RmsNorm),
    Layer(LayerNorm),
}

/// How many blocks `<list>.0`, `<list>.1` .. a checkpoint has.
pub(super) fn count(scope: &Scope<'_>, list: &str, tensor: &str) -> usize {
    /// More than any model has.
    const MOST: usize = 10_000;
    (0..MOST).take_while(|layer| scope.shape(&format!("{list}.{layer}.{tensor}")).is_some()).count()
}

/// The state that a pass goes over: caches, and for each the positions of its text.
pub(super) struct Run<'a> {
    pub(super) caches: Vec<&'a mut KvCache>,
    pub(super) texts: Vec<Range<usize>>,
}

impl Block {
    fn layers(&self) -> BlockLayers<'_> {
        BlockLayers {
            before_attention: self.before_attention.layer(),
            qkv: &self.qkv,
            out: &self.out,
            before_mlp: self.before_mlp.layer(),
            up: &self.up,
            down: &self.down,
        }
    }
}

impl Norm {
    fn layer(&self) -> RowNorm<'_> {
        match self {
            Self::Rms(norm) => RowNorm::Rms(norm),
            Self::Layer(norm) => RowNorm::Layer(norm),
        }
    }

    fn forward(&self, x: &Tensor, watch: &dyn Watch) -> Result<Tensor> {
        match self {
            Self::Rms(norm) => norm.forward(x, watch),
            Self::Layer(norm) => norm.forward(x, watch),
        }
    }
}

impl Backbone {
    /// What a card's kernels are told of it; `head` makes logits of its output.
    pub(super) fn blueprint<'a>(&'a self, head: &'a Linear) -> Blueprint<'a> {
        Blueprint {
            shape: self.shape,
            blocks: self.blocks.iter().map(Block::layers).collect(),
            last: self.last.layer(),
            head,
            rope: self.rope.as_ref(),
            gated: self.gated,
            watched: self.watched(),
            sayable: (SPEECH_TOKENS, STOP_SPEECH),
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.blocks.iter().flat_map(|b| [&b.qkv, &b.out, &b.up, &b.down]).map(Linear::bytes).sum()
    }

    /// For each layer the heads whose attention says where in the text a sequence is. Where nobody knows them it is all
    /// heads of the two layers in the middle, which is a guess: there, models of this kind align, if anywhere.
    fn watched(&self) -> BTreeMap<usize, Vec<usize>> {
        let middle = self.shape.layers / 2;
        let guess = || {
            let layers = middle.saturating_sub(1)..(middle + 1).min(self.shape.layers);
            layers.flat_map(|layer| (0..self.shape.heads).map(move |head| (layer, head))).collect()
        };
        let mut heads = BTreeMap::<usize, Vec<usize>>::new();
        for (layer, head) in self.aligned.clone().unwrap_or_else(guess) {
            heads.entry(layer).or_default().push(head);
        }
        heads
    }

    /// Runs new positions, `(rows, width)`, over the caches, which hold them once they are advanced. Returns the last norm's output and for each
    /// cache how its latest position looks at its text, mean over the watched heads, `(1, text)`; nothing for an empty text.
    pub(super) fn forward(
        &self,
        mut x: Tensor,
        run: &mut Run<'_>,
        watch: &dyn Watch,
    ) -> Result<(Tensor, Vec<Option<Tensor>>)> {
        let rows: usize = run.caches.iter().map(|cache| cache.rows()).sum();
        let new = x.dim(0)? / rows.max(1);
        let watched = self.watched();
        let share = 1.0 / watched.values().map(Vec::len).sum::<usize>().max(1) as f64;
        let mut looks: Vec<Option<Tensor>> = vec![None; run.caches.len()];
        for (layer, block) in self.blocks.iter().enumerate() {
            let normed = block.before_attention.forward(&x, watch)?;
            let qkv = block.qkv.forward(&normed, watch)?;
            let queries = append(&mut run.caches, layer, &qkv, self.rope.as_ref(), watch)?;
            if let Some(heads) = watched.get(&layer) {
                run.look(&queries, (layer, heads, new), share, &mut looks)?;
            }
            let caches: Vec<&KvCache> = run.caches.iter().map(|cache| &**cache).collect();
            let seen = attend(&caches, layer, &queries, watch)?;
            x = (x + block.out.forward(&seen, watch)?)?;
            let normed = block.before_mlp.forward(&x, watch)?;
            let inner = block.up.forward(&normed, watch)?;
            let inner = if self.gated {
                gated_silu(&inner, watch)?
            } else {
                activate(&inner, Activation::GeluTanh, watch)?
            };
            x = (x + block.down.forward(&inner, watch)?)?;
        }
        Ok((self.last.forward(&x, watch)?, looks))
    }
}

impl Run<'_> {
    /// Adds what each cache's latest position sees in one layer, times `share`.
    fn look(
        &self,
        queries: &Tensor,
        (layer, heads, new): (usize, &[usize], usize),
        share: f64,
        looks: &mut [Option<Tensor>],
    ) -> Result<()> {
        let mut first = 0;
        for ((cache, text), sum) in self.caches.iter().zip(&self.texts).zip(looks) {
            if !text.is_empty() {
                let look = Look { layer, heads, positions: text.clone(), new };
                let seen = (cache.look(&queries.narrow(0, first + new - 1, 1)?, &look)? * share)?;
                *sum = Some(sum.take().map_or(Ok(seen.clone()), |sum| sum + seen)?);
            }
            first += cache.rows() * new;
        }
        Ok(())
    }
}
