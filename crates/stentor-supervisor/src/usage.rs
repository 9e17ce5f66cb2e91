//! Who uses a model, and since when nobody does: what idle unloading, eviction and `unload` go by.

use crate::shared::Shared;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

pub(crate) struct Usage(Mutex<State>);

/// What had come of a model when somebody wished for a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Others had wished for it, so that attempts were going on.
    shared: bool,
    refusals: u64,
    losses: u64,
}

struct State {
    /// Permits, sessions, questions and callers that wait for the model to be ready.
    held: usize,
    /// A worker is wanted, even without work.
    wanted: bool,
    /// Starts that were refused for want of memory.
    refusals: u64,
    /// Workers that were lost, or could not be started.
    losses: u64,
    /// When it was last asked for or used.
    last: Instant,
}

impl Usage {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State { held: 0, wanted: false, refusals: 0, losses: 0, last: Instant::now() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker is to be started, and kept.
    pub(crate) fn want(&self) -> Wish {
        let mut state = self.state();
        let wish = Wish { shared: state.wanted, refusals: state.refusals, losses: state.losses };
        state.wanted = true;
        state.last = Instant::now();
        wish
    }

    /// Whether a start has been refused since.
    pub(crate) fn is_refused(&self, wish: Wish) -> bool {
        self.state().refusals > wish.refusals
    }

    /// Whether a failed model has failed as far as this wish goes: an attempt made for it has come to its end, or it
    /// came in the midst of others.
    pub(crate) fn has_failed(&self, wish: Wish) -> bool {
        let state = self.state();
        wish.shared || state.losses > wish.losses || state.refusals > wish.refusals
    }

    pub(crate) fn lose(&self) {
        self.state().losses += 1;
    }

    /// As `want`, but does not count as a use.
    pub(crate) fn want_back(&self) {
        self.state().wanted = true;
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.state().wanted
    }

    /// Whoever wanted a worker until now does not get one.
    pub(crate) fn refuse(&self) {
        let mut state = self.state();
        state.wanted = false;
        state.refusals += 1;
    }

    /// When it was last used; `None` while somebody uses it.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.held == 0).then_some(state.last)
    }

    /// No worker is wanted any more, provided that nobody has used the model for `idle`. Whoever comes after this
    /// call has a worker started anew.
    pub(crate) fn let_go(&self, idle: Duration) -> bool {
        let mut state = self.state();
        let free = state.held == 0 && state.last.elapsed() >= idle;
        state.wanted &= !free;
        free
    }
}

/// Held by whoever uses the model or waits for it.
pub(crate) struct InUse(Arc<Shared>);

impl InUse {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        let mut state = shared.usage.state();
        state.held += 1;
        state.last = Instant::now();
        drop(state);
        Self(Arc::clone(shared))
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut state = self.0.usage.state();
        state.held = state.held.saturating_sub(1);
        state.last = Instant::now();
        drop(state);
        // The idle time begins.
        self.0.wake.notify_one();
    }
}
