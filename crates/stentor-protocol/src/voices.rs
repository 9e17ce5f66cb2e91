//! Voices that the engine holds ready, so that a voice is read once and not once per chunk.

use stentor_engine::{Engine, EngineError, VoiceSlot};
use stentor_types::VoiceSource;

/// Voices kept at once. The largest kind, a cloned voice, takes about a megabyte.
const CAPACITY: usize = 32;

/// Least recently used first.
#[derive(Default)]
pub(crate) struct VoiceCache(Vec<(VoiceSource, VoiceSlot)>);

impl VoiceCache {
    /// The slot of `source`, loaded if need be; the least recently used voice is dropped for it.
    pub(crate) fn slot(
        &mut self,
        engine: &mut dyn Engine,
        source: &VoiceSource,
    ) -> Result<VoiceSlot, EngineError> {
        let held = self.0.iter().position(|(held, _)| held == source);
        let entry = match held {
            Some(index) => self.0.remove(index),
            None => (source.clone(), engine.load_voice(source)?),
        };
        let slot = entry.1;
        self.0.push(entry);
        if self.0.len() > CAPACITY {
            let (_, oldest) = self.0.remove(0);
            engine.drop_voice(oldest);
        }
        Ok(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stentor_testkit::FakeEngine;

    #[test]
    fn a_voice_is_loaded_once_and_the_least_recently_used_one_goes() {
        let mut engine = FakeEngine::default();
        let mut cache = VoiceCache::default();
        let named = |index: usize| VoiceSource::Preset { name: format!("voice-{index}") };
        let first = cache.slot(&mut engine, &named(0)).unwrap();
        for index in 1..CAPACITY {
            cache.slot(&mut engine, &named(index)).unwrap();
        }
        assert_eq!(cache.slot(&mut engine, &named(0)).unwrap(), first);
        assert_eq!(engine.voices_held(), CAPACITY);
        cache.slot(&mut engine, &named(CAPACITY)).unwrap();
        assert_eq!(engine.voices_held(), CAPACITY);
        assert_eq!(cache.slot(&mut engine, &named(0)).unwrap(), first, "used recently, so kept");
        assert_ne!(cache.slot(&mut engine, &named(1)).unwrap(), VoiceSlot(1), "dropped, so loaded anew");
    }
}
