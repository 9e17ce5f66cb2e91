//! What the targets share: how bytes become options, and what must hold for every text.

use std::sync::Arc;
use stentor_text::{Script, TextOptions, lexicon::Lexicon};
use stentor_types::{ChunkBudget, SpokenText};

/// Takes the first byte as choices and the rest as text; `None` if it is not UTF-8.
pub fn choices_and_text(data: &[u8]) -> Option<(u8, &str)> {
    let (choices, text) = data.split_first()?;
    Some((*choices, std::str::from_utf8(text).ok()?))
}

/// One of several ways to read a text.
pub fn options(choices: u8) -> TextOptions {
    let language = ["en-us", "en-gb", "de", "zh"][usize::from(choices & 3)];
    TextOptions {
        language: language.parse().expect("a language tag"),
        normalize: choices & 4 == 0,
        tags: if choices & 8 == 0 { Vec::new() } else { vec!["[laugh]".to_owned()] },
    }
}

/// One of several sizes of chunks.
pub fn budget(choices: u8) -> ChunkBudget {
    let max = [1, 40, 250, 400][usize::from(choices >> 4 & 3)];
    ChunkBudget { first: max / 2, max }
}

/// Spans stay inside both texts and end between characters. In a plain text they ascend in both.
pub fn check_spans(original: &str, spoken: &SpokenText, ascending: bool) {
    let (mut spoken_end, mut source_end) = (0, 0);
    for span in &spoken.spans {
        assert!(span.spoken.start >= spoken_end, "spans overlap: {spoken:?}");
        assert!(!ascending || span.source.start >= source_end, "sources go back: {spoken:?}");
        assert!(spoken.text.get(span.spoken.clone()).is_some(), "a span cuts a character: {spoken:?}");
        assert!(original.get(span.source.clone()).is_some(), "a source cuts a character: {spoken:?}");
        (spoken_end, source_end) = (span.spoken.end, span.source.end);
    }
}

/// Cuts a script into chunks, as a request does, and checks each.
pub fn speak(text: &str, choices: u8, lexicons: Vec<Arc<Lexicon>>) {
    let input: Arc<str> = Arc::from(text);
    let Ok(script) = Script::parse(&input) else { return };
    let (options, budget) = (options(choices), budget(choices));
    for (range, _) in script.rewritten(std::slice::from_ref(&options), &lexicons) {
        assert!(text.get(range.clone()).is_some(), "{range:?} is no part of the text");
    }
    for (index, chunk) in script.chunks(vec![options], lexicons, budget).enumerate() {
        assert_eq!(chunk.index as usize, index, "chunks are counted");
        check_spans(text, &chunk.spoken, false);
    }
}

/// Runs something that never really waits.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
        .block_on(future)
}
