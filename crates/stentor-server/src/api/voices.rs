//! The wire form of `GET /v1/audio/voices`, in the two shapes that clients read.

use serde::{Deserialize, Serialize};
use stentor_catalog::VoiceEntry;

#[derive(Debug, Clone, Serialize)]
pub(crate) struct VoiceObject<'a> {
    pub id: &'a str,
    pub object: &'static str,
    pub name: &'a str,
    pub languages: Vec<&'a str>,
}

impl<'a> From<&'a VoiceEntry> for VoiceObject<'a> {
    fn from(voice: &'a VoiceEntry) -> Self {
        Self {
            id: voice.id.as_str(),
            object: "audio.voice",
            name: &voice.name,
            languages: voice.languages.iter().map(stentor_types::Language::as_str).collect(),
        }
    }
}

/// The query string of the listing.
#[derive(Debug, Deserialize)]
pub(crate) struct VoiceFilter {
    pub(crate) model: Option<String>,
}

/// `voices` for the community's clients, `data` for OpenAI-style ones.
#[derive(Debug, Serialize)]
pub(crate) struct VoiceList<'a> {
    pub object: &'static str,
    pub voices: Vec<VoiceObject<'a>>,
    pub data: Vec<VoiceObject<'a>>,
}

impl<'a> VoiceList<'a> {
    pub(crate) fn new(voices: Vec<VoiceObject<'a>>) -> Self {
        Self { object: "list", data: voices.clone(), voices }
    }
}
