//! For tests only: a fake engine with injectable faults, decoders, hash weights, a checkpoint writer.

pub mod decode;
mod fake;
mod fault;
pub mod hash_weights;
pub mod pth;

pub use fake::{FakeEngine, FakeOptions, LoadFault, ThreadLog, expected_samples, load};
