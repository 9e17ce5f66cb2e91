//! Configuration: flags, then environment, then file, then defaults; all mistakes are reported at once.
//!
//! This is the only place that reads the environment.

mod access;
mod lexicon;
mod models;
mod validate;

pub(crate) use access::KEY_PREFIX;
pub use access::RawPublicLists;
pub use models::RawModel;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    env, fmt, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use stentor_catalog::{CatalogConfig, HubOptions};
use stentor_server::Settings;
use validate::validate;

/// What the user wrote, in flags and environment or in the file.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// Configuration file (TOML, the same names as the flags with `_`); `stentor.toml` here when it exists.
    #[arg(long, global = true, env = "STENTOR_CONFIG", value_name = "PATH")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Address and port to answer on [default: 127.0.0.1:8004].
    #[arg(long, global = true, env = "STENTOR_LISTEN", value_name = "ADDR:PORT")]
    pub listen: Option<String>,
    /// Address and port for the Wyoming protocol, by which Home Assistant speaks, usually 127.0.0.1:10200 [default: none].
    #[arg(long, global = true, env = "STENTOR_WYOMING", value_name = "ADDR:PORT")]
    pub wyoming: Option<String>,
    /// The model that serves requests which name none [default: the best that is installed].
    #[arg(short, long, global = true, env = "STENTOR_MODEL", value_name = "ID")]
    pub model: Option<String>,
    /// A directory with further model manifests.
    #[arg(long, global = true, env = "STENTOR_MODELS", value_name = "DIR")]
    pub models: Option<PathBuf>,
    /// A directory with further voices.
    #[arg(long, global = true, env = "STENTOR_VOICES", value_name = "DIR")]
    pub voices: Option<PathBuf>,
    /// A file with words and how they are read [default: lexicon.toml here, if it exists].
    #[arg(long, global = true, env = "STENTOR_LEXICON", value_name = "PATH")]
    pub lexicon: Option<PathBuf>,
    /// Where everything that the program writes goes: chunks, cache, models, huggingface, voices
    /// [default: stentor in the XDG data directory].
    #[arg(long, global = true, env = "STENTOR_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// `auto` (CUDA where it works; a full card is refused, not replaced by the CPU), `cpu` or `cuda:N`; for one model
    /// `kokoro=cuda:0,cpu` [default: auto].
    #[arg(long, global = true, env = "STENTOR_DEVICE", value_name = "DEVICE")]
    pub device: Option<String>,
    /// Number format of weights: `f32`, `f16` or `int8` [default: f32]. On the CPU it is that of Chatterbox's language model alone.
    #[arg(long, global = true, env = "STENTOR_PRECISION", value_name = "FORMAT")]
    pub precision: Option<String>,
    /// Compute threads of a model [default: one per core].
    #[arg(long, global = true, env = "STENTOR_THREADS", value_name = "N")]
    pub threads: Option<usize>,
    /// Seconds without a request after which a model is unloaded; 0 keeps it [default: 0].
    #[arg(long, global = true, env = "STENTOR_IDLE_TIMEOUT", value_name = "SECONDS")]
    pub idle_timeout: Option<u64>,
    /// MiB of a CUDA device that stay free for its other tenants [default: 512].
    #[arg(long, global = true, env = "STENTOR_VRAM_FLOOR_MIB", value_name = "MIB")]
    pub vram_floor_mib: Option<u64>,
    /// Who speaks, in this order, while the default model can't.
    #[arg(long, global = true, env = "STENTOR_FALLBACK", value_name = "IDS", value_delimiter = ',')]
    pub fallback: Option<Vec<String>>,
    /// A fallback may also speak for a model that a request names [default: false].
    #[arg(long, global = true, env = "STENTOR_FALLBACK_FOR_NAMED", value_name = "BOOL")]
    pub fallback_for_named: Option<bool>,
    /// What differs for one model; only in the file, as `[per_model.kokoro]`.
    #[arg(skip)]
    pub per_model: BTreeMap<String, RawModel>,
    /// When the port opens [default: ready].
    #[arg(long, global = true, env = "STENTOR_LISTEN_WHEN", value_name = "WHEN")]
    pub listen_when: Option<ListenWhen>,
    /// Bytes of text that one request may hold [default: 1048576].
    #[arg(long, global = true, env = "STENTOR_MAX_INPUT_BYTES", value_name = "N")]
    pub max_input_bytes: Option<usize>,
    /// Requests that may wait for a model beyond those it speaks; more are answered 429, and one client gets
    /// three quarters of these places at most [default: 64].
    #[arg(long, global = true, env = "STENTOR_MAX_WAITING", value_name = "N")]
    pub max_waiting: Option<usize>,
    /// Seconds that a request waits for its first sound, unless it says so itself; 0: for ever [default: 120].
    #[arg(long, global = true, env = "STENTOR_REQUEST_TIMEOUT", value_name = "SECONDS")]
    pub request_timeout: Option<u64>,
    /// Characters up to which a request counts as one that somebody waits for [default: 1000].
    #[arg(long, global = true, env = "STENTOR_INTERACTIVE_CHARS", value_name = "N")]
    pub interactive_chars: Option<usize>,
    /// MiB of a recording that a client uploads as a voice [default: 10].
    #[arg(long, global = true, env = "STENTOR_MAX_VOICE_MIB", value_name = "MIB")]
    pub max_voice_mib: Option<u64>,
    /// Seconds of such a recording [default: 120].
    #[arg(long, global = true, env = "STENTOR_MAX_VOICE_SECONDS", value_name = "SECONDS")]
    pub max_voice_seconds: Option<u32>,
    /// Voices that clients may have uploaded; 0 lets nobody upload [default: 200].
    #[arg(long, global = true, env = "STENTOR_MAX_VOICES", value_name = "N")]
    pub max_voices: Option<usize>,
    /// A file of API keys by their hashes, one `[keys.<name>]` with `sha256` each; `stentor key NAME >> FILE` adds one. Keys
    /// may also stand in the variable STENTOR_API_KEYS, separated by commas [default: nobody needs one].
    #[arg(long, global = true, env = "STENTOR_API_KEYS_FILE", value_name = "PATH")]
    pub api_keys_file: Option<PathBuf>,
    /// What lists of models and voices show to clients without a key, where there are keys [default: ids].
    #[arg(long, global = true, env = "STENTOR_PUBLIC_LISTS", value_name = "WHAT")]
    pub public_lists: Option<RawPublicLists>,
    /// Requests that each key may send a minute; 0: any number [default: 0].
    #[arg(long, global = true, env = "STENTOR_KEY_REQUESTS_PER_MINUTE", value_name = "N")]
    pub key_requests_per_minute: Option<u32>,
    /// Requests that each key may have under way at once; 0: any number [default: 0].
    #[arg(long, global = true, env = "STENTOR_KEY_CONCURRENT", value_name = "N")]
    pub key_concurrent: Option<u32>,
    /// Origins whose pages may use the server from a browser, `https://host:port` or `*` [default: none].
    #[arg(long, global = true, env = "STENTOR_CORS_ORIGINS", value_name = "ORIGINS", value_delimiter = ',')]
    pub cors_origins: Option<Vec<String>>,
    /// MiB of finished speech kept in memory [default: 8].
    #[arg(long, global = true, env = "STENTOR_CACHE_MEMORY_MIB", value_name = "MIB")]
    pub cache_memory_mib: Option<u64>,
    /// MiB of finished speech kept in the data directory; 0 keeps none [default: 1024].
    #[arg(long, global = true, env = "STENTOR_CACHE_DISK_MIB", value_name = "MIB")]
    pub cache_disk_mib: Option<u64>,
    /// Connections at once; further ones wait to be accepted [default: 4096].
    #[arg(long, global = true, env = "STENTOR_MAX_CONNECTIONS", value_name = "N")]
    pub max_connections: Option<usize>,
    /// Seconds in which a connection must have sent the head of its next request [default: 75].
    #[arg(long, global = true, env = "STENTOR_HEADER_TIMEOUT", value_name = "SECONDS")]
    pub header_timeout: Option<u64>,
    /// Seconds in which a request's body must be complete [default: 60].
    #[arg(long, global = true, env = "STENTOR_BODY_TIMEOUT", value_name = "SECONDS")]
    pub body_timeout: Option<u64>,
    /// Seconds between a stop signal and the end of accepting [default: 5].
    #[arg(long, global = true, env = "STENTOR_DRAIN_DELAY", value_name = "SECONDS")]
    pub drain_delay: Option<u64>,
    /// Seconds that running requests get to finish after that; whoever kills the process must wait longer than both
    /// (`terminationGracePeriodSeconds`) [default: 130].
    #[arg(long, global = true, env = "STENTOR_DRAIN_TIMEOUT", value_name = "SECONDS")]
    pub drain_timeout: Option<u64>,
    /// Form of the log lines [default: text].
    #[arg(long, global = true, env = "STENTOR_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// What is logged, e.g. `debug` or `warn,stentor_supervisor=debug` [default: info for the server, else warn].
    #[arg(long, global = true, env = "STENTOR_LOG", value_name = "FILTER")]
    pub log: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListenWhen {
    /// An open port means that the model speaks.
    #[default]
    Ready,
    /// The port opens once the model's files are there; `/readyz` answers 503 until it speaks.
    Immediately,
}

