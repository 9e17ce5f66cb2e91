//! How each model is run: the common options, what `device` says of single models, and the sections `per_model`.

use super::RawConfig;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};
use stentor_server::ModelSettings;
use stentor_types::{DeviceSpec, ModelId, Precision};

/// Far beyond any machine; a typing mistake must not start a million threads.
const MAX_THREADS: usize = 1024;

/// One section `[per_model.<id>]`; what it leaves out is as for every model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawModel {
    pub device: Option<String>,
    pub precision: Option<String>,
    pub threads: Option<usize>,
    /// Seconds; 0 keeps the model.
    pub idle_timeout: Option<u64>,
    pub fallback: Option<Vec<String>>,
}

/// The common settings, and those of models that differ.
pub(super) fn read(
    raw: &RawConfig,
    mistakes: &mut Vec<String>,
) -> (ModelSettings, BTreeMap<ModelId, ModelSettings>) {
    let (common_device, devices) = devices(raw.device.as_deref().unwrap_or("auto"), mistakes);
    let nobody = ModelSettings { device: common_device, ..ModelSettings::default() };
    let everybody = RawModel {
        device: None,
        precision: raw.precision.clone(),
        threads: raw.threads,
        idle_timeout: raw.idle_timeout,
        fallback: raw.fallback.clone(),
    };
    let common = overlay(&nobody, &everybody, "", mistakes);
    // Somebody else's fallback is not inherited.
    let base = ModelSettings { fallback: Vec::new(), ..common.clone() };
    let mut models: BTreeMap<ModelId, ModelSettings> = BTreeMap::new();
    for (id, section) in &raw.per_model {
        let settings = overlay(&base, section, &format!("per_model.{id}."), mistakes);
        models.insert(ModelId::new(id), settings);
    }
    // Flags win over the file.
    for (id, device) in devices {
        models.entry(id).or_insert_with(|| base.clone()).device = device;
    }
    (common, models)
}

/// `cpu`, or `kokoro=cuda:0,cpu`: an item without `=` is for every other model.
fn devices(text: &str, mistakes: &mut Vec<String>) -> (DeviceSpec, Vec<(ModelId, DeviceSpec)>) {
    let mut common = None;
    let mut models = Vec::new();
    for item in text.split(',').map(str::trim) {
        let (id, device) =
            item.split_once('=').map_or((None, item), |(id, device)| (Some(id.trim()), device.trim()));
        match (device.parse::<DeviceSpec>(), id) {
            (Err(error), _) => mistakes.push(format!("device: {error}")),
            (Ok(device), Some(id)) => models.push((ModelId::new(id), device)),
            (Ok(_), None) if common.is_some() => {
                mistakes.push(format!("device: `{text}` names two devices for the same models"));
            }
            (Ok(device), None) => common = Some(device),
        }
    }
    (common.unwrap_or_default(), models)
}

/// `over` where it says something, else `base`.
fn overlay(base: &ModelSettings, over: &RawModel, place: &str, mistakes: &mut Vec<String>) -> ModelSettings {
    let mut settings = base.clone();
    match over.device.as_deref().map(str::parse) {
        Some(Ok(device)) => settings.device = device,
        Some(Err(error)) => mistakes.push(format!("{place}device: {error}")),
        None => {}
    }
    match over.precision.as_deref() {
        Some("f32") => settings.precision = Precision::F32,
        Some("f16") => settings.precision = Precision::F16,
        Some("int8") => settings.precision = Precision::Int8,
        Some(other) => mistakes.push(format!("{place}precision: `{other}` is none of `f32`, `f16`, `int8`")),
        None => {}
    }
    match over.threads {
        Some(threads) if threads > MAX_THREADS => {
            mistakes.push(format!("{place}threads: at most {MAX_THREADS}"));
        }
        Some(threads) => settings.threads = threads,
        None => {}
    }
    if let Some(seconds) = over.idle_timeout {
        settings.idle_timeout = Some(seconds).filter(|seconds| *seconds > 0).map(Duration::from_secs);
    }
    if let Some(fallback) = &over.fallback {
        settings.fallback = fallback.iter().map(|id| ModelId::new(id.trim())).collect();
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(toml: &str) -> RawConfig {
        toml::from_str(toml).unwrap()
    }

    #[test]
    fn a_section_overlays_the_common_options_and_a_flag_the_section() {
        let mut mistakes = Vec::new();
        let mut raw = raw("threads = 2\nidle_timeout = 60\nfallback = [\"b\"]\n\
            [per_model.k]\ndevice = \"cuda:1\"\nprecision = \"f16\"\nidle_timeout = 0\n");
        let (common, models) = read(&raw, &mut mistakes);
        let k = &models[&ModelId::from("k")];
        assert_eq!((common.device, common.threads), (DeviceSpec::Auto, 2));
        assert_eq!((k.device, k.precision, k.threads), (DeviceSpec::Cuda(1), Precision::F16, 2));
        assert_eq!((common.idle_timeout, k.idle_timeout), (Some(Duration::from_secs(60)), None));
        assert_eq!((common.fallback.len(), k.fallback.len()), (1, 0));
        raw.device = Some("k=cuda:0, cpu".to_owned());
        let (common, models) = read(&raw, &mut mistakes);
        assert_eq!(
            (common.device, models[&ModelId::from("k")].device),
            (DeviceSpec::Cpu, DeviceSpec::Cuda(0))
        );
        assert_eq!(mistakes, Vec::<String>::new());
    }

    #[test]
    fn mistakes_name_the_section() {
        let mut mistakes = Vec::new();
        let raw = raw("device = \"cpu,auto\"\nprecision = \"f8\"\n\
            [per_model.k]\ndevice = \"tpu\"\nthreads = 5000\n");
        read(&raw, &mut mistakes);
        let places: Vec<_> = mistakes.iter().filter_map(|mistake| mistake.split(':').next()).collect();
        assert_eq!(places, ["device", "precision", "per_model.k.device", "per_model.k.threads"]);
    }
}
