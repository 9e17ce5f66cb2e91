//! What a model's next worker is to load, how it is kept, and what it is known to need.

use crate::ModelOptions;
use std::sync::{Mutex, MutexGuard, PoisonError};
use stentor_types::{DeviceSpec, LoadSpec};

pub(crate) struct Plan(Mutex<Inner>);

struct Inner {
    spec: LoadSpec,
    options: ModelOptions,
    /// Bytes that a worker of this spec last needed, and on which device.
    measured: Option<(DeviceSpec, u64)>,
}

impl Plan {
    pub(crate) fn new(spec: LoadSpec, options: ModelOptions) -> Self {
        Self(Mutex::new(Inner { spec, options, measured: None }))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn update(&self, spec: LoadSpec, options: ModelOptions) {
        let mut inner = self.inner();
        if inner.spec != spec {
            inner.spec = spec;
            inner.measured = None;
        }
        inner.options = options;
    }

    pub(crate) fn spec(&self) -> LoadSpec {
        self.inner().spec.clone()
    }

    pub(crate) fn options(&self) -> ModelOptions {
        self.inner().options.clone()
    }

    /// What a worker loaded from `spec` holds, where zero says that nobody knows, and what speaking takes on top.
    pub(crate) fn measured(&self, spec: &LoadSpec, device: DeviceSpec, (held, speaking): (u64, u64)) {
        let mut inner = self.inner();
        if held > 0 && inner.spec == *spec {
            inner.measured = Some((device, held.saturating_add(speaking)));
        }
    }

    /// Bytes that the model will need on `device`: as measured there, else as expected; zero is unknown.
    pub(crate) fn need(&self, device: DeviceSpec) -> u64 {
        let inner = self.inner();
        let measured = inner.measured.filter(|(on, _)| *on == device);
        measured.map_or(inner.options.memory, |(_, memory)| memory)
    }
}
