//! What outsiders can see of a model: state, counters, the worker's own progress.

use std::{sync::Arc, time::Duration};
use stentor_engine::EngineDescriptor;

/// Where a model is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ModelState {
    /// No worker; the next use starts one.
    #[default]
    Unloaded,
    Starting,
    Ready,
    /// Finishing what runs; takes nothing new.
    Draining,
    /// The worker died and is started again soon; requests wait.
    Backoff,
    /// It can't be loaded or dies before it is of use; requests are answered at once. Attempts go on, but for a model
    /// that can't be loaded: that is tried again with its next use.
    Failed,
}

/// Why a model has no worker any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unloaded {
    /// Nobody had used it for its `idle_timeout`.
    Idle,
    /// By [`Supervisor::unload`](crate::Supervisor::unload).
    Asked,
    /// Another model needed the memory.
    Evicted,
    /// Another tenant of the device needed the memory; it comes back when there is room again.
    Yielded,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct ModelStatus {
    pub state: ModelState,
    /// Why, in one line: set in `Backoff` and `Failed`, and in `Unloaded` if it could not start for want of memory.
    pub reason: Option<String>,
    /// Set in `Unloaded` if it was loaded before.
    pub why_unloaded: Option<Unloaded>,
    /// As of the last handshake; stays known while a worker is restarted.
    pub descriptor: Option<Arc<EngineDescriptor>>,
    /// The worker's process id, while there is one.
    pub pid: Option<u32>,
    /// Bytes that the loaded model holds on its device, as its worker measured them; `None` while not loaded.
    pub memory: Option<u64>,
    /// From spawn to ready, of the last worker that became ready.
    pub load_seconds: Option<f64>,
    /// Workers started after one that had been ready died.
    pub restarts: u64,
    /// For how long nobody has used it; `None` while somebody does. Up to date in
    /// [`Supervisor::status`](crate::Supervisor::status) only: its passing is no change to be told of.
    pub idle_for: Option<Duration>,
}

/// Totals since the model was added, and gauges of what is there now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Chunks handed to a worker, replays included.
    pub chunks_sent: u64,
    pub chunks_done: u64,
    /// Chunks that ended with an error, quarantined ones included.
    pub chunks_failed: u64,
    pub chunks_replayed: u64,
    /// Chunks that a session took over from another one that waits for the same, or from earlier in its own text.
    pub chunks_shared: u64,
    /// Chunks that came out of the store and went to no worker.
    pub chunks_reused: u64,
    /// Chunks cancelled in a worker: their sessions were dropped, or the chunk was given up.
    pub cancels: u64,
    /// Samples that came from workers, without those skipped in a replay.
    pub samples_received: u64,
    /// Workers started after one that had been ready died.
    pub restarts: u64,
    /// Requests refused because every place was taken.
    pub rejected_full: u64,
    /// Requests refused because they would have waited beyond their deadline.
    pub rejected_late: u64,
    /// Sessions that ended because their deadline passed before their first chunk was begun.
    pub late: u64,
    /// Admitted, and no chunk handed to a worker or found in the store yet.
    pub waiting: u64,
    /// Sessions with at least one chunk handed to a worker or found in the store.
    pub running: u64,
    /// Of `waiting`, those in the batch lane.
    pub batch_waiting: u64,
    /// Of `running`, those in the batch lane.
    pub batch_running: u64,
}

/// What a worker reports with each beat; starts from zero in each process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WorkerProgress {
    /// The engine's step counter.
    pub steps: u64,
    /// Samples synthesized.
    pub samples: u64,
    /// Chunks in the engine or on their way into it.
    pub active: u64,
}
