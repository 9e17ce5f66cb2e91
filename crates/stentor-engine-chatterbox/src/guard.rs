//! Watches one chunk's speech tokens for what goes wrong with such models: loops, endless tails, texts told
//! twice or not to their end.
//!
//! Two sources are looked at. The tokens themselves always count: exact loops and stretches of few different
//! tokens, which speech never has for long. Where T3's attention follows the text, and only while it does so
//! plainly, it also tells how far the text has been spoken; with random weights or unknown heads it tells
//! nothing, and is not asked. All bounds are in tokens of 40 ms and well outside of what speech needs, for a
//! guard that cuts a good chunk is worse than none.

use crate::{model::t3::Family, text::TextTokens};
use std::{collections::VecDeque, ops::Range};

/// Most speech tokens of a chunk of any family: forty seconds.
pub const MAX_SPEECH_TOKENS: usize = 1001;
/// The first id that is not speech.
const SPEECH_IDS: u32 = 6561;
/// A second has 25 tokens and, in an ordinary pace, 15 letters; this is half that pace and less.
const MOST_TOKENS_PER_BYTE: usize = 4;
/// Pauses, breaths and cues have no letters: four seconds.
const MOST_EXTRA: usize = 100;
/// Nobody speaks sixty letters a second.
const LEAST_TOKENS_PER_FIVE_BYTES: usize = 2;
/// The shortest word lasts a quarter of a second.
const LEAST: usize = 6;
/// One token over and over: held vowels stay below half a second, pauses below two.
const SAME_TOKEN: usize = 50;
/// A cycle of several tokens, repeated exactly: a second of it, and at least this many rounds.
const CYCLE_TOKENS: usize = 25;
const CYCLE_ROUNDS: usize = 4;
/// The longest cycle looked for: 0.64 s.
const LONGEST_CYCLE: usize = 16;
/// In this many tokens speech has dozens of different ones.
const WINDOW: usize = 60;
const FEW_DIFFERENT: usize = 4;
/// What is kept of a silence that is cut off: 0.2 s.
const KEPT_SILENCE: usize = 5;
/// Attention is judged from here on.
const ATTENTION_WARM_UP: usize = 15;
/// A text of fewer tokens gives attention no room to be anywhere.
const SHORTEST_TEXT: usize = 8;
/// The last tokens share their attention: a text is done when attention reaches any of them.
const END_TOKENS: usize = 3;
/// So many tokens in a row must look back before that counts as saying it again.
const LOOKS_BACK: usize = 10;
/// How far back, in text tokens, that is while the text is not done; glances at what was just said are
/// shorter.
const JUMP_BACK: usize = 8;

/// What to do after a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Go,
    /// The chunk ends; its first `keep` tokens are good.
    Stop {
        keep: usize,
    },
    /// The chunk has failed and is worth another seed. Who has none left takes [`Guard::salvage`].
    Retry,
}

/// The guard of one chunk.
#[derive(Debug)]
pub struct Guard {
    min_tokens: usize,
    max_tokens: usize,
    loops: Loops,
    path: Path,
    seen: usize,
    /// Tokens that are good should the chunk end in failure.
    salvage: usize,
}

impl Guard {
    pub fn new(text: &TextTokens, family: Family) -> Self {
        // The bytes of a letter grow with what it says: a Hangul syllable has three and lasts as long as
        // three letters.
        let bytes: usize = text.source.iter().map(Range::len).sum();
        let cap = if family == Family::Turbo { MAX_SPEECH_TOKENS } else { MAX_SPEECH_TOKENS - 1 };
        let max_tokens = (MOST_EXTRA + MOST_TOKENS_PER_BYTE * bytes).min(cap);
        let min_tokens = (bytes * LEAST_TOKENS_PER_FIVE_BYTES / 5).clamp(LEAST, max_tokens / 2);
        Self {
            min_tokens,
            max_tokens,
            loops: Loops::default(),
            path: Path::new(&text.source),
            seen: 0,
            salvage: 0,
        }
    }

    /// The chunk is over after so many tokens, whatever the model wants.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// The stop token must not be drawn before so many tokens, lest "Hi." be nothing at all.
    pub fn min_tokens(&self) -> usize {
        self.min_tokens
    }

