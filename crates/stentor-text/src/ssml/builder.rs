//! Collects what a document says as the runs of a script, in the style that holds at each place.

use super::MAX_STYLES;
use crate::normalize::say_as::SayAs;
use crate::script::{Part, Run, Style, is_blank};
use std::ops::Range;

/// What the text inside an element is for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Purpose {
    /// The alias is read in its place.
    Sub(String),
    /// It has these phonemes.
    Phoneme(String),
    SayAs(SayAs),
    /// It isn't spoken.
    Mute,
}

/// An element whose text is collected.
struct Capture {
    purpose: Purpose,
    text: String,
    /// Of the text, without the space around it.
    source: Option<Range<usize>>,
    /// The start tag.
    tag: Range<usize>,
}

pub(super) struct Builder<'a> {
    input: &'a str,
    pub(super) styles: Vec<Style>,
    pub(super) runs: Vec<Run>,
    /// The style that holds now.
    style: usize,
    capture: Option<Capture>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(input: &'a str) -> Self {
        let runs = vec![Run { style: 0, parts: Vec::new() }];
        Self { input, styles: vec![Style::default()], runs, style: 0, capture: None }
    }

    pub(super) fn style(&self) -> Style {
        self.styles[self.style].clone()
    }

    pub(super) fn style_index(&self) -> usize {
        self.style
    }

    pub(super) fn return_to(&mut self, style: usize) {
        self.style = style;
    }

    /// False when there are too many styles.
    pub(super) fn change(&mut self, style: Style) -> bool {
        let same = |other: &Style| other.voice == style.voice && other.rate.to_bits() == style.rate.to_bits();
        self.style = self.styles.iter().position(same).unwrap_or_else(|| {
            self.styles.push(style);
            self.styles.len() - 1
        });
        self.styles.len() <= MAX_STYLES
    }

    /// Text is being collected, so that elements in it mean nothing.
    pub(super) fn captures(&self) -> bool {
        self.capture.is_some()
    }

    pub(super) fn begin(&mut self, purpose: Purpose, tag: Range<usize>) {
        self.capture = Some(Capture { purpose, text: String::new(), source: None, tag });
    }

    /// Ends what [`Builder::begin`] began; an error says what is missing.
    pub(super) fn end(&mut self) -> Result<(), &'static str> {
        let Some(Capture { purpose, text, source, tag }) = self.capture.take() else { return Ok(()) };
        let text = text.trim_end().to_owned();
        let source = source.unwrap_or(tag);
        match purpose {
            Purpose::Mute => {}
            Purpose::Sub(alias) => {
                let shown = if text.is_empty() { alias.clone() } else { text };
                self.word(Part::Put { text: alias, shown, source, element: "sub" });
            }
            Purpose::Phoneme(ipa) => {
                let visible = text.replace(['[', ']'], " ");
                if !visible.contains(char::is_alphanumeric) {
                    return Err("`phoneme` must hold the word that models without phonemes speak");
                }
                if visible.len() > crate::lexicon::MAX_WORD_BYTES {
                    return Err("`phoneme` holds more than 200 bytes of text");
                }
                let link = format!("[{}](/{ipa}/)", visible.trim());
                self.word(Part::Put { text: link, shown: text, source, element: "phoneme" });
            }
            Purpose::SayAs(_) if text.is_empty() => {}
            Purpose::SayAs(how) => self.word(Part::SayAs { how, text, source }),
        }
        Ok(())
    }

    /// Character data that stands at `from` as it is.
    pub(super) fn text(&mut self, text: &str, from: usize) {
        if self.capture.is_none() {
            return self.word(Part::Text(from..from + text.len()));
        }
        for (i, c) in text.char_indices() {
            let at = from + i;
            self.character(c, at..at + c.len_utf8());
        }
    }

    /// One character that was written as `source`.
    pub(super) fn character(&mut self, c: char, source: Range<usize>) {
        let c = if c.is_whitespace() { ' ' } else { c };
        let Some(capture) = &mut self.capture else { return self.word(Part::Char(c, source)) };
        if c == ' ' {
            if !capture.text.is_empty() && !capture.text.ends_with(' ') {
                capture.text.push(' ');
            }
            return;
        }
        capture.text.push(c);
        let start = capture.source.as_ref().map_or(source.start, |all| all.start);
        capture.source = Some(start..source.end);
    }

    /// What is heard begins a run of its own when the style has changed; space belongs to what is before it.
    fn word(&mut self, part: Part) {
        let (style, input) = (self.style, self.input);
        let blank = is_blank(input, &part);
        let Some(last) = self.runs.last_mut() else { return };
        if last.style == style || blank {
            return last.parts.push(part);
        }
        let heard = |part: &Part| {
            matches!(part, Part::Text(_) | Part::Char(..) | Part::Put { .. } | Part::SayAs { .. })
                && !is_blank(input, part)
        };
        if last.parts.iter().any(heard) {
            self.runs.push(Run { style, parts: vec![part] });
        } else {
            last.style = style;
            last.parts.push(part);
        }
    }

    /// A pause or the end of a sentence or paragraph; it belongs to what was heard before.
    pub(super) fn mark(&mut self, mark: Part) {
        if self.capture.is_none()
            && let Some(last) = self.runs.last_mut()
        {
            last.parts.push(mark);
        }
    }
}
