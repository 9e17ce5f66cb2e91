//! Names to models and voices; fetching and verifying model files.
//!
//! A [`Catalog`] is read once (and again by [`Catalog::reload`]) from manifests and voice directories; requests
//! are answered from memory, so a client's string never becomes part of a path. [`pull()`] is the only part that
//! uses the network. Nothing here reads the environment: the caller hands over a [`CatalogConfig`].

mod attempt;
mod catalog;
mod digest;
mod embedded;
mod error;
mod fetch;
mod fingerprint;
mod index;
mod lock;
mod manifest;
mod model;
mod names;
mod pull;
mod registry;
mod resolve;
mod settings;
mod uploads;
mod verify;

pub use catalog::{Catalog, CatalogConfig, HubOptions};
pub use error::CatalogError;
pub use index::VoiceEntry;
pub use lock::{LOCK_FILE, LockedFile, LockedModel, ModelsLock};
pub use manifest::{FileSpec, HubSource, Manifest, OPENAI_VOICES, PublishedKind, PublishedVoices};
pub use model::Model;
pub use names::VOICE_EXTENSIONS;
pub use pull::{PullEvent, PullProgress, Pulled, pull, pull_voices};
pub use resolve::ResolvedVoice;
pub use uploads::{Draft, Hold, NewVoice, RECORDING, Uploads, VOICE_NAME_LIMIT, voice_name};
pub use verify::FileCheck;
