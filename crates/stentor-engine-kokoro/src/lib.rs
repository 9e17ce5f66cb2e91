//! The Kokoro family: phonemes and a style vector to a waveform.
//!
//! One engine runs the published 82 M model, its Chinese variant and the small model embedded here: they differ in the sizes
//! that `config.json` gives. The network is in [`model`]; [`load`] makes an engine of it.

mod config;
pub mod model;

pub use config::Config;
