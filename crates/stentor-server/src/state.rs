//! What a handler may use, built once by the composition root; catalog and settings can be replaced while it runs.

use crate::{Metrics, Readiness, Settings, access::Meters};
use axum::extract::FromRef;
use std::{
    collections::BTreeMap,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError, RwLock, atomic::AtomicU64},
};
use stentor_catalog::{Catalog, CatalogError};
use stentor_supervisor::{ModelOptions, Supervisor};
use stentor_types::ModelId;
use tokio::sync::Semaphore;

/// Uploads at once.
const UPLOADS: usize = 8;

/// The server's parts. Randomness comes in as `random`, so that tests can fix it.
pub struct App {
    catalog: RwLock<Arc<Catalog>>,
    settings: RwLock<Arc<Settings>>,
    /// Held by whoever reads the folders again, so that an older reading never replaces a newer one.
    renewing: Mutex<()>,
    /// Places for uploads that are being received and decoded; each takes some tens of megabytes.
    pub(crate) uploads: Semaphore,
    pub(crate) meters: Meters,
    /// Who speaks for whom at the moment, as last logged; bounded by the number of models.
    stand_ins: Mutex<BTreeMap<ModelId, ModelId>>,
    pub supervisor: Supervisor,
    pub readiness: Readiness,
    pub metrics: Arc<Metrics>,
    /// For requests that name no model of ours.
    pub default_model: ModelId,
    /// Names this build of program and engines; chunks of another build are not found in the store.
    pub build_id: String,
    pub random: fn() -> u64,
    pub request_counter: AtomicU64,
}

/// What an [`App`] is made from.
pub struct Parts {
    pub catalog: Catalog,
    pub settings: Settings,
    pub supervisor: Supervisor,
    pub metrics: Metrics,
    pub default_model: ModelId,
    pub build_id: String,
    pub random: fn() -> u64,
}

impl App {
    /// Makes the installed models known to the supervisor; must be called within a tokio runtime.
    pub fn new(parts: Parts) -> Self {
        let app = Self {
            catalog: RwLock::new(Arc::new(parts.catalog)),
            settings: RwLock::new(Arc::new(parts.settings)),
            renewing: Mutex::default(),
            uploads: Semaphore::new(UPLOADS),
            meters: Meters::default(),
            stand_ins: Mutex::default(),
            supervisor: parts.supervisor,
            readiness: Readiness::default(),
            metrics: Arc::new(parts.metrics),
            default_model: parts.default_model,
            build_id: parts.build_id,
            random: parts.random,
            request_counter: AtomicU64::new(1),
        };
        app.tell_supervisor();
        app
    }

    /// The catalog as it is now; a request keeps the one that it began with.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the catalog, for requests that come later, by what `read` makes of it; on an error it stays as it was. The
    /// default model stays the same one: readiness has been shown for it. Blocks; must be called within a tokio runtime.
    pub fn renew_catalog<E: From<CatalogError>>(
        &self,
        read: impl FnOnce(&Catalog) -> Result<Catalog, E>,
    ) -> Result<(), E> {
        let _alone = self.renewing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.catalog();
        let mut fresh = read(&old)?;
        fresh.set_default(self.default_model.clone())?;
        for warning in fresh.warnings().iter().filter(|warning| !old.warnings().contains(warning)) {
            tracing::warn!("{warning}");
        }
        *self.catalog.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
        self.tell_supervisor();
        Ok(())
    }

    /// For requests that come later.
    pub fn replace_settings(&self, settings: Settings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
        self.tell_supervisor();
    }

    /// Who stands in for `model`, in order.
    pub fn fallback_of(&self, model: &ModelId) -> Vec<ModelId> {
        self.settings().fallback_of(model, *model == self.default_model)
    }

    fn tell_supervisor(&self) {
        let (catalog, settings) = (self.catalog(), self.settings());
        for model in catalog.models().iter().filter(|model| model.installed) {
            let own = settings.of(&model.id);
            match model.load_spec(own.device, own.precision, own.threads) {
                Ok(spec) => {
                    let memory = model.memory.unwrap_or(0);
                    let options = ModelOptions { idle_timeout: own.idle_timeout, memory };
                    self.supervisor.update_model(spec, options);
                }
                Err(error) => tracing::warn!(model = %model.id, "left out: {error}"),
            }
        }
    }

    /// Says so in the log when another model than before speaks for `asked`; `why` the asked one doesn't.
    pub(crate) fn note_speaker(&self, asked: &ModelId, speaker: &ModelId, why: &str) {
        let mut stand_ins = self.stand_ins.lock().unwrap_or_else(PoisonError::into_inner);
        if asked == speaker {
            if stand_ins.remove(asked).is_some() {
                tracing::info!(model = %asked, "speaks for itself again");
            }
        } else if stand_ins.insert(asked.clone(), speaker.clone()).as_ref() != Some(speaker) {
            tracing::info!(model = %asked, fallback = %speaker, "the fallback speaks: {why}");
        }
    }
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
