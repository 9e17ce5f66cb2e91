//! An answer of captions: the text is spoken, its sound thrown away, and what is left are words with their times.

use crate::{
    ApiError,
    captions::{CaptionFormat, Captions},
    synthesis::{Spoken, Synthesis},
};
use bytes::Bytes;
use std::sync::Arc;

/// Captions that are being spoken.
pub(super) struct SpokenCaptions {
    synthesis: Synthesis,
    /// `None` at the end.
    captions: Option<Captions>,
}

impl SpokenCaptions {
    pub(super) fn new(synthesis: Synthesis, format: CaptionFormat, per_word: bool) -> Self {
        let text = (Arc::clone(synthesis.original()), Arc::clone(synthesis.view()));
        let captions = Captions::new(format, text, per_word);
        Self { synthesis, captions: Some(captions) }
    }

    /// The next stretch of the file, never empty; `None` at its end.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, ApiError>> {
        let mut out = String::new();
        while out.is_empty() {
            let captions = self.captions.as_mut()?;
            match self.synthesis.next().await {
                Some(Ok(piece)) => captions.push(piece.words, &mut out),
                Some(Err(error)) => {
                    self.captions = None;
                    return Some(Err(error));
                }
                None => {
                    let seconds = self.spoken().audio;
                    if let Some(captions) = self.captions.take() {
                        captions.finish(seconds, &mut out);
                    }
                }
            }
        }
        Some(Ok(Bytes::from(out)))
    }

    /// All of it at once.
    pub(super) async fn whole(mut self) -> Result<Bytes, ApiError> {
        let mut all = Vec::new();
        while let Some(bytes) = self.next().await {
            all.extend_from_slice(&bytes?);
        }
        Ok(Bytes::from(all))
    }

    pub(super) fn spoken(&self) -> Spoken {
        self.synthesis.spoken()
    }
}