/// What the program may rely on.
#[derive(Debug, Clone)]
pub struct Config {
    pub listen: SocketAddr,
    /// For the Wyoming protocol; `None` leaves it out.
    pub wyoming: Option<SocketAddr>,
    pub model: Option<String>,
    pub catalog: CatalogConfig,
    /// What can change while the server runs.
    pub settings: Settings,
    pub listen_when: ListenWhen,
    pub max_waiting: usize,
    /// Bytes.
    pub vram_floor: u64,
    pub cache: CacheSizes,
    pub max_connections: usize,
    pub header_timeout: Duration,
    pub drain_delay: Duration,
    pub drain_timeout: Duration,
    pub log_format: LogFormat,
    pub log: Option<String>,
    /// What it was read from, so that it can be read again.
    flags: RawConfig,
}

impl Config {
    /// Reads the file again under the same flags and environment.
    pub fn reread(&self) -> Result<Self, Mistakes> {
        load(&self.flags)
    }

    /// What is allowed and yet worth a second thought.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let open = self.settings.access.keys.is_empty() && !self.listen.ip().is_loopback();
        let message =
            || format!("listen: who reaches {} speaks without a key; `stentor key` makes one", self.listen);
        open.then(message).into_iter().collect()
    }
}

/// Bounds of the chunk store, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheSizes {
    pub memory: u64,
    pub disk: u64,
}

