//! PCM in, bytes out: joining chunks, resampling and six encoders.
//!
//! Everything here is mono, streaming and free of I/O: a caller pushes `f32` samples (nominally within -1..=1) and
//! takes what has become complete. The same input gives the same output however it is cut into pushes.

mod clip;
mod encode;
mod error;
mod join;
mod quantize;
mod resample;

pub use clip::{Clip, ClipError, ClipNeeds, ClipNote, DECODER_THREAD, Least};
pub use encode::{Encoder, delay_in_samples, encoder, wav_header};
pub use error::AudioError;
pub use join::{JoinOptions, Joiner, Placement};
pub use quantize::to_s16;
pub use resample::Resampler;
