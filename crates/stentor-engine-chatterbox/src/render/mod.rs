//! Speech tokens to samples, as the tokens come: S3Gen over a growing prefix.
//!
//! In whole mode a chunk is one pass of the flow and one of the vocoder, as in the reference. In windows the flow sees its prompt,
//! some tokens that were heard already and the new ones; what it says of frames that are settled is ignored, a few frames are
//! held back and cross-faded with the next window's, and the vocoder goes on in phase. When a window is rendered, and so every
//! sample, follows from the number of tokens alone.

mod vocoding;

#[cfg(test)]
mod tests;

use crate::{
    model::{FRAMES_PER_TOKEN, MELS, flow::Flow, hift::Hift},
    voice::S3GenPrompt,
};
use candle_core::{Device, Tensor};
use std::sync::Arc;
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

/// What the flow is asked for.
#[derive(Debug, Clone, Copy)]
struct Stretch<'a> {
    tokens: &'a [u32],
    /// Whether the last tokens give frames too.
    last: bool,
    /// Row-major `(frames of prompt and stretch, 80)`.
    noise: &'a [f32],
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

    /// Whether [`Rendering::render`] has something to do once there are `tokens` tokens. Calling it later changes no sample.
    pub fn wants(&self, tokens: usize, last: bool) -> bool {
        !self.finished && (last || self.schedule.due(tokens).is_some())
    }

    /// The samples that follow those it gave before. `tokens` are all of the chunk so far and `last` says that no more come: then
    /// 960 samples have come for each in all. After an error, stopping included, the chunk cannot go on.
    pub fn render(
        &mut self,
        model: &S3Gen,
        (tokens, last): (&[u32], bool),
        watch: &dyn Watch,
    ) -> Result<Vec<f32>> {
        let (prompt, steps) = (Arc::clone(&self.prompt), self.steps);
        let mel = |stretch: Stretch<'_>| {
            let tokens = (stretch.tokens, stretch.last);
            model.flow.render(&prompt, tokens, (stretch.noise, steps), watch)
        };
        self.advance(&model.hift, (tokens, last), &mel, watch)
    }

    /// [`Rendering::render`] with anything in the flow's place.
    fn advance(
        &mut self,
        hift: &Hift,
        (tokens, last): (&[u32], bool),
        mel: &dyn Fn(Stretch<'_>) -> Result<Tensor>,
        watch: &dyn Watch,
    ) -> Result<Vec<f32>> {
        let mut samples = Vec::new();
        if self.finished {
            return Ok(samples);
        }
        while let Some(count) = self.schedule.due(tokens.len()) {
            let frames = self.window((&tokens[..count], false), mel)?;
            samples.extend(self.vocoding.push(hift, frames.as_ref(), false, watch)?);
            self.schedule.pass();
        }
        if last {
            let frames = if tokens.is_empty() { None } else { self.window((tokens, true), mel)? };
            samples.extend(self.vocoding.push(hift, frames.as_ref(), true, watch)?);
            self.finished = true;
        }
        Ok(samples)
    }

    /// The frames that are settled by a window of the flow that ends with `tokens`.
    fn window(
        &mut self,
        (tokens, last): (&[u32], bool),
        mel: &dyn Fn(Stretch<'_>) -> Result<Tensor>,
    ) -> Result<Option<Tensor>> {
        let start = (self.settled / FRAMES_PER_TOKEN).saturating_sub(CONTEXT);
        let tokens = &tokens[start..];
        let given = tokens.len().saturating_sub(if last { 0 } else { LOOKAHEAD });
        let (first, count) = (start * FRAMES_PER_TOKEN, given * FRAMES_PER_TOKEN);
        let noise = self.noise(first, count);
        let frames = mel(Stretch { tokens, last, noise: &noise })?;
        if frames.dims() != [MELS, count] {
            let message = format!("the flow gave {:?} for {count} frames", frames.dims());
            return Err(NnError::Tensor(candle_core::Error::Msg(message)));
        }
        let known = self.settled - first;
        let fresh = faded(self.held.take(), &frames.narrow(1, known, count - known)?)?;
        let len = fresh.dims2()?.1;
        let settled = if last { len } else { len.saturating_sub(FADE) };
        self.settled += settled;
        if settled < len {
            self.held = Some(fresh.narrow(1, settled, len - settled)?.contiguous()?);
        }
        Ok(if settled > 0 { Some(fresh.narrow(1, 0, settled)?.contiguous()?) } else { None })
    }

    /// Where the solver starts from: for the prompt's frames, and `count` frames of the chunk from `first` on. The draws of a frame
    /// are the same in every window.
    fn noise(&self, first: usize, count: usize) -> Vec<f32> {
        let prompt = self.prompt.mel.len() / MELS;
        let draws = |purpose: u64, first: usize, count: usize| {
            let seed = noise::stream(self.seed, purpose);
            (first * MELS..(first + count) * MELS).map(move |index| noise::normal(seed, index as u64))
        };
        draws(PROMPT, 0, prompt).chain(draws(CHUNK, first, count)).collect()
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
