//! Keys and values of voices that have spoken lately, so that a voice's constant beginning is computed once.

use std::sync::Arc;
use stentor_engine::VoiceSlot;

/// A voice, and the bits of the emotion it speaks with.
pub(super) type PrefixKey = (VoiceSlot, u32);

/// Least recently used first; bounded in bytes, but for the latest.
pub(super) struct Prefixes<P> {
    held: Vec<(PrefixKey, Arc<P>, u64)>,
    max_bytes: u64,
}

impl<P> Prefixes<P> {
    pub(super) fn new(max_bytes: u64) -> Self {
        Self { held: Vec::new(), max_bytes }
    }

    pub(super) fn get(&mut self, key: PrefixKey) -> Option<Arc<P>> {
        let index = self.held.iter().position(|(held, ..)| *held == key)?;
        let found = self.held.remove(index);
        let prefix = Arc::clone(&found.1);
        self.held.push(found);
        Some(prefix)
    }

    pub(super) fn put(&mut self, key: PrefixKey, prefix: Arc<P>, bytes: u64) {
        self.held.retain(|(held, ..)| *held != key);
        self.held.push((key, prefix, bytes));
        while self.held.len() > 1 && self.held.iter().map(|(_, _, bytes)| bytes).sum::<u64>() > self.max_bytes
        {
            self.held.remove(0);
        }
    }

    /// The voice is gone.
    pub(super) fn forget(&mut self, voice: VoiceSlot) {
        self.held.retain(|((held, _), ..)| *held != voice);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_go_when_their_bytes_are_too_many() {
        let mut prefixes = Prefixes::new(250);
        let key = |voice: u64, emotion: u32| (VoiceSlot(voice), emotion);
        for voice in 0..2 {
            prefixes.put(key(voice, 0), Arc::new(voice), 100);
        }
        assert_eq!(prefixes.get(key(0, 0)).as_deref(), Some(&0));
        prefixes.put(key(0, 1), Arc::new(7), 100);
        assert_eq!(prefixes.get(key(1, 0)), None, "300 bytes, and this one was used the longest ago");
        assert!(prefixes.get(key(0, 0)).is_some() && prefixes.get(key(0, 1)).is_some());
        prefixes.put(key(5, 0), Arc::new(9), 1000);
        assert_eq!(prefixes.held.len(), 1, "the latest is kept whatever its size");
        prefixes.forget(VoiceSlot(5));
        assert_eq!(prefixes.get(key(5, 0)), None);
    }
}
