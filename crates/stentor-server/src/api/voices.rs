//! The wire form of `GET /v1/audio/voices`, in the two shapes that clients read.

use crate::{ApiError, ErrorCode, access::Scope};
use serde::{Deserialize, Serialize};
use stentor_catalog::{Catalog, VoiceEntry};
use utoipa::ToSchema;

#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct VoiceObject<'a> {
    pub id: &'a str,
    pub object: &'static str,
    pub name: &'a str,
    pub languages: Vec<&'a str>,
    /// Of an uploaded voice: when, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<i64>,
    /// Of an uploaded voice in a list: who can speak with it now, maybe nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<&'a str>>,
}

impl<'a> VoiceObject<'a> {
    /// As lists have it.
    pub(crate) fn listed(catalog: &'a Catalog, voice: &'a VoiceEntry, scope: Scope) -> Self {
        let object = match scope {
            Scope::Full => Self::from(voice),
            // What somebody called a voice may be a person's name.
            Scope::Ids => Self::nameless(voice),
        };
        let models = || catalog.models_for(voice).map(|model| model.id.as_str()).collect();
        Self { models: voice.hold.is_some().then(models), ..object }
    }

    /// With its id in the place of its name.
    fn nameless(voice: &'a VoiceEntry) -> Self {
        Self { name: voice.id.as_str(), created_at: None, ..Self::from(voice) }
    }
}

/// One voice, and who can speak with it now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VoiceDetail<'a> {
    #[serde(flatten)]
    pub voice: VoiceObject<'a>,
    /// Uploaded, so that it can be deleted.
    pub uploaded: bool,
    pub models: Vec<&'a str>,
    /// What could be better about a recording that was just uploaded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl<'a> From<&'a VoiceEntry> for VoiceObject<'a> {
    fn from(voice: &'a VoiceEntry) -> Self {
        Self {
            id: voice.id.as_str(),
            object: "audio.voice",
            name: &voice.name,
            languages: voice.languages.iter().map(stentor_types::Language::as_str).collect(),
            created_at: voice.created_at.filter(|_| voice.hold.is_some()),
            models: None,
        }
    }
}

/// The query string of the listing.
#[derive(Debug, Deserialize)]
pub(crate) struct VoiceFilter {
    pub(crate) model: Option<String>,
    /// Plain strings, as the community's first servers listed voices.
    pub(crate) legacy: Option<String>,
}

impl VoiceFilter {
    /// The model that was asked for; `?model=` without a value asks for none.
    pub(crate) fn model(&self) -> Option<&str> {
        self.model.as_deref().filter(|name| !name.is_empty())
    }

    pub(crate) fn is_legacy(&self) -> Result<bool, ApiError> {
        match self.legacy.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("" | "false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(_) => {
                Err(ApiError::field(ErrorCode::InvalidValue, "legacy", "`legacy` must be `true` or `false`"))
            }
        }
    }
}

/// `voices` for the community's clients, `data` for OpenAI-style ones.
#[derive(Debug, Serialize, ToSchema)]
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

/// The list for clients that take each voice for a string.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LegacyVoiceList<'a> {
    pub voices: Vec<&'a str>,
}
