//! States and totals that belong to others, read when somebody asks: models and the chunk store.

use crate::api::models::state_name;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};
use std::fmt;
use stentor_jobs::{ChunkStore, StoreStats};
use stentor_supervisor::{Counters, ModelState, ModelStatus, Supervisor};

const STATES: [ModelState; 6] = [
    ModelState::Unloaded,
    ModelState::Starting,
    ModelState::Ready,
    ModelState::Draining,
    ModelState::Backoff,
    ModelState::Failed,
];

pub(super) struct Gauges {
    pub(super) supervisor: Supervisor,
    pub(super) store: Option<ChunkStore>,
}

impl fmt::Debug for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gauges")
    }
}

/// One model as it is now.
struct Seen {
    model: String,
    status: ModelStatus,
    counters: Counters,
}

impl Collector for Gauges {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut page = Page(encoder);
        let models = self.seen();
        page.models(&models)?;
        if let Some(store) = &self.store {
            page.store(&store.stats())?;
        }
        Ok(())
    }
}

impl Gauges {
    fn seen(&self) -> Vec<Seen> {
        let see = |id| {
            let status = self.supervisor.status(&id)?;
            let counters = self.supervisor.counters(&id)?;
            Some(Seen { model: id.to_string(), status, counters })
        };
        self.supervisor.models().into_iter().filter_map(see).collect()
    }
}

struct Page<'a>(DescriptorEncoder<'a>);

type Read = fn(&Seen) -> u64;

impl Page<'_> {
    fn models(&mut self, models: &[Seen]) -> fmt::Result {
        let slots: Read = |m| m.status.descriptor.as_ref().map_or(0, |d| d.max_slots as u64);
        let gauges: [(&str, &str, Read); 5] = [
            ("tts_requests_running", "Requests being spoken", |m| m.counters.running),
            ("tts_requests_waiting", "Requests admitted and not begun", |m| m.counters.waiting),
            ("tts_slots_capacity", "Chunks that the engine speaks at once", slots),
            ("tts_model_loaded", "1 while the model can speak at once", |m| {
                u64::from(m.status.state == ModelState::Ready)
            }),
            ("tts_model_memory_bytes", "Held on the model's device, as its worker measured it", |m| {
                m.status.memory.unwrap_or(0)
            }),
        ];
        for (name, help, read) in gauges {
            self.gauge(name, help, models.iter().map(|m| ([("model", m.model.as_str())], read(m))))?;
        }
        let states = models.iter().flat_map(|m| {
            let is = |state| u64::from(m.status.state == state);
            STATES.map(|state| ([("model", m.model.as_str()), ("state", state_name(state))], is(state)))
        });
        self.gauge("tts_model_state", "1 for the state that the model is in", states)?;
        let counters: [(&str, &str, Read); 4] = [
            ("tts_engine_restarts", "Workers started after one that had been ready died", |m| {
                m.counters.restarts
            }),
            ("tts_chunk_replays", "Chunks spoken again after their worker died", |m| {
                m.counters.chunks_replayed
            }),
            ("tts_chunks_spoken", "Chunks that a worker finished", |m| m.counters.chunks_done),
            ("tts_chunks_shared", "Chunks taken over from a request that wants the same", |m| {
                m.counters.chunks_shared
            }),
        ];
        for (name, help, read) in counters {
            self.counter(name, help, models.iter().map(|m| ([("model", m.model.as_str())], read(m))))?;
        }
        Ok(())
    }

    fn store(&mut self, stats: &StoreStats) -> fmt::Result {
        let tier = |memory, disk| [([("tier", "memory")], memory), ([("tier", "disk")], disk)];
        let hits = tier(stats.hits_memory, stats.hits_disk);
        self.counter("tts_chunk_store_hits", "Chunks found in the store", hits)?;
        let totals = [
            ("tts_chunk_store_misses", "Chunks looked for and not found", stats.misses),
            ("tts_chunk_store_stored", "Chunks put into the store", stats.stored),
            ("tts_chunk_store_corrupt", "Files thrown away because their hash was wrong", stats.corrupt),
            ("tts_chunk_store_unwritten", "Chunks that could not be written to disk", stats.unwritten),
        ];
        for (name, help, total) in totals {
            let encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(total).encode(encoder)?;
        }
        let bytes = tier(stats.memory_bytes, stats.disk_bytes);
        self.gauge("tts_chunk_store_bytes", "Bytes of kept chunks", bytes)?;
        let chunks = tier(stats.memory_chunks, stats.disk_chunks);
        self.gauge("tts_chunk_store_chunks", "Chunks that are kept", chunks)
    }

    fn gauge<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in rows {
            ConstGauge::new(value).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn counter<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in rows {
            ConstCounter::new(value).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
