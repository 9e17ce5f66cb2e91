//! Names for chunks: everything that a chunk's samples depend on, hashed.

use sha2::{Digest as _, Sha256};
use stentor_types::{ChunkKey, SpokenText};

/// What all chunks of a request have in common, hashed.
#[derive(Clone)]
pub struct KeyBase(Sha256);

impl KeyBase {
    /// `parts`: build, model and its revision, voice digest, language, speed, parameters, seed. Each part is hashed
    /// with its length, so that no two lists give the same key.
    pub fn new(parts: &[&[u8]]) -> Self {
        parts.iter().fold(Self(Sha256::new()), |base, part| base.with(part))
    }

    /// The base where one more thing is in common.
    #[must_use]
    pub fn with(&self, part: &[u8]) -> Self {
        let mut hash = self.0.clone();
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
        Self(hash)
    }

    /// The key of one chunk: the base and the text that the engine is given.
    pub fn chunk(&self, text: &SpokenText) -> ChunkKey {
        ChunkKey(self.with(text.text.as_bytes()).0.finalize().into())
    }
}

impl std::fmt::Debug for KeyBase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyBase")
    }
}
