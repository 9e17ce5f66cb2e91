//! The Chatterbox family: text and a reference voice to speech tokens (T3), those to a mel spectrogram (flow matching), that to a
//! waveform (HiFT).
//!
//! [`load`] makes an engine of the published files of any variant: English, Multilingual, Turbo or Nano; which one it is, is
//! read from the tensors' shapes. [`model`] is the networks alone, [`voice`] turns recordings into what they are conditioned on.

mod engine;
pub mod features;
pub mod guard;
mod load;
pub mod model;
pub mod render;
pub mod sampler;
pub mod text;
pub mod timing;
pub mod voice;

pub use load::{Model, load};
