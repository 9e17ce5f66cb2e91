//! Whether this server should get traffic: which models have spoken since start, and whether it is leaving.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use stentor_supervisor::{ModelState, ModelStatus};
use stentor_types::ModelId;
use tokio::sync::watch;

/// Bounded by the number of models.
#[derive(Debug)]
pub struct Readiness {
    passed: watch::Sender<bool>,
    models: Mutex<BTreeMap<ModelId, Seen>>,
    draining: AtomicBool,
    fetching: AtomicBool,
}

/// What is remembered of a model.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// It has spoken since start.
    spoke: bool,
    /// The last thing it did was to crash or fail, so that its starting is an attempt and not a load on demand.
    lost: bool,
    /// It was found to be unable to load, and has not been ready since.
    failed: bool,
}

impl Seen {
    /// `troubled`: its state comes with a reason, which `Unloaded` has when there was no room to load it.
    fn objection(self, state: ModelState, troubled: bool) -> Option<&'static str> {
        match state {
            ModelState::Backoff => Some("the model's worker crashed and restarts"),
            ModelState::Failed => Some("the model can't be loaded"),
            ModelState::Unloaded if troubled => Some("there is no room to load the model"),
            ModelState::Starting if self.lost => Some("the model's worker restarts after a failure"),
            ModelState::Starting if !self.spoke => Some("the model is loading"),
            _ if !self.spoke => Some("the model has not spoken yet"),
            _ => None,
        }
    }
}

/// Whether a model has been tried and can't be had for now, so that another one should be asked.
pub fn is_out(status: &ModelStatus) -> bool {
    status.state == ModelState::Failed || (status.state == ModelState::Unloaded && status.reason.is_some())
}

impl Default for Readiness {
    fn default() -> Self {
        Self {
            passed: watch::Sender::new(false),
            models: Mutex::default(),
            draining: AtomicBool::new(false),
            fetching: AtomicBool::new(false),
        }
    }
}

impl Readiness {
    fn models(&self) -> MutexGuard<'_, BTreeMap<ModelId, Seen>> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The model has spoken.
    pub fn pass(&self, model: &ModelId) {
        self.models().entry(model.clone()).or_default().spoke = true;
        self.passed.send_replace(true);
    }

    pub fn has_passed(&self, model: &ModelId) -> bool {
        self.models().get(model).is_some_and(|seen| seen.spoke)
    }

    /// Resolves once any model has spoken.
    pub async fn somebody_speaks(&self) {
        // The sender is ours, so this can't fail.
        let _ = self.passed.subscribe().wait_for(|passed| *passed).await;
    }

    /// Takes note of what a model went through; `Starting` and `Draining` say nothing.
    pub fn note(&self, model: &ModelId, state: ModelState) {
        let lost = match state {
            ModelState::Ready | ModelState::Unloaded => false,
            ModelState::Backoff | ModelState::Failed => true,
            ModelState::Starting | ModelState::Draining => return,
        };
        let mut models = self.models();
        let seen = models.entry(model.clone()).or_default();
        seen.failed = state == ModelState::Failed || (seen.failed && lost);
        seen.lost = lost;
    }

    /// Why the model can't speak now, in words for a probe; `None` when it can, loading on demand included: a probe
    /// must not flip because a model that is well is unloaded or loaded again.
    pub fn objection(&self, model: &ModelId, status: Option<&ModelStatus>) -> Option<&'static str> {
        let seen = self.models().get(model).copied().unwrap_or_default();
        let Some(status) = status else { return Some("the model's files are not here") };
        seen.objection(status.state, status.reason.is_some())
    }

    /// Whether another model should be asked at once: this one can't be had, or is being tried again after it could not.
    pub(crate) fn is_out(&self, model: &ModelId, status: &ModelStatus) -> bool {
        let failed = || self.models().get(model).is_some_and(|seen| seen.failed);
        is_out(status) || (status.state == ModelState::Starting && failed())
    }

    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Whether the default model's files are on their way.
    pub fn set_fetching(&self, fetching: bool) {
        self.fetching.store(fetching, Ordering::Release);
    }
    pub fn is_fetching(&self) -> bool {
        self.fetching.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loading_on_demand_is_ready_and_restarting_after_a_loss_is_not() {
        let (readiness, model) = (Readiness::default(), ModelId::from("m"));
        let seen = || readiness.models().get(&model).copied().unwrap_or_default();
        let objects = |state| seen().objection(state, false).is_some();
        assert!(objects(ModelState::Ready), "it has not spoken yet");
        readiness.pass(&model);
        for state in [ModelState::Ready, ModelState::Draining, ModelState::Unloaded, ModelState::Starting] {
            readiness.note(&model, state);
            assert!(!objects(state), "{state:?}");
        }
        for state in [ModelState::Backoff, ModelState::Starting, ModelState::Failed, ModelState::Starting] {
            readiness.note(&model, state);
            assert!(objects(state), "{state:?}");
        }
        readiness.note(&model, ModelState::Ready);
        assert!(!objects(ModelState::Ready) && !objects(ModelState::Starting));
        let starting = ModelStatus { state: ModelState::Starting, ..ModelStatus::default() };
        let (crashed, failed) = (ModelState::Backoff, ModelState::Failed);
        for (last, out) in [(crashed, false), (failed, true), (crashed, true), (ModelState::Ready, false)] {
            readiness.note(&model, last);
            assert_eq!(readiness.is_out(&model, &starting), out, "starting after {last:?}");
        }
        assert!(seen().objection(ModelState::Unloaded, true).is_some(), "it does not fit");
        assert!(readiness.objection(&model, None).is_some(), "it is not installed");
    }
}
