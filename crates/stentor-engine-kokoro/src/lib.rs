//! The Kokoro family: phonemes and a style vector to a waveform.
//!
//! One engine runs the published 82 M model, its Chinese variant and the small model embedded here: they differ in the sizes
//! that `config.json` gives. [`load`] makes an engine; [`model`] is the network alone.

mod config;
mod engine;
mod load;
pub mod model;
mod together;
mod tokens;
mod voice;

pub use config::Config;
pub use engine::{KokoroEngine, SpeakError};
pub use load::{builtin_files, load, load_engine};
pub use voice::Voice;