/// Every mistake that was found, one a line.
#[derive(Debug, PartialEq, Eq)]
pub struct Mistakes(pub(crate) Vec<String>);

impl std::error::Error for Mistakes {}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has mistakes:\n  {}", self.0.join("\n  "))
    }
}

/// The variables that are read beside `STENTOR_*`, which clap reads.
struct Environment {
    home: Option<PathBuf>,
    data_home: Option<PathBuf>,
    /// Keys; a flag would show them to everybody who lists processes.
    api_keys: Option<String>,
    hub: HubOptions,
}

impl Environment {
    fn read() -> Self {
        let text = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let path = |name| text(name).map(PathBuf::from);
        let switched_on = |name| {
            text(name).is_some_and(|v| matches!(v.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on"))
        };
        Self {
            home: path("HOME"),
            data_home: path("XDG_DATA_HOME").filter(|path| path.is_absolute()),
            api_keys: text("STENTOR_API_KEYS"),
            hub: HubOptions {
                offline: switched_on("HF_HUB_OFFLINE"),
                endpoint: text("HF_ENDPOINT"),
                home: path("HF_HOME"),
                token: text("HF_TOKEN"),
            },
        }
    }
}

/// Reads file and environment under `flags` and checks the result.
pub fn load(flags: &RawConfig) -> Result<Config, Mistakes> {
    let flags = flags.clone().without_blanks();
    let file = read_file(flags.config.as_deref()).map_err(|mistake| Mistakes(vec![mistake]))?;
    let config = validate(flags.clone().or(file), Environment::read())?;
    Ok(Config { flags, ..config })
}

/// Which GPUs CUDA sees; the empty text means none, so it is not the same as `None`.
pub fn cuda_visible_devices() -> Option<String> {
    env::var("CUDA_VISIBLE_DEVICES").ok()
}

fn read_file(path: Option<&Path>) -> Result<RawConfig, String> {
    let default = Path::new("stentor.toml");
    let path = match path {
        Some(path) => path,
        None if default.exists() => default,
        None => return Ok(RawConfig::default()),
    };
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|e| format!("{shown}: {e}"))?;
    toml::from_str(&text).map_err(|e| format!("{shown}: {e}"))
}

impl RawConfig {
    /// An empty variable, as compose files leave them behind, equals an absent one.
    fn without_blanks(mut self) -> Self {
        let texts = [&mut self.listen, &mut self.wyoming, &mut self.model, &mut self.device];
        for text in texts.into_iter().chain([&mut self.precision, &mut self.log]) {
            text.take_if(|text| text.trim().is_empty());
        }
        for path in [
            &mut self.config,
            &mut self.models,
            &mut self.voices,
            &mut self.lexicon,
            &mut self.data_dir,
            &mut self.api_keys_file,
        ] {
            path.take_if(|path| path.as_os_str().is_empty());
        }
        if let Some(fallback) = &mut self.fallback {
            fallback.retain(|id| !id.trim().is_empty());
        }
        if let Some(origins) = &mut self.cors_origins {
            origins.retain(|origin| !origin.trim().is_empty());
        }
        self.cors_origins.take_if(|origins| origins.is_empty());
        self.fallback.take_if(|fallback| fallback.is_empty());
        self
    }

