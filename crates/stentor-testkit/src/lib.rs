//! For tests only: a fake engine with injectable faults, the same faults for real engines, decoders, hash weights, a checkpoint writer.

pub mod chatterbox;
pub mod chatterbox_model;
pub mod decode;
mod fake;
mod fault;
mod faulty;
pub mod hash_weights;
mod load_fault;
pub mod pth;
mod strike;

pub use fake::{FakeEngine, FakeOptions, ThreadLog, expected_samples, load};
pub use faulty::{Faulty, faulty};
pub use load_fault::LoadFault;
