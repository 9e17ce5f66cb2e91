//! How workers are started and when the supervisor loses patience with them.

use crate::memory::{MemoryReader, NoReadings};
use std::{ffi::OsString, path::PathBuf, sync::Arc, time::Duration};
use stentor_jobs::ChunkStore;

/// The program that becomes a worker: the server's own executable and its hidden `worker` command. The
/// conversation's socket is handed over as the child's standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerCommand {
    pub program: PathBuf,
    pub args: Vec<OsString>,
}

/// How one model is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelOptions {
    /// A model that nobody has used for this long is unloaded; `None` keeps it.
    pub idle_timeout: Option<Duration>,
    /// Bytes it is expected to need on its device, until a worker has measured it. Zero: unknown.
    pub memory: u64,
}

#[derive(Clone)]
pub struct SupervisorConfig {
    pub command: WorkerCommand,
    /// Must equal the worker's; see `stentor_worker::run`.
    pub build_id: String,
    /// Sessions per model beyond those that fill the engine's slots; one more is refused with `Busy`.
    pub max_waiting: usize,
    /// From spawn to the worker's `Ready`.
    pub start_timeout: Duration,
    /// A worker with work whose step counter stands still for `max(stuck_min, stuck_factor x longest pause
    /// seen)` is killed.
    pub stuck_min: Duration,
    pub stuck_factor: u32,
    /// How often a worker reports its step counter.
    pub beat: Duration,
    /// Wait before the first restart; doubles with each further one up to `backoff_max`, and starts anew when a
    /// chunk completes.
    pub backoff_first: Duration,
    pub backoff_max: Duration,
    /// A chunk that yields more audio than this is given up, so that an endless one fills no memory.
    pub max_chunk_seconds: u32,
    pub memory: Arc<dyn MemoryReader>,
    /// Bytes that stay free on a CUDA device for its other tenants: a model that would take them is not started, and
    /// idle ones are unloaded when somebody else has taken them.
    pub vram_floor: u64,
    /// Between two looks at the memory of devices in use.
    pub memory_poll: Duration,
    /// Where finished chunks are kept and found again.
    pub store: Option<ChunkStore>,
    /// For jitter.
    pub random: fn() -> u64,
}

impl SupervisorConfig {
    /// The defaults of the product.
    pub fn new(command: WorkerCommand, build_id: impl Into<String>) -> Self {
        Self {
            command,
            build_id: build_id.into(),
            max_waiting: 64,
            start_timeout: Duration::from_secs(120),
            stuck_min: Duration::from_secs(10),
            stuck_factor: 20,
            beat: Duration::from_millis(250),
            backoff_first: Duration::from_millis(100),
            backoff_max: Duration::from_secs(10),
            max_chunk_seconds: 600,
            memory: Arc::new(NoReadings),
            vram_floor: 0,
            memory_poll: Duration::from_secs(2),
            store: None,
            random: || 0,
        }
    }
}
