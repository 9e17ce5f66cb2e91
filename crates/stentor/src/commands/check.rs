//! `stentor check`: the configuration in force, and what is odd about models and voices.

use super::{print, print_json};
use crate::{cli::Listing, compose, config::Config};
use anyhow::Result;
use serde_json::{Map, Value, json};
use std::{fmt::Write as _, process::ExitCode, time::Duration};
use stentor_catalog::Catalog;
use stentor_server::ModelSettings;

/// Warnings don't fail the check; a default model that isn't installed or has no voice does.
pub(super) fn run(config: &Config, listing: &Listing) -> Result<ExitCode> {
    let catalog = compose::catalog(config)?;
    let problems = problems(config, &catalog)?;
    let settings = settings(config, &catalog)?;
    let mut warnings = config.warnings();
    warnings.extend_from_slice(catalog.warnings());
    let code = if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if listing.json {
        print_json(&json!({ "settings": settings, "warnings": warnings, "problems": problems }))?;
        return Ok(code);
    }
    let mut text = String::new();
    for (name, value) in settings {
        match value {
            Value::String(value) => writeln!(text, "{name:18} {value}")?,
            value => writeln!(text, "{name:18} {value}")?,
        }
    }
    for warning in warnings {
        writeln!(text, "warning: {warning}")?;
    }
    for problem in problems {
        writeln!(text, "problem: {problem}")?;
    }
    print(&text)?;
    Ok(code)
}

fn problems(config: &Config, catalog: &Catalog) -> Result<Vec<String>> {
    let model = catalog.resolve_model(None)?;
    let own = config.settings.of(&model.id);
    let mut problems = Vec::new();
    if let Err(error) = model.load_spec(own.device, own.precision, own.threads) {
        problems.push(error.to_string());
    }
    if catalog.voices(model).is_empty() {
        problems.push(format!("model `{}` has no voice", model.id));
    }
    Ok(problems)
}

/// Every option in force, under the name that it has in the file.
fn settings(config: &Config, catalog: &Catalog) -> Result<Map<String, Value>> {
    const MIB: u64 = 1024 * 1024;
    let (limits, common, access) =
        (&config.settings.limits, &config.settings.common, &config.settings.access);
    let per_model: Map<String, Value> =
        config.settings.models.iter().map(|(id, own)| (id.to_string(), model_settings(own).into())).collect();
    let mut settings = model_settings(common);
    let others = [
        ("listen", json!(config.listen)),
        ("wyoming", json!(config.wyoming)),
        ("model", json!(catalog.resolve_model(None)?.id)),
        ("data_dir", json!(config.catalog.data_dir)),
        ("voices", json!(config.catalog.voice_dirs)),
        ("models", json!(config.catalog.model_dirs)),
        ("listen_when", json!(config.listen_when)),
        ("vram_floor_mib", json!(config.vram_floor / MIB)),
        ("fallback_for_named", json!(config.settings.fallback_for_named)),
        ("lexicon_entries", json!(config.settings.lexicon.entries().len())),
        ("per_model", per_model.into()),
        ("max_input_bytes", json!(limits.max_input_bytes)),
        ("max_waiting", json!(config.max_waiting)),
        ("request_timeout", seconds(limits.request_timeout)),
        ("interactive_chars", json!(limits.interactive_chars)),
        ("max_voice_mib", json!(limits.max_voice_bytes as u64 / MIB)),
        ("max_voice_seconds", json!(limits.max_voice_seconds)),
        ("max_voices", json!(limits.max_voices)),
        ("api_keys", json!(access.keys.iter().map(|key| &key.name).collect::<Vec<_>>())),
        ("public_lists", json!(access.public_lists.name())),
        ("key_requests_per_minute", json!(access.requests_per_minute.unwrap_or(0))),
        ("key_concurrent", json!(access.concurrent.unwrap_or(0))),
        ("cors_origins", json!(access.cors_origins)),
        ("cache_memory_mib", json!(config.cache.memory / MIB)),
        ("cache_disk_mib", json!(config.cache.disk / MIB)),
        ("max_connections", json!(config.max_connections)),
        ("header_timeout", json!(config.header_timeout.as_secs())),
        ("body_timeout", json!(limits.body_timeout.as_secs())),
        ("drain_delay", json!(config.drain_delay.as_secs())),
        ("drain_timeout", json!(config.drain_timeout.as_secs())),
        ("log_format", json!(config.log_format)),
        ("offline", json!(config.catalog.hf.offline)),
    ];
    settings.extend(others.map(|(name, value)| (name.to_owned(), value)));
    Ok(settings)
}

fn model_settings(settings: &ModelSettings) -> Map<String, Value> {
    let rows = [
        ("device", json!(settings.device.to_string())),
        ("precision", json!(settings.precision)),
        ("threads", json!(settings.threads)),
        ("idle_timeout", seconds(settings.idle_timeout)),
        ("fallback", json!(settings.fallback)),
    ];
    rows.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
}

/// Zero, as it is written, stands for "never".
fn seconds(duration: Option<Duration>) -> Value {
    json!(duration.map_or(0, |duration| duration.as_secs()))
}
