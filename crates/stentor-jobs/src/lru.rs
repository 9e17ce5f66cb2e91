//! What was used last stays: a map bounded in bytes. Order goes by a counter, so that no clock is needed.

use std::collections::{BTreeMap, HashMap};
use stentor_types::ChunkKey;

struct Entry<V> {
    value: V,
    bytes: u64,
    stamp: i64,
}

/// The bytes of all entries together never exceed `limit`.
pub(crate) struct Lru<V> {
    limit: u64,
    bytes: u64,
    entries: HashMap<ChunkKey, Entry<V>>,
    /// Least recently used first.
    order: BTreeMap<i64, ChunkKey>,
}

impl<V> Lru<V> {
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, bytes: 0, entries: HashMap::new(), order: BTreeMap::new() }
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(crate) fn contains(&self, key: &ChunkKey) -> bool {
        self.entries.contains_key(key)
    }

    /// The value, which is now the last to go.
    pub(crate) fn touch(&mut self, key: &ChunkKey) -> Option<&V> {
        let newest = self.newest();
        let entry = self.entries.get_mut(key)?;
        self.order.remove(&entry.stamp);
        entry.stamp = newest;
        self.order.insert(newest, *key);
        Some(&entry.value)
    }

    /// Keeps a value as the last to go; gives back what had to go for it, which is itself when it is too large.
    pub(crate) fn insert(&mut self, key: ChunkKey, value: V, bytes: u64) -> Vec<(ChunkKey, V)> {
        let stamp = self.newest();
        self.insert_at(stamp, key, value, bytes)
    }

    /// As [`Lru::insert`], but as the first to go.
    pub(crate) fn insert_oldest(&mut self, key: ChunkKey, value: V, bytes: u64) -> Vec<(ChunkKey, V)> {
        let stamp = self.order.first_key_value().map_or(0, |(stamp, _)| stamp - 1);
        self.insert_at(stamp, key, value, bytes)
    }

    fn insert_at(&mut self, stamp: i64, key: ChunkKey, value: V, bytes: u64) -> Vec<(ChunkKey, V)> {
        if bytes > self.limit {
            return vec![(key, value)];
        }
        self.remove(&key);
        self.bytes += bytes;
        self.entries.insert(key, Entry { value, bytes, stamp });
        self.order.insert(stamp, key);
        self.make_room(0)
    }

    /// Takes out the least recently used until `bytes` more would fit.
    pub(crate) fn make_room(&mut self, bytes: u64) -> Vec<(ChunkKey, V)> {
        let mut gone = Vec::new();
        while self.bytes.saturating_add(bytes) > self.limit {
            let Some(key) = self.order.first_key_value().map(|(_, key)| *key) else { break };
            gone.extend(self.remove(&key).map(|value| (key, value)));
        }
        gone
    }

    pub(crate) fn remove(&mut self, key: &ChunkKey) -> Option<V> {
        let entry = self.entries.remove(key)?;
        self.order.remove(&entry.stamp);
        self.bytes -= entry.bytes;
        Some(entry.value)
    }

    fn newest(&self) -> i64 {
        self.order.last_key_value().map_or(0, |(stamp, _)| stamp + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> ChunkKey {
        ChunkKey([n; 32])
    }

    fn keys(gone: &[(ChunkKey, u8)]) -> Vec<u8> {
        gone.iter().map(|(key, _)| key.0[0]).collect()
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let mut lru = Lru::new(30);
        for n in 1..=3 {
            assert!(lru.insert(key(n), n, 10).is_empty());
        }
        assert_eq!(lru.touch(&key(1)), Some(&1));
        assert_eq!(keys(&lru.insert(key(4), 4, 10)), [2]);
        assert_eq!(keys(&lru.insert(key(5), 5, 20)), [3, 1]);
        assert_eq!((lru.bytes(), lru.len()), (30, 2));
    }

    #[test]
    fn what_is_too_large_pushes_nothing_out_and_what_comes_as_oldest_goes_itself() {
        let mut lru = Lru::new(30);
        lru.insert(key(1), 1, 20);
        assert_eq!(keys(&lru.insert(key(2), 2, 31)), [2]);
        assert_eq!(keys(&lru.insert_oldest(key(3), 3, 20)), [3]);
        assert!(lru.insert_oldest(key(4), 4, 10).is_empty());
        assert_eq!(keys(&lru.make_room(5)), [4]);
        assert!(lru.contains(&key(1)));
    }

    #[test]
    fn a_key_that_comes_again_counts_once() {
        let mut lru = Lru::new(30);
        lru.insert(key(1), 1, 20);
        assert!(lru.insert(key(1), 9, 25).is_empty());
        assert_eq!((lru.bytes(), lru.len(), lru.touch(&key(1))), (25, 1, Some(&9)));
        assert_eq!(lru.remove(&key(1)), Some(9));
        assert_eq!((lru.bytes(), lru.len()), (0, 0));
    }
}
