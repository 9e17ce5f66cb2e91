//! Speech tokens to samples, as the tokens come: S3Gen over a growing prefix.
//!
//! In whole mode a chunk is one pass of the flow and one of the vocoder, as in the reference. In windows the flow sees its prompt,
//! some tokens that were heard already and the new ones; what it says of frames that are settled is ignored, a few frames are
//! held back and cross-faded with the next window's, and the vocoder goes on in phase. When a window is rendered, and so every
//! sample, follows from the number of tokens alone.

mod together;
mod vocoding;

#[cfg(test)]
mod tests;

pub use together::{Due, render_all};
pub(crate) use together::{FRAMES, flow_together};

use crate::{
    model::{FRAMES_PER_TOKEN, MELS, flow::Flow, hift::Hift},
    voice::S3GenPrompt,
};
use candle_core::{Device, Tensor};
use rayon::prelude::*;
use std::{ops::Range, sync::Arc};
use stentor_engine::CancelFlag;
use stentor_nn::{NnError, Result, Watch, Weights, noise};
use stentor_types::Precision;
use vocoding::Vocoding;

/// Tokens at the end of a window that the flow only looks ahead at.
const LOOKAHEAD: usize = 3;
/// Tokens before the new ones that a window of the flow sees once more.
const CONTEXT: usize = 50;
/// Frames that two windows share and that fade from one to the other.
const FADE: usize = 4;
/// What the draws of one seed are for.
const PROMPT: u64 = 1;
const CHUNK: u64 = 2;

/// The second half of the model: tokens to mel frames to samples.
pub struct S3Gen {
    flow: Flow,
    hift: Hift,
}

impl S3Gen {
    /// Reads `s3gen.*`, whose tensors are on `device`. A tensor that nothing uses is an error, but for the parts that look at
    /// recordings.
    pub fn load(weights: &Weights, device: &Device, precision: Precision) -> Result<Self> {
        let root = weights.root();
        let own =
            Self { flow: Flow::load(&root, device, precision)?, hift: Hift::load(&root, device, precision)? };
        weights.expect_all_used(|name| {
            name.starts_with("tokenizer.")
                || name.starts_with("speaker_encoder.")
                || name.ends_with("num_batches_tracked")
                || name == "trim_fade"
        })?;
        Ok(own)
    }

    /// Two steps without guidance (Turbo, Nano) instead of ten with it.
    pub fn is_meanflow(&self) -> bool {
        self.flow.is_meanflow()
    }
}

/// What the flow sees of a chunk at once: the places of its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Window {
    tokens: Range<usize>,
    /// Whether the last tokens give frames too.
    last: bool,
}

impl Window {
    /// Frames that it gives.
    fn frames(&self) -> usize {
        self.tokens.len().saturating_sub(if self.last { 0 } else { LOOKAHEAD }) * FRAMES_PER_TOKEN
    }
}

/// One chunk on its way from tokens to samples.
#[derive(Debug)]
pub struct Rendering {
    prompt: Arc<S3GenPrompt>,
    seed: u64,
    steps: usize,
    schedule: Schedule,
    /// Frames that the vocoder has.
    settled: usize,
    /// Frames that follow them, as the latest window had them.
    held: Option<Tensor>,
    vocoding: Vocoding,
    finished: bool,
}

impl Rendering {
    /// A chunk spoken with `prompt`'s voice in `steps` steps of the flow. The first samples come after `window` tokens and the
    /// flow's lookahead; with zero, all come at the end.
    pub fn new(prompt: Arc<S3GenPrompt>, seed: u64, steps: usize, window: usize) -> Self {
        Self {
            prompt,
            seed,
            steps,
            schedule: Schedule::new(window),
            settled: 0,
            held: None,
            vocoding: Vocoding::new(seed),
            finished: false,
        }
    }

    /// The samples that follow those it gave before. `tokens` are all of the chunk so far and `last` says that no more come: then
    /// 960 samples have come for each in all. After an error, stopping included, the chunk cannot go on.
    pub fn render(
        &mut self,
        model: &S3Gen,
        (tokens, last): (&[u32], bool),
        watch: &dyn Watch,
    ) -> Result<Vec<f32>> {
        let due = Due { rendering: self, tokens, last, cancel: &CancelFlag::default() };
        let alone = render_all(model, &mut [due], watch)?.pop();
        alone.unwrap_or_else(|| Ok(Vec::new()))
    }

