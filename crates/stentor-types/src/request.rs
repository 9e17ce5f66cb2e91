//! Parts of a validated speech request.

use crate::{AudioFormat, Language, Params};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Speaking rate, 0.25 to 4.0; 1.0 is the voice's own.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f32", into = "f32")]
pub struct Speed(f32);

#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("speed must be between 0.25 and 4.0, not {0}")]
pub struct SpeedError(pub f32);

impl Speed {
    pub const NORMAL: Self = Self(1.0);

    pub fn get(self) -> f32 {
        self.0
    }
}

impl TryFrom<f32> for Speed {
    type Error = SpeedError;
    fn try_from(value: f32) -> Result<Self, SpeedError> {
        if (0.25..=4.0).contains(&value) { Ok(Self(value)) } else { Err(SpeedError(value)) }
    }
}

impl From<Speed> for f32 {
    fn from(speed: Speed) -> Self {
        speed.0
    }
}

/// A speech request whose fields have been checked; names are not yet resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct SpeechRequest {
    /// As the client wrote it; `None` asks for the default model.
    pub model: Option<String>,
    /// As the client wrote it; `None` asks for the model's default voice.
    pub voice: Option<String>,
    /// Neither blank nor holding NUL, within the server's limit.
    pub input: Arc<str>,
    pub format: AudioFormat,
    pub speed: Speed,
    /// `None` means the voice's own language.
    pub language: Option<Language>,
    pub seed: Seed,
    /// Whether digits, dates, symbols and so on are expanded before they are spoken.
    pub normalize: bool,
    /// `Some(false)` asks for the whole file at once, with true sizes.
    pub stream: Option<bool>,
    pub params: Params,
}

/// Where a request's randomness comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Seed {
    /// Derived from text and voice, so that the same request sounds the same.
    #[default]
    FromContent,
    Fixed(u64),
    /// `"random"`: a fresh seed each time, drawn by the caller.
    Random,
}

/// A stable 64-bit hash of `parts` (FNV-1a with a separator): same value on every platform and release.
pub fn content_hash(parts: &[&str]) -> u64 {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(PRIME);
        }
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_refuses_what_is_out_of_range_or_not_a_number() {
        assert!(Speed::try_from(0.25).is_ok() && Speed::try_from(4.0).is_ok());
        for bad in [0.0, 0.249, 4.01, f32::NAN, f32::INFINITY, -1.0] {
            assert!(Speed::try_from(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn content_hash_tells_part_borders_apart() {
        assert_ne!(content_hash(&["ab", "c"]), content_hash(&["a", "bc"]));
    }
}
