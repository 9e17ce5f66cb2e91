//! `stentor voices` and `stentor models`.

use super::{print, print_json};
use crate::{cli::Listing, compose, config::Config};
use anyhow::Result;
use serde_json::json;
use std::{fmt::Write as _, process::ExitCode};
use stentor_types::Language;

pub(super) fn voices(config: &Config, listing: &Listing) -> Result<ExitCode> {
    let catalog = compose::catalog(config)?;
    let model = catalog.resolve_model(None)?;
    let voices = catalog.voices(model);
    if listing.json {
        let voices: Vec<_> = voices
            .iter()
            .map(|voice| json!({ "id": voice.id, "languages": voice.languages, "licence": voice.licence }))
            .collect();
        print_json(&json!({ "model": model.id, "voices": voices }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = format!("voices of {}:\n", model.id);
    for voice in voices {
        writeln!(text, "  {:24} {}", voice.id.as_str(), tags(&voice.languages))?;
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn models(config: &Config, listing: &Listing) -> Result<ExitCode> {
    let catalog = compose::catalog(config)?;
    let default = &catalog.resolve_model(None)?.id;
    if listing.json {
        let models: Vec<_> = catalog
            .models()
            .iter()
            .map(|model| {
                json!({
                    "id": model.id, "name": model.name, "licence": model.licence,
                    "languages": model.languages, "installed": model.installed,
                })
            })
            .collect();
        print_json(&json!({ "default": default, "models": models }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    for model in catalog.models() {
        let state = match (model.installed, model.id == *default) {
            (true, true) => "installed, default".to_owned(),
            (true, false) => "installed".to_owned(),
            (false, _) => format!("not installed: stentor pull {}", model.id),
        };
        writeln!(text, "{:16} {:36} {:12} {state}", model.id.as_str(), model.name, model.licence)?;
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn tags(languages: &[Language]) -> String {
    languages.iter().map(Language::as_str).collect::<Vec<_>>().join(", ")
}
