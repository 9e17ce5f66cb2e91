//! Settled mel frames to samples: the vocoder over stretches that overlap by as much as it reaches.

use crate::model::{
    SAMPLES_PER_FRAME,
    hift::{Excitation, Hift, Onset, PITCH_REACH, RENDER_REACH},
};
use candle_core::Tensor;
use std::f64::consts::PI;
use stentor_nn::{Result, Watch};

/// Samples at the chunk's start that are silent, and again as many that rise from silence: what is heard there is an echo of the
/// prompt.
const TRIM: usize = 480;

/// The vocoder's place in one chunk.
#[derive(Debug)]
pub(super) struct Vocoding {
    seed: u64,
    /// The frames from `start` on; earlier ones are not needed again.
    mel: Option<Tensor>,
    start: usize,
    /// Of every frame from the chunk's first on, as far as it no longer depends on what comes.
    pitch: Vec<f32>,
    /// Frames whose samples were given.
    given: usize,
}

impl Vocoding {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, mel: None, start: 0, pitch: Vec::new(), given: 0 }
    }

    /// The samples that `frames` `(80, frames)`, which follow those of earlier calls, settle.
    pub(super) fn push(
        &mut self,
        hift: &Hift,
        frames: Option<&Tensor>,
        last: bool,
        watch: &dyn Watch,
    ) -> Result<Vec<f32>> {
        let mel = match (self.mel.take(), frames) {
            (Some(mel), Some(frames)) => Tensor::cat(&[&mel, frames], 1)?,
            (Some(mel), None) => mel,
            (None, Some(frames)) => frames.clone(),
            (None, None) => return Ok(Vec::new()),
        };
        self.extend_pitch(hift, &mel, last, watch)?;
        let end = self.pitch.len();
        let ready = if last { end } else { end.saturating_sub(RENDER_REACH) };
        let mut samples = Vec::new();
        if ready > self.given {
            let from = self.given.saturating_sub(RENDER_REACH);
            let onset = hift.after(&self.pitch[..from], Onset::default());
            let stretch = (&mel.narrow(1, from - self.start, end - from)?, &self.pitch[from..]);
            let all = hift.render(stretch, (Excitation::Seeded(self.seed), onset), watch)?;
            samples = all[(self.given - from) * SAMPLES_PER_FRAME..]
                [..(ready - self.given) * SAMPLES_PER_FRAME]
                .to_vec();
            trim_start(&mut samples, self.given * SAMPLES_PER_FRAME);
            self.given = ready;
        }
        let needed = self.given.saturating_sub(RENDER_REACH).min(end.saturating_sub(PITCH_REACH));
        let kept = mel.dims2()?.1 - (needed - self.start);
        self.mel = Some(mel.narrow(1, needed - self.start, kept)?.contiguous()?);
        self.start = needed;
        Ok(samples)
    }

    /// Pitch of the frames of `mel`, but for those that further frames would change.
    fn extend_pitch(&mut self, hift: &Hift, mel: &Tensor, last: bool, watch: &dyn Watch) -> Result<()> {
        let (known, total) = (self.pitch.len(), self.start + mel.dims2()?.1);
        let settled = if last { total } else { total.saturating_sub(PITCH_REACH) };
        if settled <= known {
            return Ok(());
        }
        let from = known.saturating_sub(PITCH_REACH);
        let pitch = hift.pitch(&mel.narrow(1, from - self.start, total - from)?, watch)?;
        self.pitch.extend_from_slice(&pitch[known - from..settled - from]);
        Ok(())
    }
}

/// Silences and fades in the chunk's start, `samples` being those from number `first` on.
fn trim_start(samples: &mut [f32], first: usize) {
    for (place, sample) in (first..2 * TRIM).zip(samples) {
        *sample *= gain(place);
    }
}

/// Of a sample before 2 * [`TRIM`]: zero, then half a period of a raised cosine.
fn gain(place: usize) -> f32 {
    let Some(place) = place.checked_sub(TRIM) else { return 0.0 };
    let angle = PI * (1.0 - place as f64 / (TRIM - 1) as f64);
    f64::midpoint(angle.cos(), 1.0) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_silent_then_rises_wherever_it_is_cut() {
        let mut whole = vec![1.0; 1200];
        trim_start(&mut whole, 0);
        assert!(whole[..=480].iter().all(|&x| x == 0.0) && whole[959..].iter().all(|&x| x == 1.0));
        assert!((whole[480 + 239] + whole[480 + 240] - 1.0).abs() < 1e-6);
        assert!(whole[480..960].windows(2).all(|pair| pair[0] <= pair[1]));
        let mut parts = vec![1.0; 1200];
        let (left, right) = parts.split_at_mut(700);
        trim_start(left, 0);
        trim_start(right, 700);
        assert_eq!(parts, whole);
    }
}
