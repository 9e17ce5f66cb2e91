//! What the engine says of itself, and how much text it takes.

use super::params;
use crate::{
    guard::MAX_SPEECH_TOKENS,
    model::{SAMPLE_RATE, t3::Family},
    render::FRAMES,
};
use stentor_engine::{EngineDescriptor, EngineError, MemoryUse};
use stentor_nn::Opened;
use stentor_types::{ChunkBudget, DeviceSpec, Language, SampleRate, VoiceKind};

/// The first chunk lasts about seven seconds, later ones up to twenty: the voice that the flow continues is rendered along
/// with each, so short ones cost more, and beyond half a minute these models lose the thread.
const BUDGET: ChunkBudget = ChunkBudget { first: 100, max: 280 };
/// Speech tokens that a chunk may be expected to have: half a minute.
const MOST_TOKENS: usize = 750;
/// Chunks at once on the CPU. A pass of T3 reads all of its weights whatever the number of rows, so four speak for little
/// more than one; beyond that, the flow, which renders one at a time there, is what all wait for.
const SLOTS_ON_CPU: usize = 4;
/// Chunks at once on a card, if its memory allows.
const SLOTS_ON_CARD: std::ops::RangeInclusive<usize> = 2..=16;
/// Positions of a sequence beside its prefix: two tokens for each letter, which no chunk within the budget needs, one that
/// begins the speech, and all of that.
const POSITIONS: usize = 2 * BUDGET.max + 1 + MAX_SPEECH_TOKENS;
/// What is known of a model once it is loaded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    /// Bytes of the weights on the device.
    pub weights: u64,
    /// Bytes of keys and values of one position of one row.
    pub position: u64,
    /// Positions of the longest prefix.
    pub prefix: usize,
    pub meanflow: bool,
    pub presets: Vec<String>,
    pub languages: Vec<Language>,
    pub tags: Vec<String>,
}

impl Figures {
    /// Bytes of a voice's constant beginning.
    pub(crate) fn prefix_bytes(&self) -> u64 {
        self.prefix as u64 * self.position
    }

    /// A chunk may bring a voice of its own, whose beginning is kept beside it.
    fn per_chunk(&self, rows: u64) -> u64 {
        let positions = (self.prefix + POSITIONS) as u64;
        rows * positions * self.position + self.prefix_bytes()
    }
}

/// What the vocoder's last stage, which is the widest, holds at once for the longest chunk when it is rendered whole.
fn rendering_bytes() -> u64 {
    /// Input, sum, two inner activations of a block, the other blocks' outputs and the excitation's share.
    const TENSORS: usize = 8;
    (TENSORS * 64 * 120 * FRAMES[0] * size_of::<f32>()) as u64
}

/// The descriptor of a model of `family` on the device that was `opened`.
pub(crate) fn describe(family: Family, figures: &Figures, opened: &Opened) -> EngineDescriptor {
    let rows = if family == Family::Turbo { 1 } else { 2 };
    let per_chunk = figures.per_chunk(rows);
    let rendering = rendering_bytes();
    let mut voice_kinds = vec![VoiceKind::Embedding, VoiceKind::Reference];
    if !figures.presets.is_empty() {
        voice_kinds.push(VoiceKind::Preset);
    }
    EngineDescriptor {
        name: "chatterbox".to_owned(),
        sample_rate: SampleRate(SAMPLE_RATE),
        languages: figures.languages.clone(),
        voice_kinds,
        presets: figures.presets.clone(),
        chunk_budget: BUDGET,
        max_slots: slots(opened, per_chunk, rendering),
        streams: true,
        native_speed: false,
        params: params::specs(family, figures.meanflow),
        memory: MemoryUse {
            weights: figures.weights,
            // Pieces that are rendered together take no more than the longest chunk.
            speaking: sure_slots(opened) * per_chunk + rendering,
        },
        device: opened.spec,
        precision: opened.precision,
        degraded: opened.degraded.clone(),
        tags: figures.tags.clone(),
        watermark: None,
    }
}

