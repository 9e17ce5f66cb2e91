//! What a handler may use, built once by the composition root.

use axum::extract::FromRef;
use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use stentor_catalog::Catalog;
use stentor_supervisor::Supervisor;
use stentor_types::{DeviceSpec, ModelId};

/// Bounds on what a client may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of UTF-8 in `input`.
    pub max_input_bytes: usize,
    /// Characters of `input` that may be answered as one whole file, which is held in memory.
    pub max_whole_chars: usize,
    /// Seconds of such a file; pauses count too.
    pub max_whole_seconds: u32,
    /// How long a client may leave its audio unread before its place is given to another.
    pub stalled_reader: Duration,
}

impl Limits {
    /// JSON may spell characters as escapes; four times the text leaves room for any of more than one byte.
    pub fn max_body_bytes(&self) -> usize {
        self.max_input_bytes.saturating_mul(4).saturating_add(64 * 1024)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_input_bytes: 1024 * 1024,
            max_whole_chars: 30_000,
            max_whole_seconds: 2400,
            stalled_reader: Duration::from_secs(120),
        }
    }
}

/// Whether this server should get traffic.
#[derive(Debug, Default)]
pub struct Readiness {
    canary_passed: AtomicBool,
    draining: AtomicBool,
}

impl Readiness {
    pub fn pass_canary(&self) {
        self.canary_passed.store(true, Ordering::Release);
    }
    pub fn has_passed_canary(&self) -> bool {
        self.canary_passed.load(Ordering::Acquire)
    }
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}

/// The server's parts. Randomness comes in as `random`, so that tests can fix it.
pub struct App {
    pub catalog: Catalog,
    pub supervisor: Supervisor,
    pub limits: Limits,
    pub readiness: Readiness,
    pub default_model: ModelId,
    pub device: DeviceSpec,
    /// Compute threads of each worker; zero means one per core.
    pub threads: usize,
    pub random: fn() -> u64,
    pub request_counter: AtomicU64,
}

/// Shared by all handlers.
#[derive(Clone)]
pub struct AppState(pub Arc<App>);

impl Deref for AppState {
    type Target = App;
    fn deref(&self) -> &App {
        &self.0
    }
}

impl FromRef<AppState> for Arc<App> {
    fn from_ref(state: &AppState) -> Self {
        Arc::clone(&state.0)
    }
}
