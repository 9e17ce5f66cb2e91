//! Several chunks through the flow and the vocoder at once, each as if it were alone.
//!
//! A round takes one window of each. Those of like length lie side by side in one tensor, as many as take no more memory than the
//! longest chunk does alone; whoever is cancelled meanwhile is left out of the passes that follow, and a chunk that cannot be
//! rendered fails by itself.

use super::{
    Rendering, S3Gen, Window,
    vocoding::{Arrival, vocode},
};
use crate::{
    guard::MAX_SPEECH_TOKENS,
    model::{
        FRAMES_PER_TOKEN,
        flow::{Flow, FlowTask},
        hift::Hift,
    },
    voice::S3GenPrompt,
};
use candle_core::Tensor;
use std::sync::Arc;
use stentor_engine::CancelFlag;
use stentor_nn::{NnError, Result, Watch, groups};

/// Tokens of silence that may follow the speech.
const CLOSING: usize = 3;
/// Tokens of ten seconds of the voice, which the flow continues.
const CONTINUED: usize = 250;
/// Frames of the longest chunk, and of the voice.
pub(crate) const FRAMES: [usize; 2] =
    [FRAMES_PER_TOKEN * (MAX_SPEECH_TOKENS + CLOSING), FRAMES_PER_TOKEN * CONTINUED];

/// Whether so many windows, the longest of so many frames with the voice's, go through the flow at once. Its attention holds
/// scores of each frame and each.
pub(crate) fn flow_together(count: usize, longest: usize) -> bool {
    let most = FRAMES.iter().sum::<usize>();
    count.saturating_mul(longest).saturating_mul(longest) <= most * most
}

/// Whether so many stretches, the longest of so many frames, go through the vocoder at once. It is the same work for each frame.
pub(super) fn voiced_together(count: usize, longest: usize) -> bool {
    count.saturating_mul(longest) <= FRAMES[0]
}

/// A chunk whose next samples are due.
#[derive(Debug)]
pub struct Due<'a, R = Rendering> {
    pub rendering: &'a mut R,
    /// All of the chunk's so far.
    pub tokens: &'a [u32],
    /// Whether no more come.
    pub last: bool,
    pub cancel: &'a CancelFlag,
}

/// [`Rendering::render`] for several chunks. The outer error is that of a pass, which all of them were in; a chunk that was
/// cancelled meanwhile has [`NnError::Stopped`].
pub fn render_all(model: &S3Gen, due: &mut [Due<'_>], watch: &dyn Watch) -> Result<Vec<Result<Vec<f32>>>> {
    advance(&model.hift, due, &|stretches| through_flow(&model.flow, stretches, watch), watch)
}

/// What the flow is asked for.
#[derive(Debug)]
pub(super) struct Stretch<'a> {
    pub prompt: Arc<S3GenPrompt>,
    pub steps: usize,
    pub tokens: &'a [u32],
    /// Whether the last tokens give frames too.
    pub last: bool,
    /// Row-major `(frames of prompt and stretch, 80)`.
    pub noise: Vec<f32>,
}

impl Stretch<'_> {
    fn task(&self) -> FlowTask<'_> {
        FlowTask { prompt: &self.prompt, tokens: self.tokens, last: self.last, noise: &self.noise }
    }
}

/// Something in the flow's place: mel frames of each stretch.
pub(super) type Mels<'a> = dyn Fn(&[Stretch<'_>]) -> Result<Vec<Result<Tensor>>> + 'a;

