//! The networks. Weights are immutable; a pass takes its inputs and a [`stentor_nn::Watch`].
//!
//! Their order in the pipeline: [`voice_encoder`], [`s3_tokenizer`] and [`campplus`] see a reference recording once;
//! [`t3`] speaks a text as tokens; [`flow`] turns tokens into mel frames and [`hift`] those into samples.

pub mod campplus;
pub mod flow;
pub mod hift;
pub mod s3_tokenizer;
mod shape;
pub mod t3;
pub mod voice_encoder;

/// Speech tokens that have a sound: `0..SPEECH_TOKENS`.
pub const SPEECH_TOKENS: u32 = 6561;
/// Begins a speech sequence.
pub const START_SPEECH: u32 = 6561;
/// Ends a speech sequence.
pub const STOP_SPEECH: u32 = 6562;
/// The token of silence that Turbo and Nano append.
pub const SILENCE: u32 = 4299;
/// Mel frames of one speech token.
pub const FRAMES_PER_TOKEN: usize = 2;
/// Samples of one mel frame, at [`SAMPLE_RATE`].
pub const SAMPLES_PER_FRAME: usize = 480;
/// Samples of one speech token: 40 ms.
pub const SAMPLES_PER_TOKEN: usize = FRAMES_PER_TOKEN * SAMPLES_PER_FRAME;
/// Of everything that is spoken, in hertz.
pub const SAMPLE_RATE: u32 = 24_000;
/// Mel bins.
pub const MELS: usize = 80;
