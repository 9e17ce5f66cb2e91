//! What a model's keeper, its sessions and the supervisor's methods share.

use crate::{
    AdmitError, Counters, ModelState, ModelStatus, SpeechError, WorkerProgress, board::Board, order::Order,
    plan::Plan, usage::Usage,
};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use stentor_types::ModelId;
use tokio::{
    sync::{Notify, mpsc, watch},
    time::Instant,
};

pub(crate) struct Shared {
    pub(crate) model: ModelId,
    board: Mutex<Board>,
    gate: Mutex<Gate>,
    progress: Mutex<WorkerProgress>,
    /// Rung for the keeper whenever the board has changed.
    pub(crate) wake: Notify,
    pub(crate) status: watch::Sender<ModelStatus>,
    /// Set by `shutdown`: no session is served after this instant.
    pub(crate) stop: watch::Sender<Option<Instant>>,
    pub(crate) plan: Plan,
    pub(crate) usage: Usage,
    /// To the keeper.
    pub(crate) orders: mpsc::Sender<Order>,
}

/// Who has been let in.
struct Gate {
    held: usize,
    max_waiting: usize,
    /// Smoothed seconds between two places becoming free while the model is in use.
    pace: f64,
}

/// How much of each new observation goes into the pace.
const PACE_WEIGHT: f64 = 0.3;

impl Shared {
    pub(crate) fn new(
        plan: Plan,
        orders: mpsc::Sender<Order>,
        max_waiting: usize,
        max_chunk_samples: u64,
    ) -> Self {
        Self {
            model: plan.spec().model,
            board: Mutex::new(Board::new(max_chunk_samples)),
            gate: Mutex::new(Gate { held: 0, max_waiting, pace: 1.0 }),
            progress: Mutex::default(),
            wake: Notify::new(),
            status: watch::Sender::new(ModelStatus::default()),
            stop: watch::Sender::new(None),
            plan,
            usage: Usage::new(),
            orders,
        }
    }

    /// Never held across an await, nor while another lock is taken.
    pub(crate) fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn progress(&self) -> MutexGuard<'_, WorkerProgress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker is to be started, and kept. See [`Usage::want`].
    pub(crate) fn want(&self) -> u64 {
        let refusals = self.usage.want();
        self.wake.notify_one();
        refusals
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.usage.is_wanted() || self.board().has_work()
    }

    pub(crate) fn enter(&self) -> Result<(), AdmitError> {
        if self.stop.borrow().is_some() || self.board().closed().is_some() {
            return Err(AdmitError::ShuttingDown);
        }
        let slots = self.status.borrow().descriptor.as_ref().map_or(1, |descriptor| descriptor.max_slots);
        let mut gate = self.gate();
        if gate.held >= slots + gate.max_waiting {
            return Err(AdmitError::Busy { retry_after_s: gate.pace.ceil().clamp(1.0, 60.0) as u32 });
        }
        gate.held += 1;
        Ok(())
    }

    /// A place that was held for `held_for` is free again.
    pub(crate) fn leave(&self, held_for: Duration) {
        let mut gate = self.gate();
        let between = held_for.as_secs_f64() / gate.held.max(1) as f64;
        gate.pace += PACE_WEIGHT * (between - gate.pace);
        gate.held = gate.held.saturating_sub(1);
    }

    pub(crate) fn counters(&self) -> Counters {
        let held = self.gate().held as u64;
        self.board().counters(held)
    }

    pub(crate) fn set_status(&self, change: impl FnOnce(&mut ModelStatus)) {
        self.status.send_modify(change);
    }

    /// Nobody will serve this model any more.
    pub(crate) fn close(&self) {
        self.board().close_for_good(SpeechError::shutting_down());
        self.set_status(|status| {
            (status.state, status.reason, status.pid) = (ModelState::Unloaded, None, None);
        });
    }

    /// Resolves when the keeper is to end its worker: shutdown was asked for, and either nobody is left to serve or
    /// the grace is over.
    pub(crate) async fn ending(&self) {
        const POLL: Duration = Duration::from_millis(20);
        let mut stop = self.stop.subscribe();
        let deadline = loop {
            let deadline = *stop.borrow_and_update();
            match deadline {
                Some(deadline) => break deadline,
                None if stop.changed().await.is_err() => return,
                None => {}
            }
        };
        while !self.board().is_idle() && Instant::now() < deadline {
            tokio::time::sleep(POLL).await;
        }
    }
}