/// [`render_all`] with anything in the flow's place.
pub(super) fn advance(
    hift: &Hift,
    due: &mut [Due<'_>],
    mels: &Mels<'_>,
    watch: &dyn Watch,
) -> Result<Vec<Result<Vec<f32>>>> {
    let mut heard: Vec<Result<Vec<f32>>> = due.iter().map(|_| Ok(Vec::new())).collect();
    loop {
        let mut round = Round::default();
        for ((place, one), heard) in due.iter().enumerate().zip(&heard) {
            if let (Ok(_), Some(window)) = (heard, one.rendering.window(one.tokens.len(), one.last)) {
                round.places.push(place);
                round.windows.push(window);
            }
        }
        if round.places.is_empty() {
            return Ok(heard);
        }
        let settled = round.settle(due, &mut heard, mels)?;
        round.vocode(hift, due, (&mut heard, settled), watch)?;
    }
}

/// Who is in a round, and the next window of each.
#[derive(Default)]
struct Round {
    places: Vec<usize>,
    windows: Vec<Window>,
}

impl Round {
    /// Leaves out whoever is cancelled.
    fn drop_cancelled(&mut self, due: &[Due<'_>], heard: &mut [Result<Vec<f32>>]) {
        self.leave_out(heard, |place| due[place].cancel.is_cancelled().then_some(NnError::Stopped));
    }

    /// Leaves out whoever has an error.
    fn leave_out(&mut self, heard: &mut [Result<Vec<f32>>], mut error: impl FnMut(usize) -> Option<NnError>) {
        let all = std::mem::take(&mut self.places).into_iter().zip(std::mem::take(&mut self.windows));
        for (place, window) in all {
            if let Some(error) = error(place) {
                heard[place] = Err(error);
            } else {
                self.places.push(place);
                self.windows.push(window);
            }
        }
    }

    /// The frames that are settled by each window, by place.
    fn settle(
        &mut self,
        due: &mut [Due<'_>],
        heard: &mut [Result<Vec<f32>>],
        mels: &Mels<'_>,
    ) -> Result<Vec<Option<Tensor>>> {
        self.drop_cancelled(due, heard);
        let mut settled: Vec<Option<Tensor>> = due.iter().map(|_| None).collect();
        // A chunk without tokens has no frames.
        let seen = self.places.iter().zip(&self.windows).filter(|(_, window)| !window.tokens.is_empty());
        let seen: Vec<(usize, Window)> = seen.map(|(place, window)| (*place, window.clone())).collect();
        let stretch = |(place, window): &(usize, Window)| {
            let Due { rendering, tokens, .. } = &due[*place];
            Stretch {
                prompt: Arc::clone(&rendering.prompt),
                steps: rendering.steps,
                tokens: &tokens[window.tokens.clone()],
                last: window.last,
                noise: rendering.noise(window),
            }
        };
        let stretches: Vec<Stretch<'_>> = seen.iter().map(stretch).collect();
        let frames = if stretches.is_empty() { Vec::new() } else { mels(&stretches)? };
        drop(stretches);
        let mut failed: Vec<Option<NnError>> = due.iter().map(|_| None).collect();
        for ((place, window), frames) in seen.iter().zip(frames) {
            match frames.and_then(|frames| due[*place].rendering.settle(window, &frames)) {
                Ok(frames) => settled[*place] = frames,
                Err(error) => failed[*place] = Some(error),
            }
        }
        self.leave_out(heard, |place| failed[place].take());
        Ok(settled)
    }

    /// Adds the samples that the windows settle to what is `heard`.
    fn vocode(
        &mut self,
        hift: &Hift,
        due: &mut [Due<'_>],
        (heard, mut settled): (&mut [Result<Vec<f32>>], Vec<Option<Tensor>>),
        watch: &dyn Watch,
    ) -> Result<()> {
        self.drop_cancelled(due, heard);
        let mut windows = self.places.iter().zip(&self.windows).peekable();
        let mut arrivals = Vec::with_capacity(self.places.len());
        for (place, one) in due.iter_mut().enumerate() {
            if let Some((_, window)) = windows.next_if(|(next, _)| **next == place) {
                let (frames, vocoding) = (settled[place].take(), &mut one.rendering.vocoding);
                arrivals.push(Arrival { vocoding, frames, last: window.last });
            }
        }
        let samples = vocode(hift, &mut arrivals, watch)?;
        for ((place, window), samples) in self.places.iter().zip(&self.windows).zip(samples) {
            due[*place].rendering.pass(window);
            if let Ok(heard) = &mut heard[*place] {
                heard.extend(samples);
            }
        }
        Ok(())
    }
}

/// Mel frames of each stretch, as many at once as there is room for.
fn through_flow(flow: &Flow, stretches: &[Stretch<'_>], watch: &dyn Watch) -> Result<Vec<Result<Tensor>>> {
    let mut mels = Vec::with_capacity(stretches.len());
    let mut left = Vec::with_capacity(stretches.len());
    for (index, stretch) in stretches.iter().enumerate() {
        let checked = flow.check(&stretch.task());
        if checked.is_ok() {
            left.push(index);
        }
        // Until its pass is over.
        mels.push(checked.and(Err(NnError::Stopped)));
    }
    // Steps are the same moments for all of a pass.
    while let Some(steps) = left.first().map(|&index| stretches[index].steps) {
        let (now, later): (Vec<usize>, Vec<usize>) =
            left.iter().partition(|&&index| stretches[index].steps == steps);
        left = later;
        let frames = |&index: &usize| {
            let Stretch { prompt, tokens, last, .. } = &stretches[index];
            flow.frames(prompt, (tokens.len(), *last))
        };
        for group in groups(&now.iter().map(frames).collect::<Vec<_>>(), flow_together) {
            let group: Vec<usize> = group.into_iter().map(|index| now[index]).collect();
            let tasks: Vec<FlowTask<'_>> = group.iter().map(|&index| stretches[index].task()).collect();
            for (index, mel) in group.iter().zip(flow.render_all(&tasks, steps, watch)?) {
                mels[*index] = Ok(mel);
            }
        }
    }
    Ok(mels)
}
