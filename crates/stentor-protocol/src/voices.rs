//! Voices that the engine holds ready, so that a voice is read once and not once per chunk.

use stentor_engine::{Engine, EngineError, VoiceSlot, Waiter};
use stentor_types::VoiceSource;

/// Voices kept at once.
const MAX_VOICES: usize = 32;
/// Bytes of voices kept at once, as the engine counts them; the latest is kept whatever its size.
const MAX_BYTES: u64 = 256 << 20;

/// Least recently used first.
#[derive(Default)]
pub(crate) struct VoiceCache(Vec<Held>);

struct Held {
    source: VoiceSource,
    digest: String,
    slot: VoiceSlot,
    bytes: u64,
}

impl VoiceCache {
    /// Whether [`Self::slot`] needs no work.
    pub(crate) fn holds(&self, source: &VoiceSource, digest: &str) -> bool {
        self.0.iter().any(|held| held.source == *source && held.digest == digest)
    }

    /// The slot of a voice of this content, loaded if need be. What was loaded from the same source with another
    /// content is dropped, and so are the least recently used voices where they are too many.
    pub(crate) fn slot(
        &mut self,
        engine: &mut dyn Engine,
        (source, digest): (&VoiceSource, &str),
        waiter: &Waiter,
    ) -> Result<VoiceSlot, EngineError> {
        let held = self.0.iter().position(|held| held.source == *source).map(|index| self.0.remove(index));
        let held = match held {
            Some(held) if held.digest == digest => held,
            outdated => {
                if let Some(Held { slot, .. }) = outdated {
                    engine.drop_voice(slot);
                }
                let slot = engine.load_voice(source, waiter)?;
                let bytes = engine.voice_bytes(slot);
                Held { source: source.clone(), digest: digest.to_owned(), slot, bytes }
            }
        };
        let slot = held.slot;
        self.0.push(held);
        while self.is_over_full() {
            engine.drop_voice(self.0.remove(0).slot);
        }
        Ok(slot)
    }

    fn is_over_full(&self) -> bool {
        let bytes: u64 = self.0.iter().map(|held| held.bytes).sum();
        self.0.len() > MAX_VOICES || (bytes > MAX_BYTES && self.0.len() > 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stentor_engine::{ChunkRequest, DeviceLost, EngineDescriptor, StepSink};
    use stentor_testkit::FakeEngine;
    use stentor_types::ChunkId;

    fn named(index: usize) -> VoiceSource {
        VoiceSource::Preset { name: format!("voice-{index}") }
    }

    #[test]
    fn a_voice_is_loaded_once_and_the_least_recently_used_one_goes() {
        let mut engine = FakeEngine::default();
        let mut cache = VoiceCache::default();
        let mut slot = |index| cache.slot(&mut engine, (&named(index), ""), &Waiter::default()).unwrap();
        let first = slot(0);
        for index in 1..MAX_VOICES {
            slot(index);
        }
        assert_eq!(slot(0), first);
        slot(MAX_VOICES);
        assert_eq!(slot(0), first, "used recently, so kept");
        assert_ne!(slot(1), VoiceSlot(1), "dropped, so loaded anew");
        assert_eq!(engine.voices_held(), MAX_VOICES);
    }

    #[test]
    fn a_voice_whose_content_has_changed_is_read_again_and_the_old_one_dropped() {
        let mut engine = FakeEngine::default();
        let mut cache = VoiceCache::default();
        let mut slot = |digest| cache.slot(&mut engine, (&named(0), digest), &Waiter::default()).unwrap();
        let old = slot("old");
        assert_eq!(slot("old"), old);
        let new = slot("new");
        assert_ne!(new, old);
        assert_eq!(slot("new"), new);
        assert_eq!(engine.voices_held(), 1);
    }

    /// Voices of 100 MiB each.
    struct Heavy(FakeEngine);

    impl Engine for Heavy {
        fn descriptor(&self) -> &EngineDescriptor {
            self.0.descriptor()
        }
        fn load_voice(&mut self, source: &VoiceSource, waiter: &Waiter) -> Result<VoiceSlot, EngineError> {
            self.0.load_voice(source, waiter)
        }
        fn drop_voice(&mut self, slot: VoiceSlot) {
            self.0.drop_voice(slot);
        }
        fn voice_bytes(&self, _slot: VoiceSlot) -> u64 {
            100 << 20
        }
        fn admit(&mut self, request: ChunkRequest) -> Result<(), EngineError> {
            self.0.admit(request)
        }
        fn step(&mut self, sink: &mut dyn StepSink) -> Result<(), DeviceLost> {
            self.0.step(sink)
        }
        fn cancel(&mut self, chunk: ChunkId) {
            self.0.cancel(chunk);
        }
    }

    #[test]
    fn large_voices_are_bounded_by_their_bytes() {
        let mut engine = Heavy(FakeEngine::default());
        let mut cache = VoiceCache::default();
        let mut slot = |index| cache.slot(&mut engine, (&named(index), ""), &Waiter::default()).unwrap();
        let kept = [slot(0), slot(1), slot(2)][2];
        assert_eq!(slot(2), kept);
        assert_eq!(engine.0.voices_held(), 2, "three would be 300 MiB");
    }
}
