//! Makes an engine of the files that a worker is handed, or of the model inside the program.

use crate::{Config, engine::KokoroEngine, model::Kokoro, voice::Voice};
use candle_core::Device;
use std::{collections::BTreeMap, path::PathBuf};
use stentor_engine::{Engine, LoadError, Stepped};
use stentor_g2p::{G2p, G2pOptions};
use stentor_nn::{KEPT_ON_CARD, NnError, Opened, Weights, cpu::has_kernels, keep_big_blocks, open_device};
use stentor_types::{Language, LoadSpec, Precision};

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

/// Like [`load`], before it is lifted to the engine contract. A model that does not load on a card is loaded on the CPU, and
/// says so in its descriptor.
pub fn load_engine(spec: &LoadSpec) -> Result<KokoroEngine, LoadError> {
    let mut opened = open_device(spec.device, spec.precision);
    if opened.device.is_cpu() {
        // All of it is computed on many rows at once: there is nothing to gain by reading less.
        opened.precision = Precision::F32;
    }
    let fail = |error: String| LoadError(format!("model `{}`: {error}", spec.model));
    match load_on(spec, &opened) {
        Err(error) if !opened.device.is_cpu() => {
            let why =
                format!("asked for {}: the model does not load on {}: {error}", spec.device, opened.spec);
            // Whatever it took of the card goes back before the CPU's turn.
            drop(opened);
            load_on(spec, &Opened::cpu(Precision::F32, Some(why))).map_err(fail)
        }
        loaded => loaded.map_err(fail),
    }
}

fn load_on(spec: &LoadSpec, opened: &Opened) -> Result<KokoroEngine, String> {
    let text = |error: NnError| error.to_string();
    // Without our kernels it is to cost what candle's ops cost, so the allocator stays as it is too.
    if has_kernels(&opened.device) {
        keep_big_blocks();
    }
    let free = opened.free_memory();
    let Parts { config, weights, voices } = open(spec, &opened.device)?;
    let model = Kokoro::load(&weights, &config, &opened.device, opened.precision).map_err(text)?;
    if !opened.device.is_cpu() {
        opened.preload().and_then(|()| model.warm_up(&config)).map_err(text)?;
    }
    // Other programs take and give memory meanwhile: a difference that makes no sense is no measurement.
    let taken = free.zip(opened.free_memory()).and_then(|(before, after)| before.checked_sub(after));
    opened.keep_freed(KEPT_ON_CARD);
    let presets = presets(voices.as_ref(), &config)?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(spec.threads)
        .thread_name(|index| format!("kokoro-{index}"))
        .build()
        .map_err(|error| error.to_string())?;
    let g2p = G2p::new(G2pOptions { cache_dir: spec.cache_dir.clone(), ..G2pOptions::default() });
    g2p.warm(&Language::en_us()).map_err(|error| error.to_string())?;
    let mut engine = KokoroEngine::new(config, model, presets, g2p, pool);
    engine.settle(opened, taken.filter(|&bytes| bytes > 0));
    Ok(engine)
}

fn open(spec: &LoadSpec, device: &Device) -> Result<Parts, String> {
    let text = |error: NnError| error.to_string();
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
