//! One chunk in speech tokens: what is drawn, when it ends, and which pieces of it may be heard.
//!
//! Everything here follows from the logits alone. Whether a piece is rendered at once or waits for its turn behind other
//! chunks changes nothing: a piece is promised by the token that completes it, and what is promised is neither cut nor
//! spoken anew. So a chunk that goes wrong is started over, once, with another seed, only before its first piece is
//! promised (by default, in its first second; a chunk that is rendered whole, at any time); later it ends where it was good.

use super::networks::Outlook;
use crate::{
    guard::{Guard, Verdict},
    model::{SAMPLES_PER_TOKEN, SILENCE, SPEECH_TOKENS, START_SPEECH, STOP_SPEECH, t3::Family},
    sampler::{Rng, Sampling, drawn_elsewhere, sample},
    text::TextTokens,
    timing::Alignment,
};
use std::borrow::Cow;
use stentor_engine::EngineError;
use stentor_nn::Draw;
use stentor_types::WordTiming;

/// Tokens that the flow looks ahead at before it gives a token's frames.
pub(super) const LOOKAHEAD: usize = 3;
/// Appended to what Turbo and Nano speak, as they were trained.
const CLOSING_SILENCE: usize = 3;
/// Attempts at a chunk.
const ATTEMPTS: u64 = 2;

/// How a chunk is spoken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    pub family: Family,
    pub sampling: Sampling,
    pub seed: u64,
    /// Tokens of the first piece; zero if there is only one.
    pub first_piece: usize,
}

/// What comes after a draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// This token is to be appended to the sequence.
    Append(u32),
    /// No more tokens are needed.
    Ended,
    /// The sequence is to be started anew.
    Again,
}

/// Tokens that are to be rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// All from the chunk's beginning.
    pub tokens: Vec<u32>,
    /// Otherwise the final [`LOOKAHEAD`] of them are not heard yet.
    pub last: bool,
    /// Tokens that have been heard after it.
    pub heard: usize,
}

pub(super) struct Utterance {
    manner: Manner,
    text: TextTokens,
    attempt: u64,
    rng: Rng,
    guard: Guard,
    alignment: Alignment,
    /// The beginning of speech, and what was drawn after it.
    history: Vec<u32>,
    /// Tokens that will be heard, whatever comes.
    promised: usize,
    /// Once it has ended: how many tokens are good.
    kept: Option<usize>,
    /// What the guard did at last, if it did anything.
    guarded: Option<&'static str>,
}

impl Utterance {
    pub(super) fn new(text: TextTokens, manner: Manner) -> Self {
        let mut this = Self {
            manner,
            attempt: 0,
            rng: Rng::new(manner.seed),
            guard: Guard::new(&text, manner.family),
            alignment: Alignment::new(&text),
            history: vec![START_SPEECH],
            promised: 0,
            kept: None,
            guarded: None,
            text,
        };
        if this.text.ids.is_empty() {
            this.kept = Some(0);
        }
        this
    }

    pub(super) fn text(&self) -> &[u32] {
        &self.text.ids
    }

    /// Whether a second row that does not see the text is needed.
    pub(super) fn guided(&self) -> bool {
        self.manner.sampling.cfg_weight > 0.0
    }

    /// Tokens that a sequence needs room for.
    pub(super) fn max_tokens(&self) -> usize {
        self.guard.max_tokens()
    }

    pub(super) fn ended(&self) -> bool {
        self.kept.is_some()
    }

