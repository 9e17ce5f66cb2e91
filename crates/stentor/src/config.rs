//! Configuration: flags, then environment, then file, then defaults; all mistakes are reported at once.
//!
//! This is the only place that reads the environment.

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use std::{
    env, fmt, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use stentor_catalog::{CatalogConfig, HubOptions};
use stentor_server::Limits;
use stentor_types::DeviceSpec;

/// Far beyond any machine; a typing mistake must not start a million threads.
const MAX_THREADS: usize = 1024;
/// A request's text is held in memory.
const MAX_INPUT_BYTES: usize = 64 * 1024 * 1024;

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
    /// The model that serves requests which name none [default: the best that is installed].
    #[arg(short, long, global = true, env = "STENTOR_MODEL", value_name = "ID")]
    pub model: Option<String>,
    /// A directory with further model manifests.
    #[arg(long, global = true, env = "STENTOR_MODELS", value_name = "DIR")]
    pub models: Option<PathBuf>,
    /// A directory with further voices.
    #[arg(long, global = true, env = "STENTOR_VOICES", value_name = "DIR")]
    pub voices: Option<PathBuf>,
    /// Where everything that the program writes goes [default: stentor in the XDG data directory].
    #[arg(long, global = true, env = "STENTOR_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// `cpu`, or `cuda:N` in a build with CUDA [default: cpu].
    #[arg(long, global = true, env = "STENTOR_DEVICE", value_name = "DEVICE")]
    pub device: Option<String>,
    /// Compute threads of a model [default: one per core].
    #[arg(long, global = true, env = "STENTOR_THREADS", value_name = "N")]
    pub threads: Option<usize>,
    /// When the port opens [default: ready].
    #[arg(long, global = true, env = "STENTOR_LISTEN_WHEN", value_name = "WHEN")]
    pub listen_when: Option<ListenWhen>,
    /// Bytes of text that one request may hold [default: 1048576].
    #[arg(long, global = true, env = "STENTOR_MAX_INPUT_BYTES", value_name = "N")]
    pub max_input_bytes: Option<usize>,
    /// Requests that may wait for a model beyond those it speaks; more are answered 429 [default: 64].
    #[arg(long, global = true, env = "STENTOR_MAX_WAITING", value_name = "N")]
    pub max_waiting: Option<usize>,
    /// Seconds between a stop signal and the end of accepting [default: 5].
    #[arg(long, global = true, env = "STENTOR_DRAIN_DELAY", value_name = "SECONDS")]
    pub drain_delay: Option<u64>,
    /// Seconds that running requests get to finish after that [default: 130].
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
    pub model: Option<String>,
    pub catalog: CatalogConfig,
    pub device: DeviceSpec,
    pub threads: usize,
    pub listen_when: ListenWhen,
    pub limits: Limits,
    pub max_waiting: usize,
    pub drain_delay: Duration,
    pub drain_timeout: Duration,
    pub log_format: LogFormat,
    pub log: Option<String>,
}

/// Every mistake that was found, one a line.
#[derive(Debug, PartialEq, Eq)]
pub struct Mistakes(Vec<String>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has mistakes:\n  {}", self.0.join("\n  "))
    }
}

/// The variables that are read beside `STENTOR_*`, which clap reads.
struct Environment {
    home: Option<PathBuf>,
    data_home: Option<PathBuf>,
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
    validate(flags.or(file), Environment::read())
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
        for text in [&mut self.listen, &mut self.model, &mut self.device, &mut self.log] {
            text.take_if(|text| text.trim().is_empty());
        }
        for path in [&mut self.config, &mut self.models, &mut self.voices, &mut self.data_dir] {
            path.take_if(|path| path.as_os_str().is_empty());
        }
        self
    }

    /// Fills what is absent from `lower`.
    fn or(self, lower: Self) -> Self {
        Self {
            config: self.config,
            listen: self.listen.or(lower.listen),
            model: self.model.or(lower.model),
            models: self.models.or(lower.models),
            voices: self.voices.or(lower.voices),
            data_dir: self.data_dir.or(lower.data_dir),
            device: self.device.or(lower.device),
            threads: self.threads.or(lower.threads),
            listen_when: self.listen_when.or(lower.listen_when),
            max_input_bytes: self.max_input_bytes.or(lower.max_input_bytes),
            max_waiting: self.max_waiting.or(lower.max_waiting),
            drain_delay: self.drain_delay.or(lower.drain_delay),
            drain_timeout: self.drain_timeout.or(lower.drain_timeout),
            log_format: self.log_format.or(lower.log_format),
            log: self.log.or(lower.log),
        }
    }
}

