//! Recordings of voices: from a file of any common format to mono samples, no further than they are needed.
//!
//! The files are whatever an operator drops into a folder. So nothing in them is believed: sizes are checked before the
//! demuxers see them, reading is bounded, and decoding has a thread to itself, where a panic of a decoder ends in an error.

mod bounds;
mod check;
mod decode;
mod error;
mod opus;
mod source;

pub use check::{ClipNeeds, Least};
pub use error::{ClipError, ClipNote};

use std::{path::Path, thread};

/// Name of the threads that decode recordings. A panic on one of them is an answer about a file, not a fault of the program.
pub const DECODER_THREAD: &str = "clip-decoder";
/// What ends such a thread in a debug build with symphonia's largest tables, and to spare.
const STACK: usize = 8 << 20;

/// The beginning of a recording, in mono.
#[derive(Debug, Clone, PartialEq)]
pub struct Clip {
    /// The mean of all channels; 1.0 is full scale.
    pub samples: Vec<f32>,
    /// Samples per second.
    pub rate: u32,
    /// Channels in the file.
    pub channels: usize,
    /// How the sound is coded: `mp3`, `pcm_s16le`, ...
    pub codec: &'static str,
    /// Seconds that the whole recording lasts, where its file says so.
    pub whole_seconds: Option<f64>,
    /// Share of the samples of all channels that lie at full scale or beyond, 0 to 1.
    full_scale: f64,
    /// What an operator should know.
    pub notes: Vec<ClipNote>,
}

impl Clip {
    /// Decodes at most the first `limit` seconds of the recording at `path`; a longer one is cut there, with a note.
    pub fn open(path: &Path, limit: f64) -> Result<Self, ClipError> {
        let path = path.to_owned();
        let decoder = thread::Builder::new()
            .name(DECODER_THREAD.to_owned())
            .stack_size(STACK)
            .spawn(move || decode::decode(&path, limit))
            .map_err(|source| ClipError::Io { source })?;
        // The report of a panic has gone to stderr; what it says means nothing to the file's owner.
        decoder.join().unwrap_or(Err(ClipError::Damaged { why: "its decoder gave up".to_owned() }))
    }

    /// Seconds that were decoded.
    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.rate)
    }
}
