//! SSML documents, from the first tag to chunks.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stentor_fuzz::{choices_and_text, speak};

fuzz_target!(|data: &[u8]| {
    let Some((choices, text)) = choices_and_text(data) else { return };
    speak(&format!("<speak>{text}"), choices, Vec::new());
    speak(&format!("<speak>{text}</speak>"), choices, Vec::new());
});
