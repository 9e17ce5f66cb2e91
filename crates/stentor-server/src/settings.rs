//! What the operator decides, as far as requests are concerned. Replaced as a whole when the configuration is read again.

use crate::access::Access;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use stentor_text::lexicon::Lexicon;
use stentor_types::{DeviceSpec, ModelId, Precision};

/// Bounds on what a client may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of UTF-8 in `input`.
    pub max_input_bytes: usize,
    /// Characters of `input` that may be answered as one whole file, which is held in memory.
    pub max_whole_chars: usize,
    /// Seconds of such a file; pauses count too.
    pub max_whole_seconds: u32,
    /// How long a client may leave its audio unread before its place is given to another.
    pub stalled_reader: Duration,
    /// How long a client may take to send the whole body of its request.
    pub body_timeout: Duration,
    /// A request that doesn't say how long it would wait for its first sound waits this long; `None`: for ever.
    pub request_timeout: Option<Duration>,
    /// Characters up to which a request that doesn't say so counts as one that somebody is waiting for.
    pub interactive_chars: usize,
    /// Of an uploaded recording.
    pub max_voice_bytes: usize,
    /// Of an uploaded recording; models hear its first half minute.
    pub max_voice_seconds: u32,
    /// That clients may have uploaded at a time.
    pub max_voices: usize,
}

impl Limits {
    /// JSON may spell characters as escapes; four times the text leaves room for any of more than one byte.
    pub fn max_body_bytes(&self) -> usize {
        self.max_input_bytes.saturating_mul(4).saturating_add(64 * 1024)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_input_bytes: 1024 * 1024,
            max_whole_chars: 30_000,
            max_whole_seconds: 2400,
            stalled_reader: Duration::from_secs(120),
            body_timeout: Duration::from_secs(60),
            request_timeout: Some(Duration::from_secs(120)),
            interactive_chars: 1000,
            max_voice_bytes: 10 * 1024 * 1024,
            max_voice_seconds: 120,
            max_voices: 200,
        }
    }
}

/// How one model is run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelSettings {
    pub device: DeviceSpec,
    pub precision: Precision,
    /// Compute threads; zero means one per core.
    pub threads: usize,
    /// Unloaded after that long without a request; `None` keeps it.
    pub idle_timeout: Option<Duration>,
    /// Who speaks, in this order, when this model can't.
    pub fallback: Vec<ModelId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    pub limits: Limits,
    /// For models that are not in `models`; its `fallback` is the default model's.
    pub common: ModelSettings,
    pub models: BTreeMap<ModelId, ModelSettings>,
    /// A request that names its model may be spoken by a fallback too.
    pub fallback_for_named: bool,
    /// Entries for every request; those of a request win over them.
    pub lexicon: Arc<Lexicon>,
    pub access: Access,
}

impl Settings {
    pub fn of(&self, model: &ModelId) -> &ModelSettings {
        self.models.get(model).unwrap_or(&self.common)
    }

    /// Who stands in for `model`, in order; never itself, and nobody twice.
    pub fn fallback_of(&self, model: &ModelId, is_default: bool) -> Vec<ModelId> {
        let own = self.models.get(model).map(|settings| &settings.fallback).filter(|own| !own.is_empty());
        let common = is_default.then_some(&self.common.fallback);
        let mut chain: Vec<ModelId> = Vec::new();
        for id in own.or(common).into_iter().flatten() {
            if id != model && !chain.contains(id) {
                chain.push(id.clone());
            }
        }
        chain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_fallback_is_the_default_models_and_its_own_comes_first() {
        let ids = |names: &[&str]| names.iter().map(|name| ModelId::from(*name)).collect::<Vec<_>>();
        let own = ModelSettings { fallback: ids(&["b", "a", "b", "c"]), ..ModelSettings::default() };
        let common = ModelSettings { fallback: ids(&["z"]), ..ModelSettings::default() };
        let models = [(ModelId::from("a"), own)].into();
        let settings = Settings { common, models, ..Settings::default() };
        assert_eq!(settings.fallback_of(&"a".into(), true), ids(&["b", "c"]));
        assert_eq!(settings.fallback_of(&"x".into(), true), ids(&["z"]));
        assert_eq!(settings.fallback_of(&"x".into(), false), ids(&[]));
    }
}
