//! A subset of SSML: what of a document has a meaning here, and where a document is wrong.
//!
//! `speak`, `p`, `s`, `break`, `sub`, `phoneme`, `say-as`, `prosody rate`, `voice` and `emphasis` are read; of other
//! elements the text is kept and the name is reported. Nothing outside the document is ever looked at: there are no
//! entities beyond XML's own five, and a document type is refused.

mod builder;
mod reader;
mod values;

pub(crate) use reader::parse;

use std::fmt;

/// How deep elements may stand in each other.
pub const MAX_DEPTH: usize = 32;
/// Elements in a document.
pub const MAX_ELEMENTS: usize = 20_000;
/// Bytes of an attribute's value.
pub const MAX_VALUE_BYTES: usize = 1000;
/// Different voices and rates in a document.
pub const MAX_STYLES: usize = 64;

/// A place in a text, counted in lines and characters from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

impl Place {
    pub const START: Self = Self { line: 1, column: 1 };

    /// The place of byte `offset`.
    pub(crate) fn of(text: &str, offset: usize) -> Self {
        let end = (0..=offset.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        let head = &text[..end];
        let line_start = head.rfind('\n').map_or(0, |i| i + 1);
        let line = 1 + head.bytes().filter(|b| *b == b'\n').count();
        Self { line, column: 1 + head[line_start..].chars().count() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Why a document can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({place})")]
pub struct SsmlError {
    pub message: String,
    pub place: Place,
}

/// A text that is meant as SSML: `<speak` stands at its start, or behind an XML declaration.
pub fn is_ssml(text: &str) -> bool {
    let mut body = text.trim_start_matches('\u{feff}').trim_start();
    if body.starts_with("<?xml") {
        let Some(end) = body.find("?>").filter(|end| *end < 256) else { return false };
        body = body[end + 2..].trim_start();
    }
    body.strip_prefix("<speak")
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_whitespace() || matches!(c, '>' | '/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_speak_element_makes_a_text_ssml() {
        for text in [
            "<speak>a</speak>",
            " \n<speak version='1.0'>",
            "<speak/>",
            "<?xml version='1.0'?>\n<speak>",
            "\u{feff}<speak>",
        ] {
            assert!(is_ssml(text), "{text}");
        }
        for text in ["<speaker>", "speak", "a <speak>", "<p>", "<?xml <speak>", "<speak", ""] {
            assert!(!is_ssml(text), "{text}");
        }
    }

    #[test]
    fn places_count_lines_and_characters() {
        assert_eq!(Place::of("é\nüx", 5), Place { line: 2, column: 2 });
        assert_eq!(Place::of("é", 1), Place::START);
        assert_eq!(Place::of("ab", 99), Place { line: 1, column: 3 });
    }
}
