//! A transformer's step on a card by kernels of our own (`decode.cu`, `draw.cu`): everything lies in memory that was taken when the
//! model was loaded, so that a step allocates nothing and its launches can be recorded as a graph.

mod buckets;
mod layout;
mod model;
mod params;
mod plan;
mod room;

use crate::{
    Blueprint, Draw, KvCache, Result, Step, StepBy, Stepped, Watch,
    kv_cache::{Store, refuse},
    watch::tick,
};
use buckets::Buckets;
use candle_core::Device;
use layout::{CacheAt, MOST_LOOKS, MOST_ROWS, Upload};
use model::Model;
use room::Memory;
use std::sync::{Mutex, PoisonError};

/// The transformer on its card.
#[derive(Debug)]
pub(crate) struct CardDecoder {
    model: Model,
    /// A step uses all of it.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    memory: Memory,
    buckets: Buckets,
    step_by: StepBy,
}

impl CardDecoder {
    pub(crate) fn new(blueprint: &Blueprint<'_>, device: &Device) -> Result<Option<Self>> {
        let Device::Cuda(card) = device else { return Ok(None) };
        let Some(model) = Model::new(blueprint, card)? else { return Ok(None) };
        let memory = Memory::new(card, &model.at)?;
        let buckets = Buckets::new(card)?;
        Ok(Some(Self { model, state: Mutex::new(State { memory, buckets, step_by: StepBy::default() }) }))
    }

    pub(crate) fn step_by(&self, how: StepBy) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).step_by = how;
    }

    pub(crate) fn take_remark(&self) -> Option<String> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).buckets.take_remark()
    }

    pub(crate) fn step<'a>(
        &self,
        step: Step<'a>,
        watch: &dyn Watch,
    ) -> Result<std::result::Result<Stepped, Step<'a>>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.step_by == StepBy::Ops || !self.has_room(&step)? {
            return Ok(Err(step));
        }
        tick(watch)?;
        let State { memory, buckets, step_by } = &mut *state;
        let rows = step.caches.iter().map(|cache| cache.rows).sum();
        let bucket = layout::bucket(rows);
        memory.upload(&self.upload(&step, bucket)?)?;
        let launches = || plan::launches(&self.model.at, &memory.room(&self.model.at, bucket), bucket);
        buckets.run(bucket, *step_by == StepBy::Graph, launches)?;
        let looked = step.texts.iter().map(std::ops::Range::len).sum();
        let (tokens, mut seen) = memory.download(bucket, looked)?;
        let looks = step.texts.iter().map(|text| seen.drain(..text.len()).collect()).collect();
        let drawn = tokens.iter().take(step.caches.len()).map(|token| Draw::outcome(*token)).collect();
        let asked = step.draws.iter().any(Option::is_none);
        let logits = if asked { memory.logits(&self.model.at, rows)? } else { Vec::new() };
        Ok(Ok(Stepped { logits, looks, drawn }))
    }

    /// Whether the step is one for these kernels; an error if it is one for nothing.
    fn has_room(&self, step: &Step<'_>) -> Result<bool> {
        let rows: usize = step.caches.iter().map(|cache| cache.rows).sum();
        let (width, caches) = (self.model.at.width, step.caches.len());
        if step.input.len() != rows * width || step.texts.len() != caches || step.draws.len() != caches {
            return Err(refuse(format!("a step of {rows} rows was given other operands")));
        }
        for (cache, text) in step.caches.iter().zip(&step.texts) {
            if cache.room() == 0 || cache.len >= self.model.positions || cache.shape != self.model.shape {
                let (len, capacity) = (cache.len, cache.capacity.min(self.model.positions));
                return Err(refuse(format!("1 more positions after {len} of {capacity}")));
            }
            if text.end > cache.len + 1 {
                return Err(refuse(format!("no attention over {text:?} of {} positions", cache.len + 1)));
            }
        }
        let looked: usize = step.texts.iter().map(std::ops::Range::len).sum();
        let on_a_card = step.caches.iter().all(|cache| matches!(cache.store, Store::Device { .. }));
        Ok(rows > 0 && rows <= MOST_ROWS && looked <= MOST_LOOKS && on_a_card)
    }

    /// The bytes of a step.
    fn upload(&self, step: &Step<'_>, bucket: usize) -> Result<Vec<u8>> {
        let cache = |((cache, text), draw): ((&&KvCache, &std::ops::Range<usize>), _)| {
            let KvCache { rows, capacity, len, .. } = **cache;
            Ok(CacheAt { slab: self.model.slab(cache)?, rows, capacity, len, text: text.clone(), draw })
        };
        let all = step.caches.iter().zip(&step.texts).zip(step.draws.iter().map(Option::as_ref));
        let caches = all.map(cache).collect::<Result<Vec<_>>>()?;
        Ok(Upload::new(&self.model.at, bucket).bytes(&self.model.at, &step.input, &caches))
    }
}

/// The address of a cache's keys and values, which lie in one piece.
fn address_of(cache: &KvCache) -> Result<&candle_core::Tensor> {
    match &cache.store {
        Store::Device { slab, .. } => Ok(slab),
        Store::Host(_) => Err(refuse("no tensors".to_owned())),
    }
}
