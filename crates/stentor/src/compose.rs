//! Builds the parts from the configuration.

use crate::{
    config::{self, Config, Mistakes},
    nvml::DeviceMemory,
};
use anyhow::{Context as _, Result, bail};
use std::{env, ffi::OsString, sync::Arc};
use stentor_catalog::Catalog;
use stentor_jobs::{ChunkStore, ChunkStoreConfig};
use stentor_server::{App, AppState, Metrics, Parts};
use stentor_supervisor::{Supervisor, SupervisorConfig, WorkerCommand};
use stentor_types::ModelId;

/// Opens the catalog, settles which model is the default and checks every model that the configuration names.
pub(crate) fn catalog(config: &Config) -> Result<Catalog> {
    settled(config, Catalog::open(config.catalog.clone())?)
}

/// The catalog with the configuration's default model.
pub(crate) fn settled(config: &Config, mut catalog: Catalog) -> Result<Catalog> {
    if let Some(name) = &config.model {
        if let Some(error) = catalog.broken_manifest(name) {
            return Err(error.into());
        }
        let id = catalog.resolve_model(Some(name))?.id.clone();
        catalog.set_default(id)?;
    }
    let mistakes = unknown_models(config, &catalog);
    if mistakes.is_empty() { Ok(catalog) } else { Err(Mistakes(mistakes).into()) }
}

fn unknown_models(config: &Config, catalog: &Catalog) -> Vec<String> {
    let settings = &config.settings;
    let common = settings.common.fallback.iter().map(|id| ("fallback".to_owned(), id));
    let sections = settings.models.keys().map(|id| ("per_model or device".to_owned(), id));
    let chains = settings.models.iter().flat_map(|(model, own)| {
        own.fallback.iter().map(move |id| (format!("per_model.{model}.fallback"), id))
    });
    let known: Vec<&str> = catalog.models().iter().map(|model| model.id.as_str()).collect();
    let unknown = |(_, id): &(String, &ModelId)| catalog.model(id).is_none();
    common
        .chain(sections)
        .chain(chains)
        .filter(unknown)
        .map(|(place, id)| format!("{place}: there is no model `{id}`, only {}", known.join(", ")))
        .collect()
}

/// Everything that speaking needs. No worker is started yet. Must be called within a tokio runtime.
pub(crate) fn app(config: &Config, store: Option<ChunkStore>) -> Result<AppState> {
    let catalog = catalog(config)?;
    let default_model = catalog.resolve_model(None)?.id.clone();
    let build_id = crate::build_id();
    let supervisor = Supervisor::new(SupervisorConfig {
        max_waiting: config.max_waiting,
        vram_floor: config.vram_floor,
        memory: Arc::new(DeviceMemory::new(config::cuda_visible_devices().as_deref())),
        store: store.clone(),
        random,
        ..SupervisorConfig::new(worker_command()?, &build_id)
    });
    let metrics = Metrics::new(supervisor.clone(), store, env!("CARGO_PKG_VERSION"));
    Ok(AppState(Arc::new(App::new(Parts {
        catalog,
        settings: config.settings.clone(),
        supervisor,
        metrics,
        default_model,
        build_id,
        random,
    }))))
}

/// The store of finished chunks. A directory that can't be used costs the files only; a server never stops for it.
pub(crate) fn chunk_store(config: &Config) -> Option<ChunkStore> {
    let sizes = config.cache;
    let directory = config.catalog.data_dir.join("chunks");
    let open = |disk_bytes| {
        let directory = directory.clone();
        ChunkStore::open(ChunkStoreConfig { memory_bytes: sizes.memory, disk_bytes, directory })
    };
    if sizes.memory == 0 && sizes.disk == 0 {
        return None;
    }
    match open(sizes.disk) {
        Ok(store) => Some(store),
        Err(error) => {
            tracing::warn!("finished speech is kept in memory only: {error}");
            open(0).ok()
        }
    }
}

/// A worker is this very program.
fn worker_command() -> Result<WorkerCommand> {
    let program = env::current_exe().context("finding this program's own path")?;
    if !program.exists() {
        bail!("{} is gone, so no worker can be started from it", program.display());
    }
    Ok(WorkerCommand { program, args: vec![OsString::from("worker")] })
}

fn random() -> u64 {
    getrandom::u64().unwrap_or_default()
}

/// What nobody can guess, or an error: never a constant.
pub(crate) fn secret() -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).context("the system's randomness")?;
    Ok(bytes)
}
