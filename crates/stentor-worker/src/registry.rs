//! Which engines a worker can load, by the name in [`LoadSpec::engine`].

use std::collections::BTreeMap;
use stentor_engine::{Engine, LoadError};
use stentor_types::LoadSpec;

/// Makes an engine of what a spec names.
pub type Load = Box<dyn Fn(&LoadSpec) -> Result<Box<dyn Engine>, LoadError> + Send + Sync>;

/// Loaders by engine name.
#[derive(Default)]
pub struct Registry(BTreeMap<String, Load>);

impl Registry {
    /// A registry that knows no engine yet.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Adds an engine, or replaces the one of that name.
    #[must_use]
    pub fn with<F>(mut self, engine: &str, load: F) -> Self
    where
        F: Fn(&LoadSpec) -> Result<Box<dyn Engine>, LoadError> + Send + Sync + 'static,
    {
        self.0.insert(engine.to_owned(), Box::new(load));
        self
    }

    /// Puts `wrap` around every loader there is: it is given the spec and the loader, and may act before and after.
    #[must_use]
    pub fn wrapped<W>(self, wrap: W) -> Self
    where
        W: Fn(&LoadSpec, &Load) -> Result<Box<dyn Engine>, LoadError> + Clone + Send + Sync + 'static,
    {
        let around = |(name, load): (String, Load)| {
            let wrap = wrap.clone();
            let wrapped: Load = Box::new(move |spec: &LoadSpec| wrap(spec, &load));
            (name, wrapped)
        };
        Self(self.0.into_iter().map(around).collect())
    }

    /// Loads what `spec` names; an unknown engine is an error that lists the known ones.
    pub fn load(&self, spec: &LoadSpec) -> Result<Box<dyn Engine>, LoadError> {
        let load = self.0.get(&spec.engine).ok_or_else(|| {
            let known = self.0.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            LoadError(format!("no engine is called `{}` here; known: {known}", spec.engine))
        })?;
        load(spec)
    }
}

/// The engines of the product, one line each.
pub fn default_registry() -> Registry {
    Registry::empty()
        .with("chatterbox", stentor_engine_chatterbox::load)
        .with("kokoro", stentor_engine_kokoro::load)
}

/// Files of the models inside the program: name, content, and the SHA-256 that it should have, in hex.
pub fn embedded_files() -> Vec<(&'static str, &'static [u8], &'static str)> {
    stentor_engine_kokoro::builtin_files().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use stentor_types::{DeviceSpec, ModelId, Precision};

    #[test]
    fn an_unknown_engine_is_an_error_that_names_the_known_ones() {
        let spec = LoadSpec {
            model: ModelId::from("m"),
            engine: "cocoro".to_owned(),
            files: BTreeMap::new(),
            device: DeviceSpec::Cpu,
            precision: Precision::F32,
            threads: 1,
            cache_dir: None,
        };
        let Err(LoadError(why)) = default_registry().load(&spec) else { panic!("loaded") };
        assert!(why.contains("`cocoro`") && why.contains("kokoro"), "{why}");
    }
}
