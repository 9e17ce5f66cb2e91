//! What a model's keeper, its sessions and the supervisor's methods share.

use crate::{
    AdmitError, Counters, ModelState, ModelStatus, SpeechError, SupervisorConfig, Ticket, WorkerProgress,
    board::Board,
    order::Order,
    plan::Plan,
    retry::Retry,
    usage::{Usage, Wish},
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use stentor_jobs::ChunkStore;
use stentor_types::{DeviceSpec, ModelId, SampleRate};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::Instant,
};

pub(crate) struct Shared {
    pub(crate) model: ModelId,
    max_waiting: usize,
    /// Where finished chunks are found again.
    pub(crate) store: Option<ChunkStore>,
    board: Mutex<Board>,
    loading: Mutex<Loading>,
    progress: Mutex<WorkerProgress>,
    /// Rung for the keeper whenever the board has changed.
    pub(crate) wake: Notify,
    pub(crate) status: watch::Sender<ModelStatus>,
    /// Set by `shutdown`: no session is served after this instant.
    pub(crate) stop: watch::Sender<Option<Instant>>,
    pub(crate) plan: Plan,
    pub(crate) usage: Usage,
    /// When to come back while it is in trouble.
    pub(crate) retry: Retry,
    /// To the keeper.
    pub(crate) orders: mpsc::Sender<Order>,
}

/// How long the model takes to load.
#[derive(Default)]
struct Loading {
    /// While it loads: since when.
    since: Option<Instant>,
    /// The last time that it was loaded.
    took: Option<Duration>,
}

impl Shared {
    pub(crate) fn new(plan: Plan, orders: mpsc::Sender<Order>, config: &SupervisorConfig) -> Self {
        let max_samples = u64::from(config.max_chunk_seconds) * u64::from(SampleRate::HZ_24000.0);
        let store = config.store.clone();
        Self {
            model: plan.spec().model,
            max_waiting: config.max_waiting,
            board: Mutex::new(Board::new(max_samples, store.clone())),
            store,
            loading: Mutex::default(),
            progress: Mutex::default(),
            wake: Notify::new(),
            status: watch::Sender::new(ModelStatus::default()),
            stop: watch::Sender::new(None),
            plan,
            usage: Usage::new(),
            retry: Retry::default(),
            orders,
        }
    }

    /// Never held across an await, nor while another lock is taken but that of the chunk store, which takes no other.
    pub(crate) fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn progress(&self) -> MutexGuard<'_, WorkerProgress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker is to be started, and kept. See [`Usage::want`].
    pub(crate) fn want(&self) -> Wish {
        let wish = self.usage.want();
        self.wake.notify_one();
        wish
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.usage.is_wanted() || self.board().has_work()
    }

    fn loading(&self) -> MutexGuard<'_, Loading> {
        self.loading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seconds until the model can speak, going by its last load; `None` before it was ever loaded.
    fn load_left(&self, now: Instant) -> Option<f64> {
        if self.status.borrow().state == ModelState::Ready {
            return Some(0.0);
        }
        let Loading { since, took } = *self.loading();
        let past = since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        Some(took?.saturating_sub(past).as_secs_f64())
    }

    /// A place for a session, unless all are taken or it would come to speak too late. `bell`: rung when there is
    /// something for it.
    pub(crate) fn enter(&self, ticket: &Ticket, bell: Arc<Notify>) -> Result<u64, AdmitError> {
        if self.stop.borrow().is_some() || self.board().closed().is_some() {
            return Err(AdmitError::ShuttingDown);
        }
        let slots = self.status.borrow().descriptor.as_ref().map_or(1, |descriptor| descriptor.max_slots);
        let now = Instant::now();
        let load_s = self.load_left(now);
        let mut board = self.board();
        let forecast = load_s.map(|load_s| board.forecast(slots, load_s, now));
        let places = slots + self.max_waiting;
        // A client that floods leaves a quarter of the waiting room to others.
        let own_places = places - self.max_waiting / 4;
        let full = board.places() >= places;
        if full || board.places_of(ticket.client) >= own_places {
            let turned_away = board.refused_full();
            // At its own limit, only the end of one of its own requests helps a client.
            let whose = (!full).then_some(ticket.client);
            let free_s = forecast.and_then(|forecast| forecast.first_end_s(whose)).or(load_s).unwrap_or(1.0);
            return Err(AdmitError::Busy { retry_after_s: whole_seconds(free_s * turned_away as f64) });
        }
        let wait_s = forecast.and_then(|forecast| forecast.wait_s(ticket.client, ticket.lane));
        if let (Some(wait_s), Some(deadline)) = (wait_s, ticket.deadline)
            && wait_s > deadline.as_secs_f64()
        {
            board.refused_late();
            drop(board);
            if load_s.is_some_and(|load_s| load_s > 0.0) {
                // Else whoever comes back finds it as far away as now.
                self.want();
            }
            let retry_after_s = whole_seconds(wait_s - deadline.as_secs_f64());
            return Err(AdmitError::Late { wait_s: wait_s.ceil() as u32, retry_after_s });
        }
        Ok(board.enter((ticket.client, ticket.lane), ticket.chars, bell))
    }

    pub(crate) fn counters(&self) -> Counters {
        self.board().counters()
    }

    pub(crate) fn set_status(&self, change: impl FnOnce(&mut ModelStatus)) {
        self.status.send_modify(change);
        let (state, runs, device) = {
            let status = self.status.borrow();
            (
                status.state,
                status.pid.is_some(),
                status.descriptor.as_ref().map(|descriptor| descriptor.device),
            )
        };
        self.board().set_inexact(matches!(device, Some(DeviceSpec::Cuda(_))));
        self.loading().note(state, runs, Instant::now());
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

impl Loading {
    /// `runs`: there is a worker. A model that still waits for memory does not load.
    fn note(&mut self, state: ModelState, runs: bool, now: Instant) {
        match (state, self.since) {
            (ModelState::Starting | ModelState::Failed, since) if runs => self.since = since.or(Some(now)),
            (ModelState::Ready, Some(since)) => {
                *self = Self { since: None, took: Some(now.saturating_duration_since(since)) };
            }
            _ => self.since = None,
        }
    }
}

/// For a `Retry-After`: 1 to 60.
fn whole_seconds(seconds: f64) -> u32 {
    seconds.ceil().clamp(1.0, 60.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_for_memory_is_no_part_of_loading() {
        let (mut loading, start) = (Loading::default(), Instant::now());
        let after = |s| start + Duration::from_secs(s);
        loading.note(ModelState::Starting, false, start);
        assert_eq!(loading.since, None);
        loading.note(ModelState::Starting, true, after(50));
        loading.note(ModelState::Starting, true, after(51));
        loading.note(ModelState::Ready, true, after(53));
        assert_eq!((loading.since, loading.took), (None, Some(Duration::from_secs(3))));
    }
}