fn validate(raw: RawConfig, environment: Environment) -> Result<Config, Mistakes> {
    let mut mistakes = Vec::new();
    let mut complain = |mistake: String| mistakes.push(mistake);

    let listen = raw.listen.as_deref().unwrap_or("127.0.0.1:8004");
    let listen = listen.parse().map_err(|_| complain(format!("listen: `{listen}` is not ADDRESS:PORT"))).ok();
    let device = raw.device.as_deref().unwrap_or("cpu");
    let device: Option<DeviceSpec> = device.parse().map_err(|e| complain(format!("device: {e}"))).ok();
    for (name, directory) in [("voices", &raw.voices), ("models", &raw.models)] {
        if let Some(path) = directory.as_deref().filter(|path| !path.is_dir()) {
            complain(format!("{name}: {} is not a directory", path.display()));
        }
    }
    let data_dir = raw.data_dir.or_else(|| default_data_dir(&environment));
    if data_dir.is_none() {
        complain("data_dir: neither HOME nor XDG_DATA_HOME is set, so it must be given".to_owned());
    }
    for (name, value) in [("max_input_bytes", raw.max_input_bytes), ("max_waiting", raw.max_waiting)] {
        if value == Some(0) {
            complain(format!("{name}: must be at least 1"));
        }
    }
    if raw.threads.is_some_and(|threads| threads > MAX_THREADS) {
        complain(format!("threads: at most {MAX_THREADS}"));
    }
    if raw.max_input_bytes.is_some_and(|bytes| bytes > MAX_INPUT_BYTES) {
        complain(format!("max_input_bytes: at most {MAX_INPUT_BYTES}"));
    }
    let (Some(listen), Some(device), Some(data_dir), true) = (listen, device, data_dir, mistakes.is_empty())
    else {
        return Err(Mistakes(mistakes));
    };
    let limits = Limits::default();
    Ok(Config {
        listen,
        model: raw.model,
        catalog: CatalogConfig {
            model_dirs: with_here("models", raw.models),
            voice_dirs: with_here("voices", raw.voices),
            data_dir,
            hf: environment.hub,
        },
        device,
        threads: raw.threads.unwrap_or(0),
        listen_when: raw.listen_when.unwrap_or_default(),
        limits: Limits { max_input_bytes: raw.max_input_bytes.unwrap_or(limits.max_input_bytes), ..limits },
        max_waiting: raw.max_waiting.unwrap_or(64),
        drain_delay: Duration::from_secs(raw.drain_delay.unwrap_or(5)),
        drain_timeout: Duration::from_secs(raw.drain_timeout.unwrap_or(130)),
        log_format: raw.log_format.unwrap_or_default(),
        log: raw.log,
    })
}

/// The directory of the working directory, when it exists, and the one that was given.
fn with_here(name: &str, given: Option<PathBuf>) -> Vec<PathBuf> {
    let real = |path: &PathBuf| fs::canonicalize(path).ok();
    let here =
        Some(PathBuf::from(name)).filter(|path| path.is_dir() && real(path) != given.as_ref().and_then(real));
    here.into_iter().chain(given).collect()
}

fn default_data_dir(environment: &Environment) -> Option<PathBuf> {
    let home = environment.home.as_ref();
    let base = environment.data_home.clone().or_else(|| home.map(|home| home.join(".local/share")));
    base.map(|base| base.join("stentor"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        Environment { home: Some("/home/someone".into()), data_home: None, hub: HubOptions::default() }
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let file: RawConfig = toml::from_str("listen = \"0.0.0.0:1\"\nthreads = 3").unwrap();
        let flags = RawConfig { listen: Some("127.0.0.1:2".into()), ..RawConfig::default() };
        let config = validate(flags.or(file), environment()).unwrap();
        assert_eq!((config.listen.port(), config.threads, config.max_waiting), (2, 3, 64));
        assert_eq!(config.catalog.data_dir, Path::new("/home/someone/.local/share/stentor"));
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        let raw = RawConfig {
            listen: Some("here".into()),
            device: Some("tpu".into()),
            voices: Some("/nowhere/at/all".into()),
            max_waiting: Some(0),
            ..RawConfig::default()
        };
        let Mistakes(found) = validate(raw, environment()).unwrap_err();
        let names: Vec<_> = found.iter().filter_map(|mistake| mistake.split(':').next()).collect();
        assert_eq!(names, ["listen", "device", "voices", "max_waiting"]);
    }

    #[test]
    fn an_unknown_key_in_the_file_is_an_error_that_names_it() {
        let error = toml::from_str::<RawConfig>("lisen = \"0.0.0.0:1\"").unwrap_err().to_string();
        assert!(error.contains("lisen"), "{error}");
    }
}
