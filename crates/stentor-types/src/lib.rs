//! The vocabulary every crate shares: ids, requests, voices, chunks, PCM and parameters.
//!
//! Nothing here does I/O, reads a clock, draws randomness or awaits; a value of these types is valid by
//! construction, so no later stage checks it again.

mod chunk;
mod cue;
mod format;
mod ids;
mod language;
mod load;
mod params;
mod pcm;
mod queue;
mod request;
mod spoken;
mod timing;
mod voice;

pub use chunk::{Chunk, ChunkBudget, SpanMap, SpokenText};
pub use cue::{MAX_CUE_BYTES, cue_end};
pub use format::AudioFormat;
pub use ids::{ChunkId, ModelId, RequestId, VoiceId};
pub use language::{Language, ParseLanguageError};
pub use load::{DeviceSpec, LoadSpec, ParseDeviceError, Precision};
pub use params::{ParamError, ParamKind, ParamSpec, ParamValue, Params};
pub use pcm::{Pcm, SampleRate};
pub use queue::{ClientId, Lane};
pub use request::{Seed, SpeechRequest, Speed, SpeedError, content_hash};
pub use spoken::{ChunkKey, SpokenChunk};
pub use timing::{SourceTiming, WordTiming};
pub use voice::{VoiceKind, VoiceSource};
