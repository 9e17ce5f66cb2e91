//! What an engine says of itself.

use serde::{Deserialize, Serialize};
use stentor_types::{ChunkBudget, DeviceSpec, Language, ParamSpec, Precision, SampleRate, VoiceKind};

/// Sent to the server in the worker's handshake.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EngineDescriptor {
    pub name: String,
    pub sample_rate: SampleRate,
    /// Languages that can be spoken right now on this machine.
    pub languages: Vec<Language>,
    pub voice_kinds: Vec<VoiceKind>,
    /// Names of the voices that come with the model.
    pub presets: Vec<String>,
    pub chunk_budget: ChunkBudget,
    /// Chunks that may be in the engine at once.
    pub max_slots: usize,
    /// Whether a chunk's sound comes in pieces while it is still being spoken.
    pub streams: bool,
    /// Whether the engine itself applies [`stentor_types::Speed`].
    pub native_speed: bool,
    pub params: Vec<ParamSpec>,
    pub memory: MemoryUse,
    /// Where it really runs; never [`DeviceSpec::Auto`].
    pub device: DeviceSpec,
    pub precision: Precision,
    /// Why it runs elsewhere, or otherwise, than it was asked to; in one line.
    pub degraded: Option<String>,
    /// Cues inside a text that must reach the engine as they are written, such as `[laugh]`.
    pub tags: Vec<String>,
    /// The watermark that the engine puts into its audio, by name; none if it puts none.
    pub watermark: Option<String>,
}

/// Bytes of a loaded model, as measured or computed by the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MemoryUse {
    pub weights: u64,
    /// Upper bound of what speaking takes on top, with a chunk of `chunk_budget.max` in every slot. Where the number of slots
    /// follows from the memory that was free at the load, with the fewest slots.
    pub speaking: u64,
}
