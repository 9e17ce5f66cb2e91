//! The answer to `describe`: every installed model as a program, the default one first, because most clients look at the
//! first only.

use crate::App;
use serde_json::{Value, json};
use stentor_catalog::{Catalog, Model, VoiceEntry};
use stentor_types::Language;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The data of `info`. The other kinds of services are named too, as clients expect their lists.
pub(super) fn info(app: &App) -> Value {
    let catalog = app.catalog();
    let (default, others): (Vec<_>, Vec<_>) =
        catalog.models().iter().partition(|model| model.id == app.default_model);
    let others = others.into_iter().filter(|model| model.installed);
    let programs: Vec<Value> =
        default.into_iter().chain(others).map(|model| program(&catalog, model)).collect();
    json!({
        "tts": programs,
        "asr": [], "handle": [], "intent": [], "wake": [], "mic": [], "snd": [],
    })
}

fn program(catalog: &Catalog, model: &Model) -> Value {
    let voices = catalog.voices(model).into_iter().map(|entry| voice(catalog, model, entry));
    let voices: Vec<Value> = voices.collect();
    json!({
        "name": model.id.as_str(),
        "description": model.name,
        "attribution": attribution(model),
        "installed": model.installed,
        "version": VERSION,
        "voices": voices,
        "supports_synthesize_streaming": true,
    })
}

fn voice(catalog: &Catalog, model: &Model, entry: &VoiceEntry) -> Value {
    // A voice of unknown origin speaks whatever its model does; without a language no client would show it.
    let languages = if entry.languages.is_empty() { &model.languages } else { &entry.languages };
    json!({
        "name": catalog.shown_name(model, entry),
        "description": entry.name,
        "attribution": attribution(model),
        "installed": model.installed,
        "version": null,
        "languages": languages.iter().map(cased).collect::<Vec<_>>(),
        "speakers": null,
    })
}

fn attribution(model: &Model) -> Value {
    let hub = model.manifest().source.as_ref().map(|source| source.hub.as_str());
    match hub {
        Some(hub) => json!({
            "name": hub.split('/').next().unwrap_or(hub),
            "url": format!("https://huggingface.co/{hub}"),
        }),
        None => json!({ "name": "Stentor", "url": "" }),
    }
}

/// `en-US` for `en-us`: some clients compare tags letter by letter with their own.
fn cased(language: &Language) -> String {
    let mut parts = language.as_str().split('-');
    let primary = parts.next().unwrap_or_default().to_owned();
    parts.fold(primary, |tag, part| match part.len() {
        2 => format!("{tag}-{}", part.to_ascii_uppercase()),
        4 => format!("{tag}-{}{}", part[..1].to_ascii_uppercase(), &part[1..]),
        _ => format!("{tag}-{part}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_upper_case_and_scripts_begin_with_a_capital() {
        let cased_of = |tag: &str| cased(&tag.parse().expect("a tag"));
        for tag in ["en-US", "fr", "zh-Hans-CN", "es-419"] {
            assert_eq!(cased_of(&tag.to_ascii_lowercase()), tag);
        }
    }
}
