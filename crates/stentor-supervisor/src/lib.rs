//! Spawns, watches and restarts workers; admission, sessions, cancellation, replay.
//!
//! One task per model owns the worker process and its socket; requests talk to it through a [`Session`].

mod backoff;
mod board;
mod config;
mod conversation;
mod error;
mod fleet;
mod forecast;
mod keeper;
#[cfg(test)]
mod logged;
mod memory;
mod order;
mod plan;
mod poison;
mod process;
mod replay;
mod retry;
mod room;
mod session;
mod shared;
mod slot;
mod status;
mod turns;
mod usage;
mod watchdog;

pub use config::{ModelOptions, SupervisorConfig, WorkerCommand};
pub use error::{AdmitError, SpeechError, UnloadError};
pub use memory::{MemoryReader, MemoryReading, NoReadings};
pub use session::{Permit, Resplit, Session, SessionEvent, SessionRequest, SessionStyle, Ticket};
pub use status::{Counters, ModelState, ModelStatus, Unloaded, WorkerProgress};

use board::Question;
use fleet::Fleet;
use keeper::Keeper;
use plan::Plan;
use shared::Shared;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use stentor_engine::{EngineDescriptor, PhonemeTrace};
use stentor_types::{Language, LoadSpec, ModelId, SpokenText};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::Instant,
};
use usage::InUse;

/// All models of one server. Cheap to clone; when the last clone is dropped the workers are killed.
#[derive(Clone)]
pub struct Supervisor(Arc<Inner>);

struct Inner {
    config: Arc<SupervisorConfig>,
    models: Mutex<BTreeMap<ModelId, Model>>,
    fleet: Arc<Fleet>,
    /// Looks after the memory of devices; runs from the first model on.
    guard: Mutex<Option<JoinHandle<()>>>,
}

impl Inner {
    fn guard(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(guard) = self.guard().take() {
            guard.abort();
        }
    }
}

struct Model {
    shared: Arc<Shared>,
    /// Taken by `shutdown`, which waits for it.
    keeper: Option<JoinHandle<()>>,
}

impl Drop for Model {
    fn drop(&mut self) {
        if let Some(keeper) = &self.keeper {
            keeper.abort();
        }
    }
}

impl Supervisor {
    pub fn new(config: SupervisorConfig) -> Self {
        let config = Arc::new(config);
        let fleet = Arc::new(Fleet::new(Arc::clone(&config)));
        Self(Arc::new(Inner { config, models: Mutex::default(), fleet, guard: Mutex::default() }))
    }

    fn models_mut(&self) -> MutexGuard<'_, BTreeMap<ModelId, Model>> {
        self.0.models.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shared(&self, model: &ModelId) -> Option<Arc<Shared>> {
        self.models_mut().get(model).map(|model| Arc::clone(&model.shared))
    }

    /// Makes a model known; nothing starts until [`start`](Self::start), [`ready`](Self::ready) or the first
    /// session asks for it. Must be called within a tokio runtime. Adding the same id again changes nothing.
    pub fn add_model(&self, spec: LoadSpec, options: ModelOptions) {
        let Inner { config, fleet, .. } = &*self.0;
        let mut models = self.models_mut();
        if models.contains_key(&spec.model) {
            return;
        }
        let id = spec.model.clone();
        let (sender, orders) = mpsc::channel(order::ORDERS);
        let plan = Plan::new(spec, options);
        let shared = Arc::new(Shared::new(plan, sender, config));
        fleet.join(&shared);
        let keeper = Keeper::new(Arc::clone(&shared), orders, Arc::clone(fleet), Arc::clone(config));
        models.insert(id, Model { shared, keeper: Some(tokio::spawn(keeper.run())) });
        self.0.guard().get_or_insert_with(|| tokio::spawn(Arc::clone(fleet).guard()));
    }

    /// Changes a model's options at once and its spec with the next start of its worker. Unknown ids are added.
    pub fn update_model(&self, spec: LoadSpec, options: ModelOptions) {
        match self.shared(&spec.model) {
            Some(shared) => {
                shared.plan.update(spec, options);
                // Its idle time may be over.
                shared.wake.notify_one();
            }
            None => self.add_model(spec, options),
        }
    }

    /// Ends the worker of a model that nobody uses; the next use starts it again. Resolves when the process is
    /// gone and its memory is free.
    pub async fn unload(&self, model: &ModelId) -> Result<(), UnloadError> {
        let shared = self.shared(model).ok_or_else(|| UnloadError::UnknownModel(model.clone()))?;
        self.0.fleet.forget(model);
        shared.unload(Unloaded::Asked).await
    }

    pub fn models(&self) -> Vec<ModelId> {
        self.models_mut().keys().cloned().collect()
    }

