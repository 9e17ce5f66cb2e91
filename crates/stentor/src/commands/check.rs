//! `stentor check`: the configuration in force, and what is odd about models and voices.

use super::{print, print_json};
use crate::{cli::Listing, compose, config::Config};
use anyhow::Result;
use serde_json::json;
use std::{fmt::Write as _, process::ExitCode};

/// Warnings don't fail the check; a default model that isn't installed or has no voice does.
pub(super) fn run(config: &Config, listing: &Listing) -> Result<ExitCode> {
    let catalog = compose::catalog(config)?;
    let model = catalog.resolve_model(None)?;
    let mut problems = Vec::new();
    if let Err(error) = model.load_spec(config.device, stentor_types::Precision::F32, config.threads) {
        problems.push(error.to_string());
    }
    if catalog.voices(model).is_empty() {
        problems.push(format!("model `{}` has no voice", model.id));
    }
    let settings = [
        ("listen", config.listen.to_string()),
        ("model", model.id.to_string()),
        ("device", config.device.to_string()),
        ("threads", config.threads.to_string()),
        ("data_dir", config.catalog.data_dir.display().to_string()),
        ("voices", format!("{:?}", config.catalog.voice_dirs)),
        ("models", format!("{:?}", config.catalog.model_dirs)),
        ("listen_when", format!("{:?}", config.listen_when).to_lowercase()),
        ("max_input_bytes", config.limits.max_input_bytes.to_string()),
        ("max_waiting", config.max_waiting.to_string()),
        ("drain_delay", config.drain_delay.as_secs().to_string()),
        ("drain_timeout", config.drain_timeout.as_secs().to_string()),
        ("offline", config.catalog.hf.offline.to_string()),
    ];
    let code = if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if listing.json {
        let settings: serde_json::Map<_, _> =
            settings.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        print_json(&json!({ "settings": settings, "warnings": catalog.warnings(), "problems": problems }))?;
        return Ok(code);
    }
    let mut text = String::new();
    for (name, value) in settings {
        writeln!(text, "{name:16} {value}")?;
    }
    for warning in catalog.warnings() {
        writeln!(text, "warning: {warning}")?;
    }
    for problem in problems {
        writeln!(text, "problem: {problem}")?;
    }
    print(&text)?;
    Ok(code)
}
