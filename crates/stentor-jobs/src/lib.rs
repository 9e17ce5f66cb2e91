//! What outlives a request: the store of finished chunks.

mod chunk_store;
mod key;

pub use chunk_store::{ChunkStore, ChunkStoreConfig, StoreError, StoreStats};
pub use key::KeyBase;
