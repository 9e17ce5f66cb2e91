//! Which chunks are spoken together on a card: as many as take no more room than the longest does alone.

use stentor_engine::ChunkRequest;

/// Of English at its usual pace, in bytes.
const CHARACTERS_PER_SECOND: f32 = 13.0;

/// How many of the chunks that wait, the first ones, fit side by side in so many seconds: at least one. That is an estimate
/// by their texts; what they really take is known once their durations are.
pub(crate) fn together(waiting: &[ChunkRequest], most_seconds: usize) -> usize {
    // About what a second of speech has, so the estimate is of the frames that they take side by side.
    let seconds = |request: &ChunkRequest| {
        (request.text.text.len() as f32 / CHARACTERS_PER_SECOND / request.speed.get()).ceil() as usize
    };
    let mut longest = 0;
    let fits = |(index, request): (usize, &ChunkRequest)| {
        longest = longest.max(seconds(request));
        (index + 1) * longest <= most_seconds
    };
    waiting.iter().enumerate().map(fits).take_while(|fits| *fits).count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stentor_engine::{CancelFlag, StepCounter, VoiceSlot};
    use stentor_types::{ChunkId, Language, Params, Speed, SpokenText};

    fn waiting(chunks: &[(usize, f32)]) -> Vec<ChunkRequest> {
        let request = |&(characters, speed): &(usize, f32)| ChunkRequest {
            id: ChunkId(1),
            text: SpokenText { text: "a".repeat(characters), spans: Vec::new() },
            language: Language::en_us(),
            voice: VoiceSlot(0),
            speed: Speed::try_from(speed).unwrap(),
            seed: 0,
            params: Params::new(),
            cancel: CancelFlag::default(),
            progress: StepCounter::default(),
        };
        chunks.iter().map(request).collect()
    }

    #[test]
    fn as_many_go_together_as_take_no_more_than_a_minute_side_by_side() {
        let count = |chunks: &[(usize, f32)]| together(&waiting(chunks), 60);
        assert_eq!(count(&[(130, 1.0); 9]), 6);
        assert_eq!(count(&[(130, 2.0); 32]), 12);
        assert_eq!(count(&[(13, 1.0); 5]), 5);
        // A long one makes all that lie beside it as long; what does not fit beside the others waits.
        assert_eq!(count(&[(13, 1.0), (13, 1.0), (390, 1.0), (13, 1.0)]), 2);
        assert_eq!(count(&[(390, 1.0), (13, 1.0), (13, 1.0)]), 2);
        // One that is too long by itself is spoken, or refused, alone.
        assert_eq!(count(&[(320, 0.25), (13, 1.0)]), 1);
    }
}
