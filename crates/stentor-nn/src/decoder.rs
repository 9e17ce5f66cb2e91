//! One position each of several rows through a whole transformer, in few launches, where a card has kernels of ours for that.
//!
//! It computes what the layers it was made of compute one after the other.

use crate::{Draw, Drawn, KvCache, KvShape, LayerNorm, Linear, Result, RmsNorm, Rope, Watch};
use candle_core::Device;
use std::{collections::BTreeMap, ops::Range};

#[cfg(feature = "cuda")]
use crate::card::CardDecoder as Inner;
#[cfg(not(feature = "cuda"))]
use nowhere::Nowhere as Inner;

/// A norm over a row.
#[derive(Debug, Clone, Copy)]
pub enum RowNorm<'a> {
    Rms(&'a RmsNorm),
    Layer(&'a LayerNorm),
}

/// The layers of a block that normalises before it attends and before its feed-forward part.
#[derive(Debug, Clone, Copy)]
pub struct BlockLayers<'a> {
    pub before_attention: RowNorm<'a>,
    /// Queries, keys and values, one after the other.
    pub qkv: &'a Linear,
    pub out: &'a Linear,
    pub before_mlp: RowNorm<'a>,
    pub up: &'a Linear,
    pub down: &'a Linear,
}

/// A transformer as [`Decoder`] takes it.
#[derive(Debug)]
pub struct Blueprint<'a> {
    pub shape: KvShape,
    pub blocks: Vec<BlockLayers<'a>>,
    pub last: RowNorm<'a>,
    /// Hidden state to logits.
    pub head: &'a Linear,
    pub rope: Option<&'a Rope>,
    /// Whether the feed-forward part is gated by SiLU, or else has a GELU.
    pub gated: bool,
    /// For each layer the heads whose attention is looked at.
    pub watched: BTreeMap<usize, Vec<usize>>,
    /// Ids below the first, and the second, which is the last, can be drawn.
    pub sayable: (u32, u32),
}

/// What a step is given.
pub struct Step<'a> {
    /// One row for each row of the caches.
    pub input: Vec<f32>,
    /// Each gets one position more, which [`KvCache::advance`] is to count.
    pub caches: Vec<&'a KvCache>,
    /// For each cache the positions that are looked at.
    pub texts: Vec<Range<usize>>,
    /// How each cache's next token is drawn; those that have no draw get their logits instead.
    pub draws: Vec<Option<Draw>>,
}

/// What a step gave.
#[derive(Debug, Default)]
pub struct Stepped {
    /// Of all rows, if a cache has no draw; else nothing.
    pub logits: Vec<f32>,
    /// For each cache how its first row looks at its text, mean over the watched heads.
    pub looks: Vec<Vec<f32>>,
    /// For each cache what was drawn.
    pub drawn: Vec<Option<Drawn>>,
}

/// How a step is brought to a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StepBy {
    /// Recorded once for each number of rows, then as one launch.
    #[default]
    Graph,
    /// Kernel by kernel.
    Launches,
    /// Not at all: by the layers, one op after the other.
    Ops,
}

/// The kernels and the room that they need.
#[derive(Debug)]
pub struct Decoder(Inner);

impl Decoder {
    /// Nothing where there are no kernels for it: on other devices than a card, and for sizes that no model has.
    pub fn new(blueprint: &Blueprint<'_>, device: &Device) -> Result<Option<Self>> {
        Ok(Inner::new(blueprint, device)?.map(Self))
    }

    /// Runs a step and waits for it; nothing is done, and `step` given back, if it is larger than there is room for. After an error
    /// every cache is as it was.
    pub fn step<'a>(
        &self,
        step: Step<'a>,
        watch: &dyn Watch,
    ) -> Result<std::result::Result<Stepped, Step<'a>>> {
        self.0.step(step, watch)
    }

    pub fn step_by(&self, how: StepBy) {
        self.0.step_by(how);
    }

    /// One line that says why steps are not recorded, once.
    pub fn take_remark(&self) -> Option<String> {
        self.0.take_remark()
    }
}

/// What stands in for a card in a program that was built without CUDA.
#[cfg(not(feature = "cuda"))]
mod nowhere {
    use super::{Blueprint, Step, StepBy, Stepped};
    use crate::{Result, Watch};
    use candle_core::Device;

    #[derive(Debug)]
    pub(super) enum Nowhere {}

    impl Nowhere {
        #[expect(clippy::unnecessary_wraps, reason = "on a card it can fail")]
        pub(super) fn new(_: &Blueprint<'_>, _: &Device) -> Result<Option<Self>> {
            Ok(None)
        }

        pub(super) fn step<'a>(
            &self,
            _: Step<'a>,
            _: &dyn Watch,
        ) -> Result<std::result::Result<Stepped, Step<'a>>> {
            match *self {}
        }

        pub(super) fn step_by(&self, _: StepBy) {
            match *self {}
        }

        pub(super) fn take_remark(&self) -> Option<String> {
            match *self {}
        }
    }
}
