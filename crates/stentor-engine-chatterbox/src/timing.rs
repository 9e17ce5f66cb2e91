//! When each word is heard, from where T3 looked in the text while it spoke.
//!
//! The likeliest walk through the text that never goes back (Viterbi) says which speech token spoke which
//! text token; one lasts 40 ms. Where attention says nothing, as with random weights, the walk is an even
//! one.

use crate::{
    guard::MAX_SPEECH_TOKENS,
    text::{MAX_TOKENS, TextTokens, marked},
};
use std::ops::Range;
use stentor_types::{WordTiming, cue_end};

/// Samples of one speech token.
const SAMPLES: f64 = 960.0;
/// Attention below this share is noise.
const FLOOR: f32 = 0.02;
/// What it costs to pass a text token without a moment of its own, in units of log attention.
const SKIPPED: f32 = 1.0;
/// Pull towards an even walk: far weaker than any attention, it decides only where there is none.
const EVENNESS: f32 = 0.05;

/// Attention of one chunk, collected as it is spoken.
#[derive(Debug, Clone)]
pub struct Alignment {
    /// The text's tokens among those that attention is given for.
    inner: Range<usize>,
    /// Bytes of the spoken text behind each of them.
    source: Vec<Range<usize>>,
    /// Attention to each of them, one row a speech token.
    rows: Vec<f32>,
}

impl Alignment {
    pub fn new(text: &TextTokens) -> Self {
        let sounding = |range: &Range<usize>| !range.is_empty();
        let start = text.source.iter().position(sounding).unwrap_or(text.source.len());
        let end = text.source.iter().rposition(sounding).map_or(start, |last| last + 1);
        let inner = start..end.min(start + MAX_TOKENS);
        Self { source: text.source[inner.clone()].to_vec(), inner, rows: Vec::new() }
    }

    /// Takes the attention of the next speech token: one value for each token of the text, or none. More
    /// tokens than a chunk may have are not kept.
    pub fn push(&mut self, attention: &[f32]) {
        let width = self.inner.len();
        if self.rows.len() >= MAX_SPEECH_TOKENS * width {
            return;
        }
        let row = attention.get(self.inner.clone()).unwrap_or_default();
        let total: f32 = row.iter().sum();
        if total.is_finite() && total > 0.0 {
            self.rows.extend(row.iter().map(|share| (share / total).max(FLOOR).ln()));
        } else {
            self.rows.extend(std::iter::repeat_n(FLOOR.ln(), width));
        }
    }

    /// The words of the spoken text `text`, in order, within the samples of the first `kept` speech tokens.
    /// All are there, unless nothing was spoken; a link or cue is one word.
    pub fn words(&self, text: &str, kept: usize) -> Vec<WordTiming> {
        let words = words(text);
        if kept == 0 || self.inner.is_empty() || words.is_empty() {
            return Vec::new();
        }
        let marks = self.marks(text, kept);
        let mut spans: Vec<Range<f64>> = words
            .iter()
            .map(|word| moment(&marks, word.start, true)..moment(&marks, word.end, false))
            .collect();
        share_out(&mut spans, &words, kept as f64);
        let timing = |(word, span): (Range<usize>, Range<f64>)| WordTiming {
            text: word,
            samples: (span.start * SAMPLES).round() as u64..(span.end * SAMPLES).round() as u64,
        };
        words.into_iter().zip(spans).map(timing).collect()
    }

    /// Bytes of the text and when they are spoken, in speech tokens; tokens of nothing but space are left
    /// out.
    fn marks(&self, text: &str, kept: usize) -> Vec<(Range<usize>, Range<f64>)> {
        let steps = self.walk(kept);
        let mut marks: Vec<(Range<usize>, Range<f64>)> = Vec::new();
        for (token, source) in self.source.iter().enumerate() {
            let Some(inside) = text.get(source.clone()) else { continue };
            let lead = inside.len() - inside.trim_start().len();
            let source = source.start + lead..source.start + inside.trim_end().len();
            if source.is_empty() {
                continue;
            }
            let time = steps[token] as f64..steps[token + 1] as f64;
            match marks.last_mut().filter(|last| last.0.end > source.start) {
                // Several tokens of one character.
                Some(last) => {
                    last.0.end = last.0.end.max(source.end);
                    last.1.end = time.end;
                }
                None => marks.push((source, time)),
            }
        }
        marks
    }

