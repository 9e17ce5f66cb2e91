//! Plain text: markdown, numbers, dates, odd characters.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use stentor_fuzz::{budget, check_spans, choices_and_text, options};
use stentor_text::{chunks, normalize, split};

fuzz_target!(|data: &[u8]| {
    let Some((choices, text)) = choices_and_text(data) else { return };
    let (options, budget) = (options(choices), budget(choices));
    let whole = normalize(text, &options);
    check_spans(text, &whole, true);
    let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
    let mut joined = String::new();
    for chunk in chunks(Arc::from(text), &options, budget) {
        check_spans(text, &chunk.spoken, true);
        joined.push_str(&letters(&chunk.spoken.text));
        for part in split(chunk, budget.first) {
            check_spans(text, &part.spoken, true);
        }
    }
    assert_eq!(joined, letters(&whole.text), "chunks lose or repeat something");
});
