//! Settled mel frames to samples: the vocoder over stretches that overlap by as much as it reaches.

use super::together::voiced_together;
use crate::model::{
    SAMPLES_PER_FRAME,
    hift::{Excitation, Hift, Onset, PITCH_REACH, RENDER_REACH, Voiced},
};
use candle_core::Tensor;
use std::f64::consts::PI;
use stentor_nn::{Result, Watch, groups};

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

    /// Takes `frames`, `(80, frames)`, which follow those of earlier calls.
    fn take(&mut self, frames: &Tensor) -> Result<()> {
        self.mel = Some(match self.mel.take() {
            Some(mel) => Tensor::cat(&[&mel, frames], 1)?,
            None => frames.clone(),
        });
        Ok(())
    }

    /// Number of frames so far.
    fn total(&self) -> Result<usize> {
        Ok(self.start + self.mel.as_ref().map(Tensor::dims2).transpose()?.map_or(0, |(_, frames)| frames))
    }

    /// Frames up to which no further ones would change the pitch.
    fn settled(&self, last: bool) -> Result<usize> {
        let total = self.total()?;
        Ok(if last { total } else { total.saturating_sub(PITCH_REACH) })
    }

    /// The first of the frames that the pitch of new ones is read from.
    fn pitch_from(&self) -> usize {
        self.pitch.len().saturating_sub(PITCH_REACH)
    }

    /// The frames that the pitch of new ones is read from, if there are any.
    fn unpitched(&self, last: bool) -> Result<Option<Tensor>> {
        let (from, total, settled) = (self.pitch_from(), self.total()?, self.settled(last)?);
        let mel = self.mel.as_ref().filter(|_| settled > self.pitch.len());
        Ok(mel.map(|mel| mel.narrow(1, from - self.start, total - from)).transpose()?)
    }

    /// Takes the pitch of what [`Vocoding::unpitched`] gave.
    fn take_pitch(&mut self, pitch: &[f32], last: bool) -> Result<()> {
        let (known, from) = (self.pitch.len(), self.pitch_from());
        self.pitch.extend_from_slice(&pitch[known - from..self.settled(last)? - from]);
        Ok(())
    }

    /// Frames up to which no further ones would change the samples, and the first that these depend on.
    fn ready(&self, last: bool) -> (usize, usize) {
        let end = self.pitch.len();
        let ready = if last { end } else { end.saturating_sub(RENDER_REACH) };
        (ready, self.given.saturating_sub(RENDER_REACH))
    }

    /// What new samples are rendered from, if there are any.
    fn unheard(&self, hift: &Hift, last: bool) -> Result<Option<Voiced<'_>>> {
        let ((ready, from), end) = (self.ready(last), self.pitch.len());
        let Some(mel) = self.mel.as_ref().filter(|_| ready > self.given) else { return Ok(None) };
        let onset = hift.after(&self.pitch[..from], Onset::default());
        let mel = mel.narrow(1, from - self.start, end - from)?;
        Ok(Some(Voiced { mel, pitch: &self.pitch[from..], excitation: Excitation::Seeded(self.seed), onset }))
    }

    /// The new ones of the samples of what [`Vocoding::unheard`] gave.
    fn hear(&mut self, all: &[f32], last: bool) -> Vec<f32> {
        let (ready, from) = self.ready(last);
        let new = (self.given - from) * SAMPLES_PER_FRAME..(ready - from) * SAMPLES_PER_FRAME;
        let mut samples = all[new].to_vec();
        trim_start(&mut samples, self.given * SAMPLES_PER_FRAME);
        self.given = ready;
        samples
    }

    /// Forgets the frames that are not needed again.
    fn forget(&mut self) -> Result<()> {
        let end = self.pitch.len();
        let needed = self.given.saturating_sub(RENDER_REACH).min(end.saturating_sub(PITCH_REACH));
        if let Some(mel) = &self.mel {
            let kept = mel.dims2()?.1 - (needed - self.start);
            self.mel = Some(mel.narrow(1, needed - self.start, kept)?.contiguous()?);
            self.start = needed;
        }
        Ok(())
    }
}

/// What comes to a chunk's vocoder.
pub(super) struct Arrival<'a> {
    pub vocoding: &'a mut Vocoding,
    /// `(80, frames)`, which follow those of earlier ones.
    pub frames: Option<Tensor>,
    /// Whether no more come.
    pub last: bool,
}

/// The samples that the arrivals settle, for each chunk as if it were alone.
pub(super) fn vocode(hift: &Hift, arrivals: &mut [Arrival<'_>], watch: &dyn Watch) -> Result<Vec<Vec<f32>>> {
    for Arrival { vocoding, frames, .. } in arrivals.iter_mut() {
        if let Some(frames) = frames {
            vocoding.take(frames)?;
        }
    }
    let unpitched = |arrival: &Arrival<'_>| arrival.vocoding.unpitched(arrival.last);
    let (places, mels) = present(arrivals.iter().map(unpitched))?;
    let lens = mels.iter().map(|mel| Ok(mel.dims2()?.1)).collect::<Result<Vec<_>>>()?;
    for group in groups(&lens, voiced_together) {
        let mels: Vec<Tensor> = group.iter().map(|&index| mels[index].clone()).collect();
        for (index, pitch) in group.iter().zip(hift.pitch_of_all(&mels, watch)?) {
            let Arrival { vocoding, last, .. } = &mut arrivals[places[*index]];
            vocoding.take_pitch(&pitch, *last)?;
        }
    }
    let mut rendered = vec![Vec::new(); arrivals.len()];
    let unheard = arrivals.iter().map(|arrival| arrival.vocoding.unheard(hift, arrival.last));
    let (places, voiced) = present(unheard)?;
    let lens: Vec<usize> = voiced.iter().map(|voiced| voiced.pitch.len()).collect();
    for group in groups(&lens, voiced_together) {
        let voiced: Vec<Voiced<'_>> = group.iter().map(|&index| voiced[index].clone()).collect();
        for (index, samples) in group.iter().zip(hift.render_all(&voiced, watch)?) {
            rendered[places[*index]] = samples;
        }
    }
    let mut heard = Vec::with_capacity(arrivals.len());
    for (Arrival { vocoding, last, .. }, rendered) in arrivals.iter_mut().zip(rendered) {
        heard.push(if rendered.is_empty() { Vec::new() } else { vocoding.hear(&rendered, *last) });
        vocoding.forget()?;
    }
    Ok(heard)
}

/// What there is, and its places.
fn present<T>(all: impl Iterator<Item = Result<Option<T>>>) -> Result<(Vec<usize>, Vec<T>)> {
    let found = all.enumerate().filter_map(|(place, one)| one.transpose().map(|one| Ok((place, one?))));
    Ok(found.collect::<Result<Vec<_>>>()?.into_iter().unzip())
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
        assert!(whole[..=480].iter().all(|&x| x == 0.0) && whole[959..].iter().all(|&x| x > 0.999_99));
        assert!((whole[480 + 239] + whole[480 + 240] - 1.0).abs() < 1e-6);
        assert!(whole[480..960].windows(2).all(|pair| pair[0] <= pair[1]));
        let mut parts = vec![1.0; 1200];
        let (left, right) = parts.split_at_mut(700);
        trim_start(left, 0);
        trim_start(right, 700);
        assert_eq!(parts, whole);
    }
}