/// Slots that there are whatever memory was free at the load.
fn sure_slots(opened: &Opened) -> u64 {
    let slots = if opened.spec == DeviceSpec::Cpu { SLOTS_ON_CPU } else { *SLOTS_ON_CARD.start() };
    slots as u64
}

/// On a card half of what is free once the model is loaded may become keys and values, so that other models fit beside it.
fn slots(opened: &Opened, per_chunk: u64, rendering: u64) -> usize {
    if opened.spec == DeviceSpec::Cpu {
        return SLOTS_ON_CPU;
    }
    let free = opened.free_memory().unwrap_or_default().saturating_sub(rendering) / 2;
    let fit = free / per_chunk.max(1);
    (fit as usize).clamp(*SLOTS_ON_CARD.start(), *SLOTS_ON_CARD.end())
}

/// Refuses a text that would be spoken for longer than these models can; the server cuts it then.
pub(super) fn check_length(text: &str) -> Result<(), EngineError> {
    // Fifteen letters a second are an ordinary pace; an ideograph, kana or Hangul syllable lasts a fifth of a second.
    let tenths = |character: char| {
        let wide = character >= '\u{2e80}' && character.is_alphanumeric();
        if wide { 50 } else { 17 }
    };
    let tokens = text.chars().map(tenths).sum::<usize>() / 10;
    if tokens <= MOST_TOKENS {
        return Ok(());
    }
    let characters = text.chars().count();
    let limit = characters * MOST_TOKENS * 9 / (tokens * 10);
    Err(EngineError::ChunkTooLong { limit: limit.clamp(1, BUDGET.max) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use stentor_types::Precision;

    /// Published models on a CPU: bytes of their weights, layers and heads of T3, positions of the prefix, and the manifest.
    #[test]
    fn the_manifests_plan_for_weights_and_a_full_chunk_in_every_slot() {
        let (llama, gpt) = ((3_186_000_000, 30, 16, 34), (2_567_000_000, 24, 16, 376));
        for ((weights, layers, heads, prefix), family, manifest) in [
            (llama, Family::English, include_str!("../../../../models/chatterbox.toml")),
            (llama, Family::Multilingual, include_str!("../../../../models/chatterbox-multilingual.toml")),
            (llama, Family::Multilingual, include_str!("../../../../models/chatterbox-multilingual-v2.toml")),
            (gpt, Family::Turbo, include_str!("../../../../models/chatterbox-turbo.toml")),
            (
                (1_624_000_000, 12, 12, 376),
                Family::Turbo,
                include_str!("../../../../models/chatterbox-nano.toml"),
            ),
        ] {
            // The vocoder's convolutions hold more than the file has: 62 numbers a pair of channels and one of the six layers of each
            // kind, and 28 or 31 those of the source.
            let beyond = 6 * 4 * (90 * 256 * 256 + 90 * 128 * 128 + 93 * 64 * 64);
            let weights = weights + beyond;
            let position = 2 * layers * heads * 64 * size_of::<f32>() as u64;
            let figures = Figures { weights, position, prefix, ..Figures::default() };
            let descriptor = describe(family, &figures, &Opened::cpu(Precision::F32, None));
            let needed = (weights + descriptor.memory.speaking) >> 20;
            let line = manifest.lines().find_map(|line| line.strip_prefix("memory_mib = "));
            let planned: u64 = line.expect("a plan").parse().expect("a number");
            assert!((needed..needed + 300).contains(&planned), "{needed} MiB for {manifest}");
        }
    }

    #[test]
    fn what_the_server_cuts_fits_and_what_would_last_too_long_is_cut_again() {
        assert_eq!(check_length(&"eleven char".repeat(280 / 11)), Ok(()));
        let Err(EngineError::ChunkTooLong { limit }) = check_length(&"word ".repeat(200)) else {
            panic!("a minute fits")
        };
        assert!((200..=280).contains(&limit), "{limit}");
        let chinese = "\u{4f60}\u{597d}".repeat(140);
        let Err(EngineError::ChunkTooLong { limit }) = check_length(&chinese) else {
            panic!("a minute fits")
        };
        assert!(
            check_length(&chinese.chars().take(limit).collect::<String>()).is_ok() && limit > 100,
            "{limit}"
        );
    }
}
