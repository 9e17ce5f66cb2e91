//! Makes an engine of the files that a worker is handed, or of the model inside the program.

use crate::{Config, engine::KokoroEngine, model::Kokoro, voice::Voice};
use candle_core::Device;
use std::{collections::BTreeMap, path::PathBuf};
use stentor_engine::{Engine, LoadError, Stepped};
use stentor_g2p::{G2p, G2pOptions};
use stentor_nn::{Weights, keep_big_blocks};
use stentor_types::{DeviceSpec, Language, LoadSpec};

/// As `sha256sum` prints them.
const BUILTIN_SUMS: &str = include_str!("../../../models/builtin/SHA256SUMS");
const BUILTIN_CONFIG: &str = include_str!("../../../models/builtin/config.json");
static BUILTIN_WEIGHTS: &[u8] = include_bytes!("../../../models/builtin/model.safetensors");
static BUILTIN_VOICES: &[u8] = include_bytes!("../../../models/builtin/voices.safetensors");

/// A model's parts before they are put together.
struct Parts {
    config: Config,
    weights: Weights,
    /// One tensor for each preset voice.
    voices: Option<Weights>,
}

/// Loads a model. Roles of `spec.files`: `config`, `weights` and, optionally, `voices`; no files at all means the model
/// inside the program.
pub fn load(spec: &LoadSpec) -> Result<Box<dyn Engine>, LoadError> {
    Ok(Box::new(Stepped::new(load_engine(spec)?)))
}

/// Like [`load`], before it is lifted to the engine contract.
pub fn load_engine(spec: &LoadSpec) -> Result<KokoroEngine, LoadError> {
    let fail = |error: &dyn std::fmt::Display| LoadError(format!("model `{}`: {error}", spec.model));
    let device = open_device(spec.device).map_err(|error| fail(&error))?;
    if device.is_cpu() {
        keep_big_blocks();
    }
    let Parts { config, weights, voices } = open(spec, &device).map_err(|error| fail(&error))?;
    let model = Kokoro::load(&weights, &config, &device).map_err(|error| fail(&error))?;
    let presets = presets(voices.as_ref(), &config).map_err(|error| fail(&error))?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(spec.threads)
        .thread_name(|index| format!("kokoro-{index}"))
        .build()
        .map_err(|error| fail(&error))?;
    let g2p = G2p::new(G2pOptions { cache_dir: spec.cache_dir.clone(), ..G2pOptions::default() });
    g2p.warm(&Language::en_us()).map_err(|error| fail(&error))?;
    Ok(KokoroEngine::new(config, model, presets, g2p, pool))
}

fn open_device(spec: DeviceSpec) -> Result<Device, String> {
    match spec {
        DeviceSpec::Auto | DeviceSpec::Cpu => Ok(Device::Cpu),
        DeviceSpec::Cuda(_) if !candle_core::utils::cuda_is_available() => {
            Err("this program was built without CUDA; use the device `cpu`".to_owned())
        }
        DeviceSpec::Cuda(index) => {
            Device::new_cuda(index).map_err(|error| format!("cannot open cuda:{index}: {error}"))
        }
    }
}

fn open(spec: &LoadSpec, device: &Device) -> Result<Parts, String> {
    let text = |error: stentor_nn::NnError| error.to_string();
    if spec.files.is_empty() {
        let config = Config::parse(BUILTIN_CONFIG).map_err(|error| format!("built-in config: {error}"))?;
        let weights = Weights::embedded("built-in model", BUILTIN_WEIGHTS, device).map_err(text)?;
        let voices = Weights::embedded("built-in voices", BUILTIN_VOICES, &Device::Cpu).map_err(text)?;
        return Ok(Parts { config, weights, voices: Some(voices) });
    }
    let file = |role: &str| -> Result<&PathBuf, String> {
        spec.files.get(role).ok_or_else(|| format!("no file was given for the role `{role}`"))
    };
    let path = file("config")?;
    let json =
        std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let config = Config::parse(&json).map_err(|error| format!("{}: {error}", path.display()))?;
    let weights = Weights::open(file("weights")?, device).map_err(text)?;
    let voices =
        spec.files.get("voices").map(|path| Weights::open(path, &Device::Cpu)).transpose().map_err(text)?;
    Ok(Parts { config, weights, voices })
}

/// The files of the model inside the program: name, content, and the SHA-256 that it should have, in hex.
pub fn builtin_files() -> [(&'static str, &'static [u8], &'static str); 3] {
    let files = [
        ("config.json", BUILTIN_CONFIG.as_bytes()),
        ("model.safetensors", BUILTIN_WEIGHTS),
        ("voices.safetensors", BUILTIN_VOICES),
    ];
    files.map(|(name, content)| {
        let mut lines = BUILTIN_SUMS.lines().filter_map(|line| line.split_once("  "));
        let sum = lines.find(|(_, file)| *file == name).map_or("", |(sum, _)| sum);
        (name, content, sum)
    })
}

fn presets(voices: Option<&Weights>, config: &Config) -> Result<BTreeMap<String, Voice>, String> {
    let Some(voices) = voices else { return Ok(BTreeMap::new()) };
    let read = |name: &str| {
        let voice =
            Voice::from_tensor(voices, name, config).map_err(|error| format!("voice `{name}`: {error}"))?;
        Ok((name.to_owned(), voice))
    };
    voices.names().map(read).collect()
}