    /// For each text token, and for the end, the speech token with which it begins.
    fn walk(&self, kept: usize) -> Vec<usize> {
        let width = self.inner.len();
        let frames = kept.min(MAX_SPEECH_TOKENS);
        // Where the walk came from: the token of the frame before.
        let mut came_from: Vec<u16> = Vec::with_capacity(frames * width);
        let mut best: Vec<f32> = (0..width).map(|token| -SKIPPED * token as f32).collect();
        for frame in 0..frames {
            let row = self.rows.get(frame * width..(frame + 1) * width);
            let mut next = Vec::with_capacity(width);
            // The best way to come from further back, and where from.
            let (mut jump, mut jump_from) = (f32::NEG_INFINITY, 0);
            for token in 0..width {
                let (value, from) =
                    if best[token] >= jump { (best[token], token) } else { (jump, jump_from) };
                let seen = row.map_or(FLOOR.ln(), |row| row[token]);
                let off = (frame as f32 + 0.5) / frames as f32 - (token as f32 + 0.5) / width as f32;
                next.push(if frame == 0 { best[token] } else { value } + seen - EVENNESS * off * off);
                came_from.push(if frame == 0 { token } else { from } as u16);
                jump -= SKIPPED;
                if best[token] > jump {
                    (jump, jump_from) = (best[token], token);
                }
            }
            best = next;
        }
        let end_cost = |token: usize| best[token] - SKIPPED * (width - 1 - token) as f32;
        let mut token = (0..width).max_by(|l, r| end_cost(*l).total_cmp(&end_cost(*r))).unwrap_or_default();
        let mut begins = vec![frames; width + 1];
        let mut later = width;
        for frame in (0..frames).rev() {
            // Tokens that were passed over begin where the one behind them does.
            begins[token + 1..=later].fill(frame + 1);
            later = token;
            begins[token] = frame;
            if frame > 0 {
                token = usize::from(came_from[frame * width + token]);
            }
        }
        begins[..=later].fill(0);
        begins
    }
}

/// Byte ranges of the words of a spoken text: letters and digits with what joins them; each ideograph, and a
/// link or cue, is one.
fn words(text: &str) -> Vec<Range<usize>> {
    let mut words: Vec<Range<usize>> = Vec::new();
    let mut open = false;
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let end = at + c.len_utf8();
        // A link or a cue.
        let bracketed =
            marked::link(&text[at..]).map(|(_, length)| at + length).or_else(|| cue_end(text, at));
        if let Some(end) = bracketed {
            words.push(at..end);
            (open, at) = (false, end);
            continue;
        }
        if is_ideograph(c) {
            words.push(at..end);
            open = false;
        } else if c.is_alphanumeric() {
            match words.last_mut().filter(|_| open) {
                Some(word) => word.end = end,
                None => words.push(at..end),
            }
            open = true;
        } else if c.is_whitespace() || matches!(c, '—' | '–' | '…') {
            open = false;
        }
        at = end;
    }
    words
}

/// Scripts without spaces.
fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// When the byte `at` is spoken: as the beginning of what follows it, or as the end of what is before.
fn moment(marks: &[(Range<usize>, Range<f64>)], at: usize, begins: bool) -> f64 {
    let index = if begins {
        marks.partition_point(|(bytes, _)| bytes.end <= at)
    } else {
        marks.partition_point(|(bytes, _)| bytes.start < at).saturating_sub(1)
    };
    let Some((bytes, time)) = marks.get(index).or_else(|| marks.last()) else { return 0.0 };
    let inside = (at.clamp(bytes.start, bytes.end) - bytes.start) as f64 / bytes.len() as f64;
    time.start + inside * (time.end - time.start)
}

/// Puts the words in order within `0..end`. Words without a moment of their own share that of the word
/// before, or after, by their letters.
fn share_out(spans: &mut [Range<f64>], words: &[Range<usize>], end: f64) {
    let mut heard = 0.0;
    for span in spans.iter_mut() {
        span.start = span.start.clamp(heard, end);
        span.end = span.end.clamp(span.start, end);
        heard = span.end;
    }
    let is_empty = |span: &Range<f64>| span.end - span.start < 1e-6;
    let mut first = 0;
    while first < spans.len() {
        let mut last = first + 1;
        let led_by_empty = is_empty(&spans[first]);
        while last < spans.len() && (is_empty(&spans[last]) || (led_by_empty && is_empty(&spans[last - 1]))) {
            last += 1;
        }
        let (start, stop) = (spans[first].start, spans[last - 1].end.max(spans[first].end));
        let letters: usize = words[first..last].iter().map(Range::len).sum();
        let mut at = start;
        if last - first > 1 {
            for (span, word) in spans[first..last].iter_mut().zip(&words[first..last]) {
                let next = at + (stop - start) * word.len() as f64 / letters as f64;
                *span = at..next;
                at = next;
            }
        }
        first = last;
    }
}

#[cfg(test)]
mod tests;
