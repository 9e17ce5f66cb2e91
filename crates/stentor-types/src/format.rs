//! The six audio formats of `response_format`.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A container and codec, named as in OpenAI's `response_format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AudioFormat {
    /// MPEG-1/2 Layer III, no ID3 and no Xing header, so that bodies concatenate.
    #[default]
    Mp3,
    /// Opus in an Ogg container.
    Opus,
    /// AAC-LC in ADTS frames.
    Aac,
    Flac,
    /// 24 kHz mono 16-bit RIFF.
    Wav,
    /// 24 kHz mono 16-bit little-endian, no header.
    Pcm,
}

impl AudioFormat {
    pub const ALL: [Self; 6] = [Self::Mp3, Self::Opus, Self::Aac, Self::Flac, Self::Wav, Self::Pcm];

    pub fn name(self) -> &'static str {
        match self {
            Self::Mp3 => "mp3",
            Self::Opus => "opus",
            Self::Aac => "aac",
            Self::Flac => "flac",
            Self::Wav => "wav",
            Self::Pcm => "pcm",
        }
    }

    /// The value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Mp3 => "audio/mpeg",
            Self::Opus => "audio/ogg; codecs=opus",
            Self::Aac => "audio/aac",
            Self::Flac => "audio/flac",
            Self::Wav => "audio/wav",
            Self::Pcm => "audio/pcm;rate=24000",
        }
    }

    /// The format that a file name's extension asks for; `ogg` is Opus, `raw` is PCM.
    pub fn from_extension(extension: &str) -> Option<Self> {
        match extension.to_ascii_lowercase().as_str() {
            "ogg" => Some(Self::Opus),
            "raw" => Some(Self::Pcm),
            other => other.parse().ok(),
        }
    }
}

impl fmt::Display for AudioFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for AudioFormat {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|format| format.name() == text).ok_or(())
    }
}
