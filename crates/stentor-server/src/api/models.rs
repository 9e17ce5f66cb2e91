//! The wire form of `GET /v1/models`.

use serde::{Deserialize, Serialize};
use stentor_catalog::Model;
use stentor_supervisor::{Counters, ModelState, ModelStatus, Unloaded, WorkerProgress};
use stentor_types::{Language, ParamSpec, Precision};
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelObject<'a> {
    pub id: &'a str,
    pub object: &'static str,
    /// OpenAI's clients want a Unix time; a model of ours has no meaningful one.
    pub created: u64,
    pub owned_by: &'static str,
    pub name: &'a str,
    pub licence: &'a str,
    pub languages: Vec<&'a str>,
    /// Its files are here, so that it can speak.
    pub installed: bool,
}

impl<'a> From<&'a Model> for ModelObject<'a> {
    fn from(model: &'a Model) -> Self {
        Self {
            id: model.id.as_str(),
            object: "model",
            created: 0,
            owned_by: "stentor",
            name: &model.name,
            licence: &model.licence,
            languages: model.languages.iter().map(Language::as_str).collect(),
            installed: model.installed,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelList<'a> {
    pub object: &'static str,
    pub data: Vec<ModelObject<'a>>,
}

/// `GET /v1/audio/models`: what a client's list of models to speak with is filled from.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AudioModelList<'a> {
    pub models: Vec<AudioModel<'a>>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AudioModel<'a> {
    pub id: &'a str,
    pub name: &'a str,
}

/// A voice of a model, by the key under which clients look for it there.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VoiceName<'a> {
    pub name: &'a str,
}

/// The body of `POST /v1/models/load` and `/unload`.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct ModelName {
    pub(crate) model: String,
}

/// One model with its life and its work.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelDetail<'a> {
    #[serde(flatten)]
    pub(crate) model: ModelObject<'a>,
    /// Those it can use now, by id; uploaded ones by name, if that means no other.
    pub voices: Vec<VoiceName<'a>>,
    /// `unloaded`, `starting`, `ready`, `draining`, `backoff`, `failed`; `null` when not installed.
    pub state: Option<&'static str>,
    /// Why it is in that state, where that needs a reason.
    pub reason: Option<String>,
    /// Where it really runs, as of its last start.
    pub device: Option<String>,
    /// Of weights and activations: `f32` or `f16`.
    #[schema(value_type = Option<String>)]
    pub precision: Option<Precision>,
    /// Why it runs elsewhere, or otherwise, than it was asked to.
    pub degraded: Option<String>,
    /// What a request may set beyond the common fields, with ranges and defaults; known once it was loaded.
    #[schema(schema_with = crate::openapi::engine_parameters)]
    pub parameters: Option<Vec<ParamSpec>>,
    /// Cues that a text may hold, such as `[laugh]`.
    pub cues: Option<Vec<String>>,
    /// Held on its device while it is loaded.
    pub memory_bytes: Option<u64>,
    /// From the start of its worker until it could speak, the last time.
    pub load_seconds: Option<f64>,
    /// For how long nobody has used it.
    pub idle_seconds: Option<f64>,
    /// `idle`, `asked`, `evicted` or `yielded`, when it was loaded before.
    pub why_unloaded: Option<&'static str>,
    pub requests_waiting: u64,
    pub requests_running: u64,
    pub chunks_done: u64,
    pub chunks_cancelled: u64,
    /// Taken over from another request that wanted the same, or found in the store.
    pub chunks_shared: u64,
    pub chunks_reused: u64,
    pub worker_restarts: u64,
    /// Since the current worker started.
    pub samples_synthesized: u64,
    /// Chunks in the engine or on their way into it.
    pub chunks_active: u64,
}

impl<'a> ModelDetail<'a> {
    pub(crate) fn new(
        (model, voices): (&'a Model, Vec<VoiceName<'a>>),
        status: Option<ModelStatus>,
        counters: Counters,
        progress: WorkerProgress,
    ) -> Self {
        let descriptor = status.as_ref().and_then(|status| status.descriptor.clone());
        Self {
            model: model.into(),
            voices,
            state: status.as_ref().map(|status| state_name(status.state)),
            load_seconds: status.as_ref().and_then(|status| status.load_seconds),
            idle_seconds: status.as_ref().and_then(|status| Some(status.idle_for?.as_secs_f64())),
            why_unloaded: status.as_ref().and_then(|status| status.why_unloaded.map(why_name)),
            memory_bytes: status.as_ref().and_then(|status| status.memory),
            reason: status.and_then(|status| status.reason),
            device: descriptor.as_ref().map(|descriptor| descriptor.device.to_string()),
            precision: descriptor.as_ref().map(|descriptor| descriptor.precision),
            parameters: descriptor.as_ref().map(|descriptor| descriptor.params.clone()),
            cues: descriptor.as_ref().map(|descriptor| descriptor.tags.clone()),
            degraded: descriptor.and_then(|descriptor| descriptor.degraded.clone()),
            requests_waiting: counters.waiting,
            requests_running: counters.running,
            chunks_done: counters.chunks_done,
            chunks_cancelled: counters.cancels,
            chunks_shared: counters.chunks_shared,
            chunks_reused: counters.chunks_reused,
            worker_restarts: counters.restarts,
            samples_synthesized: progress.samples,
            chunks_active: progress.active,
        }
    }
}

pub(crate) fn state_name(state: ModelState) -> &'static str {
    match state {
        ModelState::Unloaded => "unloaded",
        ModelState::Starting => "starting",
        ModelState::Ready => "ready",
        ModelState::Draining => "draining",
        ModelState::Backoff => "backoff",
        ModelState::Failed => "failed",
    }
}

pub(crate) fn why_name(why: Unloaded) -> &'static str {
    match why {
        Unloaded::Idle => "idle",
        Unloaded::Asked => "asked",
        Unloaded::Evicted => "evicted",
        Unloaded::Yielded => "yielded",
    }
}
