//! Spawns, watches and restarts workers; admission, sessions, cancellation, replay.
//!
//! One task per model owns the worker process and its socket; requests talk to it through a [`Session`].

mod config;
mod error;
mod session;
mod status;

pub use config::{SupervisorConfig, WorkerCommand};
pub use error::{AdmitError, SpeechError};
pub use session::{Permit, Resplit, Session, SessionEvent, SessionRequest};
pub use status::{Counters, ModelState, ModelStatus, WorkerProgress};

use std::{sync::Arc, time::Duration};
use stentor_engine::{EngineDescriptor, PhonemeTrace};
use stentor_types::{Language, LoadSpec, ModelId, SpokenText};
use tokio::sync::watch;

/// All models of one server. Cheap to clone; when the last clone is dropped the workers are killed.
#[derive(Clone)]
pub struct Supervisor {
    config: Arc<SupervisorConfig>,
}

impl Supervisor {
    pub fn new(config: SupervisorConfig) -> Self {
        Self { config: Arc::new(config) }
    }

    /// Makes a model known; nothing starts until [`start`](Self::start), [`ready`](Self::ready) or the first
    /// session asks for it. Must be called within a tokio runtime. Adding the same id again changes nothing.
    pub fn add_model(&self, spec: LoadSpec) {
        let _ = (spec, &self.config);
    }

    pub fn models(&self) -> Vec<ModelId> {
        Vec::new()
    }

    /// Starts the model's worker without waiting for it. Unknown ids are ignored.
    pub fn start(&self, model: &ModelId) {
        let _ = model;
    }

    /// Starts the model if need be and waits until it is ready, or until it is known that it can't be.
    pub async fn ready(&self, model: &ModelId) -> Result<Arc<EngineDescriptor>, SpeechError> {
        Err(SpeechError::UnknownModel(model.clone()))
    }

    pub fn status(&self, model: &ModelId) -> Option<ModelStatus> {
        self.watch(model).map(|status| status.borrow().clone())
    }

    /// Every change of the model's state, for readiness.
    pub fn watch(&self, model: &ModelId) -> Option<watch::Receiver<ModelStatus>> {
        let _ = model;
        None
    }

    /// What has happened since the model was added.
    pub fn counters(&self, model: &ModelId) -> Option<Counters> {
        let _ = model;
        None
    }

    /// What the current worker process says of itself, at most a beat (250 ms) old.
    pub fn progress(&self, model: &ModelId) -> Option<WorkerProgress> {
        let _ = model;
        None
    }

    /// A place among the waiting and running sessions of a model; given back when the permit, or the session
    /// made with it, is dropped.
    pub fn admit(&self, model: &ModelId) -> Result<Permit, AdmitError> {
        Err(AdmitError::UnknownModel(model.clone()))
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
        let _ = (text, language);
        Err(SpeechError::UnknownModel(model.clone()))
    }

    /// Admits nothing more, lets running sessions finish for at most `grace`, answers the rest with
    /// [`SpeechError::Unavailable`], ends every worker and waits until each is reaped.
    pub async fn shutdown(&self, grace: Duration) {
        let _ = grace;
    }
}
