//! What outlives a request: the store of finished chunks.

mod chunk_file;
mod chunk_store;
mod folder;
mod key;
mod lru;

pub use chunk_store::{ChunkStore, ChunkStoreConfig, StoreError, StoreStats};
pub use key::KeyBase;
