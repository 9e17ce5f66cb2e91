//! Chunks that killed their worker twice. SDKs send what failed again without being asked; each try would cost everybody
//! two workers and the pauses between them, so who asks again soon is told at once. Pure: the time is handed in.

use crate::SpeechError;
use std::{collections::VecDeque, time::Duration};
use stentor_types::ChunkKey;
use tokio::time::Instant;

/// Chunks that are remembered; beyond them the oldest is forgotten.
const MOST: usize = 64;
/// From when it is asked for again. Then it is tried once more: what was wrong may have been mended.
const TERM: Duration = Duration::from_secs(600);

#[derive(Default)]
pub(crate) struct Poison(VecDeque<Dose>);

struct Dose {
    key: ChunkKey,
    error: SpeechError,
    /// When it was first asked for again.
    since: Option<Instant>,
}

impl Poison {
    pub(crate) fn note(&mut self, key: ChunkKey, error: SpeechError) {
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(Dose { key, error, since: None });
    }

    /// How the chunk ended, if it is not to be tried.
    pub(crate) fn find(&mut self, key: &ChunkKey, now: Instant) -> Option<SpeechError> {
        let is_due =
            |dose: &Dose| dose.since.is_some_and(|since| now.saturating_duration_since(since) > TERM);
        self.0.retain(|dose| !is_due(dose));
        let dose = self.0.iter_mut().find(|dose| dose.key == *key)?;
        dose.since.get_or_insert(now);
        Some(dose.error.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> ChunkKey {
        ChunkKey([number as u8; 32])
    }

    #[test]
    fn a_killer_is_known_for_ten_minutes_and_so_are_the_last_sixty_four() {
        let (mut poison, now) = (Poison::default(), Instant::now());
        let error = SpeechError::Quarantined("it fell over".to_owned());
        for number in 0..=MOST {
            poison.note(key(number), error.clone());
        }
        assert_eq!(poison.find(&key(0), now), None, "the oldest is forgotten");
        assert_eq!(poison.find(&key(1), now), Some(error.clone()));
        assert_eq!(poison.find(&key(1), now + TERM), Some(error.clone()));
        let later = now + TERM + Duration::from_millis(1);
        assert_eq!(poison.find(&key(1), later), None);
        assert_eq!(poison.find(&key(2), later), Some(error), "nobody had asked for this one");
    }
}
