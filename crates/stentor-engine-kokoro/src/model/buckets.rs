//! Short utterances on a card, each in as many columns as others of about its length, so that decoder and generator are recorded once
//! for all of them.
//!
//! The host has launched what makes a second of speech sooner than a card has computed it, so this is for what is said in a word or two.

use super::{Curves, Excitation, Kokoro, Plan, Spoken, last};
use crate::Config;
use candle_core::Tensor;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use stentor_nn::{Packing, Replay, Result, Unwatched, Watch};

/// Columns are set aside by fifths of a second, which is what an utterance is padded by at most.
const STEPS_PER_SECOND: usize = 5;
/// Steps of the longest.
const MOST_STEPS: usize = 6;

/// What is recorded, for each number of frames that there is room for.
#[derive(Debug, Clone)]
pub(super) struct Buckets {
    /// Frames of a step.
    step: usize,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    known: HashMap<usize, Bucket>,
    /// A card that does not replay one does not replay others.
    refused: bool,
}

#[derive(Debug, Default)]
struct Bucket {
    features: Replay,
    spectrum: Replay,
}

fn step_of(config: &Config) -> usize {
    config.sample_rate as usize / config.samples_per_frame() / STEPS_PER_SECOND
}

/// Frames of all that can be recorded; a recording holds on to the memory that they take.
pub(crate) fn recorded_frames(config: &Config) -> usize {
    (1..=MOST_STEPS).sum::<usize>() * step_of(config)
}

impl Buckets {
    pub(super) fn new(config: &Config) -> Self {
        Self { step: step_of(config), state: Arc::default() }
    }

    /// Frames that are set aside for so many, at least one more: the spectrum's last column must find room.
    fn room_for(&self, frames: usize) -> Option<usize> {
        let room = (frames + 1).next_multiple_of(self.step.max(1));
        (room <= MOST_STEPS * self.step).then_some(room)
    }

    /// [`Kokoro::render_again`] of so many frames.
    pub(super) fn render(
        &self,
        model: &Kokoro,
        (frames, planned): (usize, (&Plan, &Curves, Excitation<'_>)),
        watch: &dyn Watch,
    ) -> Result<Option<Vec<f32>>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(room) = self.room_for(frames).filter(|_| !state.refused) else { return Ok(None) };
        let packings = model.packings(Packing::padded(frames, room, &model.device));
        let lens: Vec<u32> = packings.iter().map(|packing| packing.lens()[0] as u32).collect();
        let lens = Tensor::new(lens, &model.device)?;
        // Layers that run inside a recording are told their lengths by it.
        let told = |lens: &Tensor| -> Result<Vec<Packing>> {
            let told =
                |(index, packing): (usize, &Packing)| Ok(packing.with_lens(&lens.narrow(0, index, 1)?));
            packings.iter().enumerate().map(told).collect()
        };
        let spoken = model.spoken(&[planned], &packings, watch)?;
        let bucket = state.known.entry(room).or_default();
        let Spoken { text, curves: Curves { pitch, energy }, styles } = &spoken;
        // A card is told all of it before it has begun: the watch is asked before, between and behind.
        let features = bucket.features.run(&[text, pitch, energy, styles, &lens], &|given| {
            let [text, pitch, energy, styles, lens] = [0, 1, 2, 3, 4].map(|index| given[index].clone());
            let spoken = Spoken { text, curves: Curves { pitch, energy }, styles };
            model.features(&spoken, &told(&lens)?, &Unwatched)
        })?;
        let excitation = model.excitation(&[planned], &packings, watch)?;
        let spectrum = bucket.spectrum.run(&[&features, &excitation, styles, &lens], &|given| {
            model.spectrum(&given[0], &given[1], (&given[2], &told(&given[3])?), &Unwatched)
        })?;
        // Before anybody else may replay it.
        let samples = model.generator.samples(&spectrum, last(&packings), watch)?.pop();
        if let Some(why) = bucket.features.refused().or(bucket.spectrum.refused()) {
            stentor_engine::report(&format!("short utterances are launched kernel by kernel: {why}"));
            *state = State { refused: true, ..State::default() };
        }
        Ok(samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_one_more_and_little_else() {
        for step in [8, 16] {
            let buckets = Buckets { step, state: Arc::default() };
            for frames in 1..MOST_STEPS * step {
                let room = buckets.room_for(frames).unwrap();
                assert!(
                    room > frames && room <= frames + step && room.is_multiple_of(step),
                    "{frames}: {room}"
                );
            }
            assert_eq!(buckets.room_for(MOST_STEPS * step), None);
        }
    }
}
