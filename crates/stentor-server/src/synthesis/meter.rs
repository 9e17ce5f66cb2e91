//! Counts what becomes of a synthesis, for metrics and for the log.

use crate::Metrics;
use std::{sync::Arc, time::Duration};
use stentor_types::ModelId;
use tokio::time::Instant;

/// What a synthesis has come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spoken {
    /// Seconds of audio.
    pub audio: f64,
    /// Of the whole text.
    pub chars: usize,
    /// Since the request came.
    pub took: Duration,
    /// Phonemes or tokens that the engine read.
    pub units: u64,
}

pub(super) struct Meter {
    /// `None` counts nothing.
    metrics: Option<Arc<Metrics>>,
    model: ModelId,
    since: Instant,
    chars: usize,
    audio: f64,
    units: u64,
    /// Some chunk has given samples.
    heard: bool,
    /// It came to its end, be it an error.
    over: bool,
}

impl Meter {
    pub(super) fn new(metrics: Option<Arc<Metrics>>, model: &ModelId, since: Instant) -> Self {
        Self {
            metrics,
            model: model.clone(),
            since,
            chars: 0,
            audio: 0.0,
            units: 0,
            heard: false,
            over: false,
        }
    }

    /// A text of `chars` characters begins to be spoken.
    pub(super) fn begin(&mut self, chars: usize) {
        self.chars = chars;
        if let Some(metrics) = &self.metrics {
            metrics.chars(&self.model, chars);
        }
    }

    pub(super) fn has_heard(&self) -> bool {
        self.heard
    }

    /// `queued`: how long it waited for its first chunk to be begun.
    pub(super) fn hear(&mut self, queued: Option<Duration>) {
        if self.heard {
            return;
        }
        self.heard = true;
        if let Some(metrics) = &self.metrics {
            metrics.queued(&self.model, queued.unwrap_or_default().as_secs_f64());
            metrics.first_audio(&self.model, self.since.elapsed().as_secs_f64());
        }
    }

    pub(super) fn audio(&mut self, seconds: f64) {
        self.audio += seconds;
        if let Some(metrics) = &self.metrics {
            metrics.audio(&self.model, seconds);
        }
    }

    /// A chunk is complete, of which the engine read that many phonemes or tokens.
    pub(super) fn read(&mut self, units: u64) {
        self.units += units;
    }

    /// It has spoken all, or failed.
    pub(super) fn end(&mut self) {
        self.over = true;
    }

    /// Nothing is heard of it, and nothing more is expected.
    pub(super) fn give_up(&mut self) {
        self.heard = true;
    }

    pub(super) fn spoken(&self) -> Spoken {
        Spoken { audio: self.audio, chars: self.chars, took: self.since.elapsed(), units: self.units }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let Some(metrics) = &self.metrics else { return };
        if !self.over {
            metrics.cancelled(&self.model);
        }
        if self.heard {
            metrics.finished(&self.model, self.since.elapsed().as_secs_f64());
        }
    }
}