    /// Frames that go through the flow at once for what is due, the voice's included.
    pub fn frames(&self, tokens: usize, last: bool) -> usize {
        let own = self.window(tokens, last).map_or(0, |window| window.frames());
        self.prompt.tokens.len() * FRAMES_PER_TOKEN + own
    }

    /// The next window of a chunk that has `tokens` tokens so far.
    fn window(&self, tokens: usize, last: bool) -> Option<Window> {
        let start = (self.settled / FRAMES_PER_TOKEN).saturating_sub(CONTEXT);
        if self.finished {
            return None;
        }
        match self.schedule.due(tokens) {
            Some(end) => Some(Window { tokens: start..end, last: false }),
            None => last.then_some(Window { tokens: start..tokens, last: true }),
        }
    }

    /// The frames that are settled by `frames`, which the flow made of a window.
    fn settle(&mut self, window: &Window, frames: &Tensor) -> Result<Option<Tensor>> {
        let (first, count) = (window.tokens.start * FRAMES_PER_TOKEN, window.frames());
        if frames.dims() != [MELS, count] {
            let message = format!("the flow gave {:?} for {count} frames", frames.dims());
            return Err(NnError::Tensor(candle_core::Error::Msg(message)));
        }
        let known = self.settled - first;
        let fresh = faded(self.held.take(), &frames.narrow(1, known, count - known)?)?;
        let len = fresh.dims2()?.1;
        let settled = if window.last { len } else { len.saturating_sub(FADE) };
        self.settled += settled;
        if settled < len {
            self.held = Some(fresh.narrow(1, settled, len - settled)?.contiguous()?);
        }
        Ok(if settled > 0 { Some(fresh.narrow(1, 0, settled)?.contiguous()?) } else { None })
    }

    /// Goes on behind a window.
    fn pass(&mut self, window: &Window) {
        if window.last {
            self.finished = true;
        } else {
            self.schedule.pass();
        }
    }

    /// Where the solver starts from: for the prompt's frames, and those of the window. The draws of a frame are the same in
    /// every window.
    fn noise(&self, window: &Window) -> Vec<f32> {
        let (prompt, first) = (self.prompt.mel.len() / MELS, window.tokens.start * FRAMES_PER_TOKEN);
        let mut draws = vec![0.0; (prompt + window.frames()) * MELS];
        draws.par_chunks_mut(MELS).enumerate().for_each(|(frame, draws)| {
            let draw = |purpose: u64, frame: usize| {
                let seed = noise::stream(self.seed, purpose);
                (frame * MELS..).map(move |index| noise::normal(seed, index as u64))
            };
            let row = match frame.checked_sub(prompt) {
                None => draw(PROMPT, frame),
                Some(frame) => draw(CHUNK, first + frame),
            };
            draws.iter_mut().zip(row).for_each(|(to, draw)| *to = draw);
        });
        draws
    }
}

/// `fresh`, whose first frames come gradually in the place of those that were held back.
fn faded(held: Option<Tensor>, fresh: &Tensor) -> Result<Tensor> {
    let Some(held) = held else { return Ok(fresh.clone()) };
    let (shared, len) = (held.dims2()?.1, fresh.dims2()?.1);
    let share: Vec<f32> = (1..=shared).map(|i| i as f32 / (shared + 1) as f32).collect();
    let share = Tensor::from_vec(share, (1, shared), fresh.device())?;
    let change = (fresh.narrow(1, 0, shared)? - &held)?.broadcast_mul(&share)?;
    Ok(Tensor::cat(&[&(held + change)?, &fresh.narrow(1, shared, len - shared)?], 1)?)
}

/// How many tokens each window ends with. Each brings twice as many new ones as the one before it, so that what every window pays
/// for its prompt stays a bounded share.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    /// New tokens of the next window; zero where there is none but the last.
    step: usize,
    /// Tokens that gave frames so far.
    given: usize,
}

impl Schedule {
    fn new(window: usize) -> Self {
        Self { step: window, given: 0 }
    }

    /// The number of tokens that the next window ends with, if there are as many.
    fn due(&self, tokens: usize) -> Option<usize> {
        let end = self.given.saturating_add(self.step).saturating_add(LOOKAHEAD);
        (self.step > 0 && end <= tokens).then_some(end)
    }

    fn pass(&mut self) {
        self.given = self.given.saturating_add(self.step);
        self.step = self.step.saturating_mul(2);
    }
}
