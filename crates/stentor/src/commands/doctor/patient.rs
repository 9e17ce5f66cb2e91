//! What the doctor knows of the server that would be started with this configuration.

use crate::{
    compose,
    config::{self, Config},
    nvml::DeviceMemory,
    startup,
};
use anyhow::Result;
use std::time::Duration;
use stentor_catalog::Catalog;
use stentor_types::{DeviceSpec, ModelId};

/// The configuration and the devices of this machine.
pub(super) struct Patient<'a> {
    config: &'a Config,
    pub(super) memory: DeviceMemory,
}

impl<'a> Patient<'a> {
    pub(super) fn new(config: &'a Config) -> Self {
        let visible = config::cuda_visible_devices();
        Self { config, memory: DeviceMemory::new(visible.as_deref()) }
    }

    pub(super) fn catalog(&self) -> Result<Catalog> {
        compose::catalog(self.config)
    }

    /// In one line.
    pub(super) fn settings(&self) -> String {
        let Config { listen, model, .. } = self.config;
        let model = model.as_deref().unwrap_or("the best that is installed");
        format!("listen {listen}; model: {model}; device: {}", self.device())
    }

    /// Where models run, as configured.
    pub(super) fn device(&self) -> DeviceSpec {
        self.config.settings.common.device
    }

    /// The model that was asked for by name, which `serve` fetches when it is missing.
    pub(super) fn is_asked_for(&self, model: &ModelId, catalog: &Catalog) -> bool {
        let name = self.config.model.as_deref();
        name.is_some_and(|name| catalog.resolve_model(Some(name)).is_ok_and(|asked| asked.id == *model))
    }

    pub(super) fn is_offline(&self) -> bool {
        self.config.catalog.hf.offline
    }

    /// Starts the default model's worker as the server would, has it speak a word and stops it.
    pub(super) async fn speak(&self) -> Result<()> {
        let app = compose::app(self.config, None)?;
        let spoken = startup::canary(&app, &app.default_model).await;
        app.supervisor.shutdown(Duration::ZERO).await;
        spoken
    }
}
