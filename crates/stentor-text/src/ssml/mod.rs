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

/// A text that is meant as SSML: `<speak` stands at its start, or behind what XML allows before a document's first element.
pub fn is_ssml(text: &str) -> bool {
    let mut body = text.trim_start_matches('\u{feff}').trim_start();
    while let Some(end) = prolog_end(body) {
        body = body[end..].trim_start();
    }
    let Some(tag) = body.strip_prefix('<') else { return false };
    tag.find(|c: char| c.is_whitespace() || matches!(c, '>' | '/')).is_some_and(|end| is_root(&tag[..end]))
}

/// `speak`, in whatever namespace.
fn is_root(name: &str) -> bool {
    let local = name.split_once(':').filter(|(prefix, _)| prefix.chars().all(char::is_alphanumeric));
    name == "speak" || local.is_some_and(|(prefix, local)| !prefix.is_empty() && local == "speak")
}

/// The end of the declaration, instruction, comment or document type with which `body` starts.
fn prolog_end(body: &str) -> Option<usize> {
    let between = |open: &str, close: &str| {
        let rest = body.strip_prefix(open)?;
        Some(open.len() + rest.find(close)? + close.len())
    };
    between("<?", "?>").or_else(|| between("<!--", "-->")).or_else(|| doctype_end(body))
}

/// A document type may hold a list of declarations in brackets, and quoted text.
fn doctype_end(body: &str) -> Option<usize> {
    body.get(..9).filter(|start| start.eq_ignore_ascii_case("<!doctype"))?;
    let (mut quote, mut inside, mut pos) = (None, false, 9);
    while let Some(&byte) = body.as_bytes().get(pos) {
        pos += 1;
        match (quote, byte) {
            (Some(open), _) => quote = Some(open).filter(|open| *open != byte),
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'<') if body[pos..].starts_with("!--") => pos += body[pos..].find("-->")? + 3,
            (None, b'[') => inside = true,
            (None, b']') => inside = false,
            (None, b'>') if !inside => return Some(pos),
            _ => {}
        }
    }
    None
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
            "<?xml version='1.0'?><!DOCTYPE speak><speak>",
            "<!DOCTYPE x [<!ENTITY a \">]>\"> <!-- it's ]> --> ] ><speak>",
            "<!-- a --> <?b c?>\n<!-- d --><speak>",
            "<ssml:speak>",
        ] {
            assert!(is_ssml(text), "{text}");
        }
        for text in [
            "<speaker>",
            "speak",
            "a <speak>",
            "<p>",
            "<?xml <speak>",
            "<speak",
            "",
            "<!DOCTYPE html><html>",
            "<!-- a -->b <speak>",
            "<!DOCTYPE <speak>",
            "<:speak>",
            "<!-- <speak>",
        ] {
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
