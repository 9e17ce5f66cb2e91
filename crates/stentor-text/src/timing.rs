//! Turns an engine's word timings into timings of the client's own words.

use crate::markup;
use std::ops::Range;
use stentor_types::{SampleRate, SourceTiming, SpanMap, SpokenText, WordTiming};

/// Words of the original text with the times at which they are heard, for one chunk.
///
/// All spoken words of one expansion make one entry ("$5" for "five dollars"). `original` is the client's whole text,
/// `words` are in samples from the chunk's start, `offset` is the second at which chunk sample 0 sounds. Entries ascend
/// and do not overlap, in the text as in time; a word that the engine gave no time for is left out.
pub fn source_timings(
    original: &str,
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
        let source = visible(original, &span.source);
        let Some(word) = original.get(source.clone()).filter(|word| !word.is_empty()) else { continue };
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

/// The samples of `word` that fall to `span`, by letters, when the engine's word covers more than one.
fn share(word: &WordTiming, span: &SpanMap) -> Range<u64> {
    let length = word.text.len().max(1) as u64;
    let samples = word.samples.end.saturating_sub(word.samples.start);
    let from = span.spoken.start.saturating_sub(word.text.start) as u64;
    let to = (span.spoken.end.saturating_sub(word.text.start) as u64).min(length);
    word.samples.start + samples * from.min(length) / length..word.samples.start + samples * to / length
}

/// The part of a source range that a reader sees as the word: the text of a link, no punctuation around it.
fn visible(original: &str, source: &Range<usize>) -> Range<usize> {
    let range = match markup::link_at(original, source.start) {
        Some(link) if link.end <= source.end => link.visible,
        _ if stentor_types::cue_end(original, source.start) == Some(source.end) => return source.clone(),
        _ => source.clone(),
    };
    let Some(text) = original.get(range.clone()) else { return range };
    let edge = |c: char| c.is_whitespace() || is_edge(c);
    let lead = text.len() - text.trim_start_matches(edge).len();
    let body = text.trim_matches(edge);
    if body.is_empty() { range } else { range.start + lead..range.start + lead + body.len() }
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
