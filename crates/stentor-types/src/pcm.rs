//! Samples between engine and encoder.

use serde::{Deserialize, Serialize};

/// Samples per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SampleRate(pub u32);

impl SampleRate {
    pub const HZ_24000: Self = Self(24_000);

    /// Seconds that `samples` last.
    pub fn seconds(self, samples: u64) -> f64 {
        samples as f64 / f64::from(self.0)
    }

    /// Samples in `ms` milliseconds, rounded down.
    pub fn samples_in_ms(self, ms: u32) -> usize {
        (u64::from(self.0) * u64::from(ms) / 1000) as usize
    }
}

/// Mono samples, nominally within -1..=1.
#[derive(Debug, Clone, PartialEq)]
pub struct Pcm {
    pub samples: Vec<f32>,
    pub rate: SampleRate,
}