    /// Good tokens of a chunk that failed for the last time.
    pub fn salvage(&self) -> usize {
        self.salvage
    }

    /// Takes the token that was drawn, the stop token included, and the attention that drew it: one value a
    /// token of the text, or none. After anything but [`Verdict::Go`] the chunk is over.
    pub fn observe(&mut self, token: u32, attention: &[f32]) -> Verdict {
        self.path.look(attention, self.seen);
        if token >= SPEECH_IDS {
            return self.ended();
        }
        self.seen += 1;
        self.salvage = self.seen;
        if let Some(keep) = self.loops.push(token) {
            return self.looped(keep);
        }
        if self.path.followed() {
            if let Some(keep) = self.path.tail(self.seen).or_else(|| self.path.said_again()) {
                return self.stop(keep);
            }
            if let Some(start) = self.path.stuck_behind() {
                self.salvage = start;
                return Verdict::Retry;
            }
        }
        if self.seen >= self.max_tokens { self.exhausted() } else { Verdict::Go }
    }

    fn stop(&mut self, keep: usize) -> Verdict {
        self.salvage = keep.min(self.seen);
        Verdict::Stop { keep: self.salvage }
    }

    /// The model has said that it is done.
    fn ended(&mut self) -> Verdict {
        if self.path.followed() && self.path.is_far_from_end() { Verdict::Retry } else { Verdict::Go }
    }

    /// A loop behind the text is a tail; in its middle the rest of the text would be missing.
    fn looped(&mut self, keep: usize) -> Verdict {
        let early = if self.path.followed() {
            self.path.completed.is_none()
        } else {
            keep < self.min_tokens * 2 // an ordinary pace has four times the least
        };
        let verdict = self.stop(keep);
        if early { Verdict::Retry } else { verdict }
    }

    fn exhausted(&mut self) -> Verdict {
        if self.path.followed() && self.path.is_far_from_end() {
            return Verdict::Retry;
        }
        self.stop(self.seen)
    }
}

/// Repetition in the tokens alone.
#[derive(Debug, Default)]
struct Loops {
    /// The last tokens, the newest in front.
    recent: VecDeque<u32>,
    /// For each length of a cycle, how many tokens in a row equal the one so far before them.
    matches: [usize; LONGEST_CYCLE],
    seen: usize,
}

impl Loops {
    /// How many tokens to keep if they have gone into a loop.
    fn push(&mut self, token: u32) -> Option<usize> {
        self.seen += 1;
        for (index, matches) in self.matches.iter_mut().enumerate() {
            *matches = if self.recent.get(index) == Some(&token) { *matches + 1 } else { 0 };
        }
        self.recent.push_front(token);
        self.recent.truncate(WINDOW);
        self.cycle().or_else(|| self.poor())
    }

    fn cycle(&self) -> Option<usize> {
        (1..=LONGEST_CYCLE).find_map(|period| {
            let stretch = self.matches[period - 1] + period;
            let most = if period == 1 { SAME_TOKEN } else { CYCLE_TOKENS.max(CYCLE_ROUNDS * period) };
            // One round has been spoken; of a single token a breath is kept.
            let kept = if period == 1 { KEPT_SILENCE } else { period };
            (stretch >= most && (period == 1 || self.matches[0] < stretch - 1))
                .then(|| self.seen - stretch + kept)
        })
    }

    /// Few different tokens in no order: the model hums or is silent.
    fn poor(&self) -> Option<usize> {
        let mut different: Vec<u32> = Vec::with_capacity(FEW_DIFFERENT + 1);
        let mut length = 0;
        for token in &self.recent {
            if !different.contains(token) {
                different.push(*token);
                if different.len() > FEW_DIFFERENT {
                    break;
                }
            }
            length += 1;
        }
        (length >= WINDOW).then(|| self.seen - length + KEPT_SILENCE)
    }
}

