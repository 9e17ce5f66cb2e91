//! What server and worker say to each other. Samples travel beside a message, never in it.

use serde::{Deserialize, Serialize};
use stentor_engine::{ChunkStats, EngineDescriptor, EngineError, PhonemeTrace};
use stentor_types::{ChunkId, Language, LoadSpec, Params, Speed, SpokenText, VoiceSource, WordTiming};

/// Raised with every change of a message or of the frame.
pub const PROTOCOL_VERSION: u32 = 3;

/// The first frame of a conversation, and what the worker is to load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub version: u32,
    pub build_id: String,
    pub load: LoadSpec,
    /// Milliseconds between beats.
    pub beat_ms: u64,
}

/// One chunk with everything that it takes to speak it, so that it can be sent again to another worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChunkJob {
    pub chunk: ChunkId,
    pub text: SpokenText,
    pub language: Language,
    pub voice: VoiceSource,
    /// Of the voice's content: a voice whose file has changed is read again.
    pub voice_digest: String,
    pub speed: Speed,
    pub seed: u64,
    pub params: Params,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToWorker {
    Hello(Hello),
    /// Answered by exactly one `Done` or `Failed`, after any number of `Pcm` and `Timing`.
    Speak(ChunkJob),
    /// Nobody waits for the chunk any more. Answered by `Failed(Cancelled)` unless the chunk just ended.
    Cancel {
        chunk: ChunkId,
    },
    Phonemize {
        id: u64,
        text: SpokenText,
        language: Language,
    },
    Shutdown,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromWorker {
    /// Loaded; chunks may come.
    Ready {
        version: u32,
        build_id: String,
        descriptor: Box<EngineDescriptor>,
        /// Bytes that the loaded model holds on its device: measured, not reckoned.
        memory: u64,
    },
    /// Server and worker don't fit together; the message says what to rebuild. The worker exits.
    Refused {
        message: String,
    },
    /// The model can't be loaded. The worker exits.
    LoadFailed {
        message: String,
    },
    /// The frame's samples are the chunk's next ones.
    Pcm {
        chunk: ChunkId,
    },
    Timing {
        chunk: ChunkId,
        words: Vec<WordTiming>,
    },
    Done {
        chunk: ChunkId,
        stats: ChunkStats,
    },
    Failed {
        chunk: ChunkId,
        error: EngineError,
    },
    Phonemes {
        id: u64,
        result: Result<PhonemeTrace, EngineError>,
    },
    /// Sent at a steady pace by the side that does not compute: the engine's step counter, samples synthesized
    /// since the start, chunks sent and not yet answered.
    Beat {
        steps: u64,
        samples: u64,
        active: u64,
    },
}
