//! A lexicon's file, and a text that is read with it. A line of dashes parts the two.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use stentor_fuzz::{choices_and_text, speak};
use stentor_text::lexicon::{Lexicon, RawEntry};

#[derive(serde::Deserialize)]
struct File {
    entry: Vec<RawEntry>,
}

fuzz_target!(|data: &[u8]| {
    let Some((choices, text)) = choices_and_text(data) else { return };
    let (file, text) = text.split_once("\n---\n").unwrap_or((text, "SQL and Nguyen, e.g. New York."));
    let Ok(file) = toml::from_str::<File>(file) else { return };
    let Ok(lexicon) = Lexicon::from_raw(file.entry) else { return };
    speak(text, choices, vec![Arc::new(lexicon)]);
});
