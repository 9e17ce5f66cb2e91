//! Turns an engine's word timings into timings of the client's own words.

use crate::{View, markup};
use std::ops::Range;
use stentor_types::{SampleRate, SourceTiming, SpanMap, SpokenText, WordTiming};

/// Words of the original text with the times at which they are heard, for one chunk.
///
/// All spoken words of one expansion make one entry ("$5" for "five dollars"). `view` is of the client's whole text,
/// `words` are in samples from the chunk's start, `offset` is the second at which chunk sample 0 sounds. Entries ascend
/// and do not overlap, in the text as in time; a word that the engine gave no time for is left out.
pub fn source_timings(
    view: &View,
    spoken: &SpokenText,
    words: &[WordTiming],
    rate: SampleRate,
    offset: f64,
) -> Vec<SourceTiming> {
    let mut out = Vec::new();
    let mut first = 0;
    let mut heard_until = 0;
    for span in &spoken.spans {
        while words.get(first).is_some_and(|word| word.text.end <= span.spoken.start) {
            first += 1;
        }
        let mut heard: Option<Range<u64>> = None;
        for word in words[first..].iter().take_while(|word| word.text.start < span.spoken.end) {
            let part = share(word, span);
            heard = Some(heard.map_or(part.clone(), |h| h.start.min(part.start)..h.end.max(part.end)));
        }
        let Some(heard) = heard else { continue };
        let source = visible(view, &span.source);
        let word = view.word(&source);
        if word.is_empty() {
            continue;
        }
        let start = heard.start.max(heard_until);
        let end = heard.end.max(start);
        heard_until = end;
        out.push(SourceTiming {
            word: word.to_owned(),
            source,
            start: offset + rate.seconds(start),
            end: offset + rate.seconds(end),
        });
    }
    out
}

/// Makes one word of a word that chunks were cut in. The last word of a chunk waits here as long as more of it is to come.
#[derive(Debug, Default)]
pub struct WordJoiner {
    held: Option<SourceTiming>,
}

impl WordJoiner {
    /// Takes the words of a chunk, the last of which `goes_on` in the next one, and leaves those that are complete.
    pub fn chunk(&mut self, view: &View, words: &mut Vec<SourceTiming>, goes_on: bool) {
        if let Some(held) = self.held.take() {
            match words.first_mut() {
                Some(first) if first.source.start < held.source.end => {
                    first.source = held.source.start..first.source.end.max(held.source.end);
                    first.word = view.word(&first.source).to_owned();
                    first.start = held.start;
                }
                _ => words.insert(0, held),
            }
        }
        if goes_on {
            self.held = words.pop();
        }
    }

    /// What still waits when there are no more chunks.
    pub fn finish(&mut self) -> Option<SourceTiming> {
        self.held.take()
    }
}

/// The samples of `word` that fall to `span`, by letters, when the engine's word covers more than one.
fn share(word: &WordTiming, span: &SpanMap) -> Range<u64> {
    let length = word.text.len().max(1) as u64;
    let samples = word.samples.end.saturating_sub(word.samples.start);
    let from = span.spoken.start.saturating_sub(word.text.start) as u64;
    let to = (span.spoken.end.saturating_sub(word.text.start) as u64).min(length);
    word.samples.start + samples * from.min(length) / length..word.samples.start + samples * to / length
}

/// The part of a source range that a reader sees as the word: the text of a link, no punctuation around it.
fn visible(view: &View, source: &Range<usize>) -> Range<usize> {
    let (shown, all) = (view.shown(source), view.text());
    let range = match markup::link_at(all, shown.start) {
        Some(link) if link.end <= shown.end => link.visible,
        _ if stentor_types::cue_end(all, shown.start) == Some(shown.end) => return source.clone(),
        _ => shown,
    };
    let text = all.get(range.clone()).unwrap_or_default();
    let edge = |c: char| c.is_whitespace() || is_edge(c);
    let lead = text.len() - text.trim_start_matches(edge).len();
    let body = text.trim_matches(edge);
    let seen = if body.is_empty() { range } else { range.start + lead..range.start + lead + body.len() };
    view.source(&seen)
}

/// Punctuation around words; signs that are read, such as "$" and "%", belong to them.
fn is_edge(c: char) -> bool {
    matches!(
        c,
        '.' | ','
            | ';'
            | ':'
            | '!'
            | '?'
            | '…'
            | '"'
            | '\''
            | '('
            | ')'
            | '['
            | ']'
            | '{'
            | '}'
            | '*'
            | '_'
            | '`'
            | '-'
            | '–'
            | '—'
            | '“'
            | '”'
            | '‘'
            | '’'
            | '«'
            | '»'
            | '¿'
            | '¡'
            | '。'
            | '、'
            | '，'
            | '！'
            | '？'
    )
}
