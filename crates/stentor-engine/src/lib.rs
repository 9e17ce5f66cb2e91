//! The contract between the worker's loop and a speech model.
//!
//! An [`Engine`] is blocking, object-safe and owned by one thread for its whole life. No tensor, path look-up,
//! async or serialisation appears here. Engines that speak a chunk in one go implement [`WholeChunk`] and are
//! lifted by [`Stepped`].

pub mod conformance;
mod descriptor;
mod error;
mod report;
mod request;
mod stepped;

pub use descriptor::{EngineDescriptor, MemoryUse};
pub use error::{DeviceLost, EngineError, LoadError};
pub use report::report;
pub use request::{CancelFlag, ChunkRequest, ChunkStats, PhonemeTrace, StepCounter, VoiceSlot, Waiter};
pub use stepped::{ChunkOutput, Stepped, WholeChunk};

use stentor_types::{ChunkId, Language, SpokenText, VoiceSource, WordTiming};

/// Does the slow part of [`Engine::load_voice`] on any thread, so that `load_voice` finds it done. Ends with `Cancelled` within
/// 100 ms of work once nobody waits any more.
pub type PrepareVoice = Box<dyn Fn(&VoiceSource, &Waiter) -> Result<(), EngineError> + Send>;

/// A loaded model on a device.
pub trait Engine: Send {
    fn descriptor(&self) -> &EngineDescriptor;

    /// Makes a voice ready; the slot stays valid until [`Engine::drop_voice`]. What takes longer than 100 ms, such as
    /// encoding a recording, passes a checkpoint of `waiter` at least as often.
    fn load_voice(&mut self, source: &VoiceSource, waiter: &Waiter) -> Result<VoiceSlot, EngineError>;

    /// What makes voices of recordings beside the engine's thread, so that chunks are spoken meanwhile; none if that takes
    /// no time worth it. The worker may use it on one thread, and may load a voice that was not prepared.
    fn voice_preparer(&self) -> Option<PrepareVoice> {
        None
    }

    /// Frees what `load_voice` made. Chunks already admitted with it still finish.
    fn drop_voice(&mut self, slot: VoiceSlot);

    /// Bytes that a loaded voice holds; zero if they are not worth counting.
    fn voice_bytes(&self, _slot: VoiceSlot) -> u64 {
        0
    }

    /// Takes a chunk in; at most `descriptor().max_slots` are admitted at once.
    fn admit(&mut self, request: ChunkRequest) -> Result<(), EngineError>;

    /// Advances every admitted chunk once. A chunk's end is reported by [`StepSink::finished`].
    fn step(&mut self, sink: &mut dyn StepSink) -> Result<(), DeviceLost>;

    /// Forgets a chunk; its id is not reported to the sink any more.
    fn cancel(&mut self, chunk: ChunkId);

    /// Shows how a text would be read, for inspection.
    fn phonemize(&self, _text: &SpokenText, _language: &Language) -> Result<PhonemeTrace, EngineError> {
        Err(EngineError::Rejected("this engine does not use phonemes".to_owned()))
    }
}

/// Receives what a step produces.
pub trait StepSink {
    /// The next samples of a chunk: mono, at the descriptor's rate.
    fn pcm(&mut self, chunk: ChunkId, samples: &[f32]);
    /// Word timings of a chunk, in samples from its start.
    fn timing(&mut self, chunk: ChunkId, words: &[WordTiming]);
    /// The chunk has ended and its slot is free.
    fn finished(&mut self, chunk: ChunkId, result: Result<ChunkStats, EngineError>);
}