/// Where attention stands in the text.
#[derive(Debug)]
struct Path {
    /// The text's tokens among those that attention is given for.
    inner: Range<usize>,
    /// Tokens that may follow once attention is at the end: enough for its letters at half the usual pace,
    /// and a breath.
    end_allowance: usize,
    /// What is kept of them when more come.
    end_kept: usize,
    steps: usize,
    /// Steps from one place to one near it or further on.
    smooth: usize,
    /// Sum of the largest share of each step.
    peaks: f64,
    position: usize,
    furthest: usize,
    /// The speech token at which the end was reached.
    completed: Option<usize>,
    /// Since which speech token attention has been far behind, and the last one seen there.
    behind: Option<Range<usize>>,
}

impl Path {
    fn new(source: &[Range<usize>]) -> Self {
        let start = source.iter().position(|range| !range.is_empty()).unwrap_or(source.len());
        let end = source.iter().rposition(|range| !range.is_empty()).map_or(start, |last| last + 1);
        let last = end.saturating_sub(END_TOKENS).max(start);
        let letters: usize = source[last..end].iter().map(Range::len).sum();
        Self {
            inner: start..end,
            end_allowance: 25 + 4 * letters,
            end_kept: 10 + 2 * letters,
            steps: 0,
            smooth: 0,
            peaks: 0.0,
            position: 0,
            furthest: 0,
            completed: None,
            behind: None,
        }
    }

    fn look(&mut self, attention: &[f32], at: usize) {
        let Some(row) = attention.get(self.inner.clone()).filter(|row| row.len() >= SHORTEST_TEXT) else {
            return;
        };
        let total: f32 = row.iter().sum();
        let peak = row.iter().enumerate().max_by(|left, right| left.1.total_cmp(right.1));
        let Some((place, share)) = peak.map(|(place, peak)| (place, peak / total)) else { return };
        if !share.is_finite() {
            return;
        }
        let near = place as i64 - self.position as i64;
        self.steps += 1;
        self.smooth += usize::from((-3..=6).contains(&near));
        self.peaks += f64::from(share);
        self.position = place;
        // A glance ahead is no progress: the text is walked through, not jumped over.
        if place <= self.furthest + 2 * JUMP_BACK {
            self.furthest = self.furthest.max(place);
        }
        if self.furthest + END_TOKENS >= row.len() && self.completed.is_none() {
            self.completed = Some(at);
        }
        let is_behind = place + JUMP_BACK.max(row.len() / 8) <= self.furthest;
        self.behind = match self.behind.take().filter(|_| is_behind) {
            Some(since) => Some(since.start..at + 1),
            None => is_behind.then_some(at..at + 1),
        };
    }

    /// Attention walks through the text plainly enough to be believed.
    fn followed(&self) -> bool {
        let even_share = 3.0 / self.inner.len().max(1) as f64;
        self.steps >= ATTENTION_WARM_UP
            && self.smooth * 10 >= self.steps * 8
            && self.peaks / self.steps as f64 >= even_share.clamp(0.2, 0.5)
    }

    /// More than an eighth of the text, and more than a word or two, has not been reached.
    fn is_far_from_end(&self) -> bool {
        let left = self.inner.len().saturating_sub(self.furthest + END_TOKENS);
        left > JUMP_BACK && left * 8 > self.inner.len()
    }

    /// The text was done long ago.
    fn tail(&self, seen: usize) -> Option<usize> {
        let completed = self.completed.filter(|at| seen > at + self.end_allowance)?;
        let back = self.behind.as_ref().map(|behind| behind.start);
        let kept = completed + self.end_kept;
        Some(back.map_or(kept, |back| back.min(kept)))
    }

    /// The text is being said a second time.
    fn said_again(&self) -> Option<usize> {
        let behind = self.behind.as_ref().filter(|behind| behind.len() >= LOOKS_BACK)?;
        self.completed.filter(|completed| *completed < behind.start).map(|_| behind.start)
    }

    /// In the middle of the text attention has gone back and stays there: what was said is being said again.
    fn stuck_behind(&self) -> Option<usize> {
        let behind = self.behind.as_ref().filter(|behind| behind.len() >= LOOKS_BACK)?;
        self.completed.is_none().then_some(behind.start)
    }
}

#[cfg(test)]
mod tests;
