//! Builds the parts from the configuration.

use crate::config::Config;
use anyhow::{Context as _, Result, bail};
use std::{env, ffi::OsString, sync::Arc, sync::atomic::AtomicU64};
use stentor_catalog::Catalog;
use stentor_server::{App, AppState, Readiness};
use stentor_supervisor::{ModelOptions, Supervisor, SupervisorConfig, WorkerCommand};
use stentor_types::Precision;

/// Opens the catalog and settles which model is the default.
pub(crate) fn catalog(config: &Config) -> Result<Catalog> {
    let mut catalog = Catalog::open(config.catalog.clone())?;
    if let Some(name) = &config.model {
        let id = catalog.resolve_model(Some(name))?.id.clone();
        catalog.set_default(id)?;
    }
    Ok(catalog)
}

/// Everything a handler may use. No worker is started yet.
pub(crate) fn app(config: &Config) -> Result<AppState> {
    let catalog = catalog(config)?;
    let default_model = catalog.resolve_model(None)?.id.clone();
    let supervisor = Supervisor::new(SupervisorConfig {
        max_waiting: config.max_waiting,
        ..SupervisorConfig::new(worker_command()?, crate::BUILD_ID)
    });
    for model in catalog.models().iter().filter(|model| model.installed) {
        supervisor.add_model(
            model.load_spec(config.device, Precision::F32, config.threads)?,
            ModelOptions::default(),
        );
    }
    Ok(AppState(Arc::new(App {
        catalog,
        supervisor,
        limits: config.limits,
        readiness: Readiness::default(),
        default_model,
        device: config.device,
        threads: config.threads,
        random,
        request_counter: AtomicU64::new(1),
    })))
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