    /// Starts the model's worker without waiting for it. Unknown ids are ignored.
    pub fn start(&self, model: &ModelId) {
        if let Some(shared) = self.shared(model) {
            shared.want();
        }
    }

    /// Starts the model if need be and waits until it is ready, or until it is known that it can't be: at once while
    /// attempts go on, after another attempt where they had been given up.
    pub async fn ready(&self, model: &ModelId) -> Result<Arc<EngineDescriptor>, SpeechError> {
        let shared = self.shared(model).ok_or_else(|| SpeechError::UnknownModel(model.clone()))?;
        let _in_use = InUse::new(&shared);
        let wish = shared.want();
        let mut status = shared.status.subscribe();
        loop {
            let now = status.borrow_and_update().clone();
            if let Some(closed) = shared.board().closed() {
                return Err(closed.clone());
            }
            // A model that drains in order to be unloaded is started again for us.
            let draining = now.state == ModelState::Draining && shared.stop.borrow().is_some();
            let failed = now.state == ModelState::Failed && shared.usage.has_failed(wish);
            let refused = now.state == ModelState::Unloaded && shared.usage.is_refused(wish);
            match now.descriptor {
                Some(descriptor) if now.state == ModelState::Ready || draining => return Ok(descriptor),
                _ if failed || refused => {
                    let retry_after_s =
                        if failed { shared.retry.after_s(Instant::now()) } else { keeper::NO_ROOM_RETRY_S };
                    return Err(SpeechError::unavailable(&now.reason.unwrap_or_default(), retry_after_s));
                }
                _ => {}
            }
            if status.changed().await.is_err() {
                return Err(SpeechError::shutting_down());
            }
        }
    }

    pub fn status(&self, model: &ModelId) -> Option<ModelStatus> {
        let shared = self.shared(model)?;
        let idle_for = shared.usage.idle_since().map(|since| since.elapsed());
        let status = shared.status.borrow().clone();
        Some(ModelStatus { idle_for, ..status })
    }

    /// What the model's engine said of itself when it was last loaded.
    pub fn descriptor(&self, model: &ModelId) -> Option<Arc<EngineDescriptor>> {
        self.status(model)?.descriptor
    }

    /// Every change of the model's state, for readiness.
    pub fn watch(&self, model: &ModelId) -> Option<watch::Receiver<ModelStatus>> {
        Some(self.shared(model)?.status.subscribe())
    }

    /// What has happened since the model was added.
    pub fn counters(&self, model: &ModelId) -> Option<Counters> {
        Some(self.shared(model)?.counters())
    }

    /// What the current worker process says of itself, at most a beat (250 ms) old.
    pub fn progress(&self, model: &ModelId) -> Option<WorkerProgress> {
        Some(*self.shared(model)?.progress())
    }

    /// A place among the waiting and running sessions of a model; given back when the permit is dropped, and when
    /// the session made with it ends or is dropped. A model that is too far from being loaded for the ticket's
    /// deadline is started all the same, so that the next attempt finds it.
    pub fn admit(&self, model: &ModelId, ticket: Ticket) -> Result<Permit, AdmitError> {
        let shared = self.shared(model).ok_or_else(|| AdmitError::UnknownModel(model.clone()))?;
        Permit::new(shared, ticket)
    }

    /// Begins to speak. Nothing is pulled from `request.chunks` before the first [`Session::next`].
    pub fn session(&self, permit: Permit, request: SessionRequest) -> Session {
        Session::new(permit, request)
    }

    /// Asks the worker how a text is read; starts the model if need be.
    pub async fn phonemize(
        &self,
        model: &ModelId,
        text: SpokenText,
        language: Language,
    ) -> Result<PhonemeTrace, SpeechError> {
        let shared = self.shared(model).ok_or_else(|| SpeechError::UnknownModel(model.clone()))?;
        let _in_use = InUse::new(&shared);
        let (answer, question) = oneshot::channel();
        shared.board().ask(Question { text, language, answer });
        shared.wake.notify_one();
        question.await.unwrap_or_else(|_| Err(SpeechError::shutting_down()))
    }

    /// Admits nothing more, lets running sessions finish for at most `grace`, answers the rest with
    /// [`SpeechError::Unavailable`], ends every worker and waits until each is reaped.
    pub async fn shutdown(&self, grace: Duration) {
        let deadline = Instant::now() + grace;
        if let Some(guard) = self.0.guard().take() {
            guard.abort();
        }
        let keepers: Vec<_> = {
            let mut models = self.models_mut();
            for model in models.values() {
                model.shared.stop.send_replace(Some(deadline));
            }
            models.values_mut().filter_map(|model| model.keeper.take()).collect()
        };
        for keeper in keepers {
            if let Err(error) = keeper.await {
                tracing::error!(%error, "a model's keeper failed");
            }
        }
    }
}