    /// Fills what is absent from `lower`.
    fn or(self, lower: Self) -> Self {
        Self {
            config: self.config,
            listen: self.listen.or(lower.listen),
            wyoming: self.wyoming.or(lower.wyoming),
            model: self.model.or(lower.model),
            models: self.models.or(lower.models),
            voices: self.voices.or(lower.voices),
            lexicon: self.lexicon.or(lower.lexicon),
            data_dir: self.data_dir.or(lower.data_dir),
            device: self.device.or(lower.device),
            precision: self.precision.or(lower.precision),
            threads: self.threads.or(lower.threads),
            idle_timeout: self.idle_timeout.or(lower.idle_timeout),
            vram_floor_mib: self.vram_floor_mib.or(lower.vram_floor_mib),
            fallback: self.fallback.or(lower.fallback),
            fallback_for_named: self.fallback_for_named.or(lower.fallback_for_named),
            listen_when: self.listen_when.or(lower.listen_when),
            max_input_bytes: self.max_input_bytes.or(lower.max_input_bytes),
            max_waiting: self.max_waiting.or(lower.max_waiting),
            request_timeout: self.request_timeout.or(lower.request_timeout),
            interactive_chars: self.interactive_chars.or(lower.interactive_chars),
            max_voice_mib: self.max_voice_mib.or(lower.max_voice_mib),
            max_voice_seconds: self.max_voice_seconds.or(lower.max_voice_seconds),
            max_voices: self.max_voices.or(lower.max_voices),
            api_keys_file: self.api_keys_file.or(lower.api_keys_file),
            public_lists: self.public_lists.or(lower.public_lists),
            key_requests_per_minute: self.key_requests_per_minute.or(lower.key_requests_per_minute),
            key_concurrent: self.key_concurrent.or(lower.key_concurrent),
            cors_origins: self.cors_origins.or(lower.cors_origins),
            cache_memory_mib: self.cache_memory_mib.or(lower.cache_memory_mib),
            cache_disk_mib: self.cache_disk_mib.or(lower.cache_disk_mib),
            max_connections: self.max_connections.or(lower.max_connections),
            header_timeout: self.header_timeout.or(lower.header_timeout),
            body_timeout: self.body_timeout.or(lower.body_timeout),
            per_model: lower.per_model,
            drain_delay: self.drain_delay.or(lower.drain_delay),
            drain_timeout: self.drain_timeout.or(lower.drain_timeout),
            log_format: self.log_format.or(lower.log_format),
            log: self.log.or(lower.log),
        }
    }
}