    /// What the attempt's random numbers follow from.
    pub(super) fn seed(&self) -> u64 {
        self.manner.seed.wrapping_add(self.attempt.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn is_end_barred(&self) -> bool {
        self.tokens().len() < self.guard.min_tokens()
    }

    /// How the next token will be drawn, for networks that can draw it themselves.
    pub(super) fn next_draw(&self) -> Draw {
        self.manner.sampling.elsewhere(&self.history, &self.rng, self.is_end_barred())
    }

    /// Draws the next token.
    pub(super) fn draw(&mut self, outlook: Outlook<'_>) -> Result<Next, EngineError> {
        let barred = self.is_end_barred();
        let token = if let Some(drawn) = outlook.drawn {
            drawn_elsewhere(drawn, &mut self.rng)
        } else {
            let [logits, unguided] =
                [Some(outlook.logits), outlook.unguided].map(|row| row.map(|row| without_stop(row, barred)));
            let logits = logits.unwrap_or_default();
            sample(&logits, unguided.as_deref(), &self.history, &self.manner.sampling, &mut self.rng)
        };
        let token = token.map_err(|error| EngineError::Failed(error.to_string()))?;
        let verdict = self.guard.observe(token, outlook.attention);
        let speech = token < SPEECH_TOKENS;
        if speech {
            self.history.push(token);
            self.alignment.push(outlook.attention);
        }
        Ok(match verdict {
            Verdict::Go if speech => {
                self.promise();
                Next::Append(token)
            }
            Verdict::Go => self.end(self.tokens().len()),
            Verdict::Stop { keep } => {
                self.guarded = Some("stopped, for it did not end by itself");
                self.end(keep)
            }
            Verdict::Retry if self.attempt + 1 < ATTEMPTS && self.promised == 0 => {
                self.guarded = Some("spoken anew, for it went wrong");
                self.again()
            }
            Verdict::Retry => {
                self.guarded = Some("cut where it went wrong");
                self.end(self.guard.salvage())
            }
        })
    }

    /// What an operator may want to know of a chunk that the guard has touched.
    pub(super) fn remark(&self) -> Option<String> {
        let (drawn, kept) = (self.tokens().len(), self.kept.unwrap_or_default());
        self.guarded.map(|what| format!("a chunk was {what}: {kept} of {drawn} speech tokens are kept"))
    }

    /// Speech so far.
    fn tokens(&self) -> &[u32] {
        &self.history[1..]
    }

    fn promise(&mut self) {
        if let Some(next) =
            self.next_piece(self.promised).filter(|next| next + LOOKAHEAD <= self.tokens().len())
        {
            self.promised = next;
        }
    }

    /// How many tokens have been heard after the next piece. Each has twice as many as the one before it, as
    /// [`Rendering`](crate::render::Rendering) has it.
    fn next_piece(&self, heard: usize) -> Option<usize> {
        (self.manner.first_piece > 0).then_some(heard * 2 + self.manner.first_piece)
    }

    /// Tokens until a piece is promised at the latest, if there are pieces and more tokens.
    pub(super) fn due_in(&self) -> Option<usize> {
        let next = self.next_piece(self.promised).filter(|_| self.kept.is_none())?;
        Some((next + LOOKAHEAD).saturating_sub(self.tokens().len()))
    }

    fn end(&mut self, keep: usize) -> Next {
        self.kept = Some(keep.max(self.promised).min(self.tokens().len()));
        Next::Ended
    }

    fn again(&mut self) -> Next {
        self.attempt += 1;
        self.rng = Rng::new(self.seed());
        self.guard = Guard::new(&self.text, self.manner.family);
        self.alignment = Alignment::new(&self.text);
        self.history.truncate(1);
        Next::Again
    }

    /// What can be rendered, `heard` tokens having been heard and the last piece not yet.
    pub(super) fn piece(&self, heard: usize) -> Option<Piece> {
        if heard < self.promised {
            let next = self.next_piece(heard)?;
            return Some(Piece {
                tokens: self.tokens()[..next + LOOKAHEAD].to_vec(),
                last: false,
                heard: next,
            });
        }
        let kept = self.kept?;
        let mut tokens = self.tokens()[..kept].to_vec();
        if self.manner.family == Family::Turbo && kept > 0 {
            tokens.extend([SILENCE; CLOSING_SILENCE]);
        }
        (kept > 0).then_some(Piece { heard: tokens.len(), tokens, last: true })
    }

    /// Samples at the end of the last piece that are not to be heard: multilingual models end with a token of noise.
    pub(super) fn cut(&self) -> usize {
        if self.manner.family == Family::Multilingual { SAMPLES_PER_TOKEN } else { 0 }
    }

    /// Speech tokens of the chunk.
    pub(super) fn units(&self) -> u64 {
        self.kept.unwrap_or(self.tokens().len()) as u64
    }

    /// When the words of the spoken text are heard, in the first `tokens` at most.
    pub(super) fn words(&self, text: &str, tokens: usize) -> Vec<WordTiming> {
        self.alignment.words(text, self.kept.unwrap_or_default().min(tokens))
    }
}

/// Logits among which the stop token, if it is barred, has no chance. An infinite one would pass for a fault of the model.
fn without_stop(logits: &[f32], barred: bool) -> Cow<'_, [f32]> {
    const NO_CHANCE: f32 = -1e30;
    let mut logits = Cow::Borrowed(logits);
    if barred && logits.len() > STOP_SPEECH as usize {
        logits.to_mut()[STOP_SPEECH as usize] = NO_CHANCE;
    }
    logits
}
