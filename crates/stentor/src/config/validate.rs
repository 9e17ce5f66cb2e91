//! From what the user wrote to what the program may rely on; every mistake is found, not only the first.

use super::{CacheSizes, Config, Environment, Mistakes, RawConfig, access, lexicon, models};
use std::{fs, path::PathBuf, time::Duration};
use stentor_catalog::CatalogConfig;
use stentor_server::{Limits, Settings};

/// A request's text is held in memory.
const MAX_INPUT_BYTES: usize = 64 * 1024 * 1024;
/// An uploaded recording is held in memory, as it came and decoded.
const MAX_VOICE_MIB: u64 = 64;
const MAX_VOICE_SECONDS: u32 = 600;
const MIB: u64 = 1024 * 1024;
/// Beyond any disk, and small enough to be counted in bytes.
const MAX_MIB: u64 = 1 << 30;

pub(super) fn validate(raw: RawConfig, environment: Environment) -> Result<Config, Mistakes> {
    let mut mistakes = Vec::new();
    let listen = raw.listen.as_deref().unwrap_or("127.0.0.1:8004");
    let listen =
        listen.parse().map_err(|_| mistakes.push(format!("listen: `{listen}` is not ADDRESS:PORT"))).ok();
    let wyoming = raw.wyoming.as_deref().and_then(|at| {
        at.parse().map_err(|_| mistakes.push(format!("wyoming: `{at}` is not ADDRESS:PORT"))).ok()
    });
    let (common, models) = models::read(&raw, &mut mistakes);
    let lexicon = lexicon::read(raw.lexicon.as_deref(), &mut mistakes);
    let access = access::read(&raw, environment.api_keys.as_deref(), &mut mistakes);
    check_directories(&raw, &mut mistakes);
    check_numbers(&raw, &mut mistakes);
    let data_dir = raw.data_dir.clone().or_else(|| default_data_dir(&environment));
    if data_dir.is_none() {
        mistakes.push("data_dir: neither HOME nor XDG_DATA_HOME is set, so it must be given".to_owned());
    }
    let (Some(listen), Some(data_dir), true) = (listen, data_dir, mistakes.is_empty()) else {
        return Err(Mistakes(mistakes));
    };
    let settings = Settings {
        limits: limits(&raw),
        common,
        models,
        access,
        fallback_for_named: raw.fallback_for_named.unwrap_or(false),
        lexicon,
    };
    Ok(Config {
        listen,
        wyoming,
        model: raw.model,
        catalog: CatalogConfig {
            model_dirs: with_here("models", raw.models),
            voice_dirs: with_here("voices", raw.voices),
            data_dir,
            hf: environment.hub,
        },
        settings,
        listen_when: raw.listen_when.unwrap_or_default(),
        max_waiting: raw.max_waiting.unwrap_or(64),
        vram_floor: raw.vram_floor_mib.unwrap_or(512) * MIB,
        cache: CacheSizes {
            memory: raw.cache_memory_mib.unwrap_or(8) * MIB,
            disk: raw.cache_disk_mib.unwrap_or(1024) * MIB,
        },
        max_connections: raw.max_connections.unwrap_or(4096),
        header_timeout: Duration::from_secs(raw.header_timeout.unwrap_or(75)),
        drain_delay: Duration::from_secs(raw.drain_delay.unwrap_or(5)),
        drain_timeout: Duration::from_secs(raw.drain_timeout.unwrap_or(130)),
        log_format: raw.log_format.unwrap_or_default(),
        log: raw.log,
        flags: RawConfig::default(),
    })
}

fn limits(raw: &RawConfig) -> Limits {
    let default = Limits::default();
    let seconds = |given: Option<u64>, default: Duration| given.map_or(default, Duration::from_secs);
    Limits {
        max_input_bytes: raw.max_input_bytes.unwrap_or(default.max_input_bytes),
        body_timeout: seconds(raw.body_timeout, default.body_timeout),
        request_timeout: match raw.request_timeout {
            None => default.request_timeout,
            Some(seconds) => Some(seconds).filter(|seconds| *seconds > 0).map(Duration::from_secs),
        },
        interactive_chars: raw.interactive_chars.unwrap_or(default.interactive_chars),
        max_voice_bytes: raw.max_voice_mib.map_or(default.max_voice_bytes, |mib| mib as usize * MIB as usize),
        max_voice_seconds: raw.max_voice_seconds.unwrap_or(default.max_voice_seconds),
        max_voices: raw.max_voices.unwrap_or(default.max_voices),
        ..default
    }
}

fn check_directories(raw: &RawConfig, mistakes: &mut Vec<String>) {
    for (name, directory) in [("voices", &raw.voices), ("models", &raw.models)] {
        if let Some(path) = directory.as_deref().filter(|path| !path.is_dir()) {
            mistakes.push(format!("{name}: {} is not a directory", path.display()));
        }
    }
}

fn check_numbers(raw: &RawConfig, mistakes: &mut Vec<String>) {
    let at_least_one = [
        ("max_input_bytes", raw.max_input_bytes.map(|n| n as u64)),
        ("max_waiting", raw.max_waiting.map(|n| n as u64)),
        ("max_connections", raw.max_connections.map(|n| n as u64)),
        ("header_timeout", raw.header_timeout),
        ("body_timeout", raw.body_timeout),
        ("max_voice_mib", raw.max_voice_mib),
        ("max_voice_seconds", raw.max_voice_seconds.map(u64::from)),
    ];
    for (name, value) in at_least_one {
        if value == Some(0) {
            mistakes.push(format!("{name}: must be at least 1"));
        }
    }
    let sizes = [
        ("vram_floor_mib", raw.vram_floor_mib),
        ("cache_memory_mib", raw.cache_memory_mib),
        ("cache_disk_mib", raw.cache_disk_mib),
    ];
    for (name, value) in sizes {
        if value.is_some_and(|mib| mib > MAX_MIB) {
            mistakes.push(format!("{name}: at most {MAX_MIB}"));
        }
    }
    if raw.max_voice_mib.is_some_and(|mib| mib > MAX_VOICE_MIB) {
        mistakes.push(format!("max_voice_mib: at most {MAX_VOICE_MIB}"));
    }
    if raw.max_voice_seconds.is_some_and(|seconds| seconds > MAX_VOICE_SECONDS) {
        mistakes.push(format!("max_voice_seconds: at most {MAX_VOICE_SECONDS}"));
    }
    if raw.max_input_bytes.is_some_and(|bytes| bytes > MAX_INPUT_BYTES) {
        mistakes.push(format!("max_input_bytes: at most {MAX_INPUT_BYTES}"));
    }
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
    use std::path::Path;
    use stentor_catalog::HubOptions;
    use stentor_types::DeviceSpec;

    fn environment() -> Environment {
        Environment {
            home: Some("/home/someone".into()),
            data_home: None,
            api_keys: None,
            hub: HubOptions::default(),
        }
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let file: RawConfig = toml::from_str("listen = \"0.0.0.0:1\"\nthreads = 3").unwrap();
        let flags = RawConfig { listen: Some("127.0.0.1:2".into()), ..RawConfig::default() };
        let config = validate(flags.or(file), environment()).unwrap();
        assert_eq!((config.listen.port(), config.settings.common.threads, config.max_waiting), (2, 3, 64));
        assert_eq!(config.settings.common.device, DeviceSpec::Auto);
        assert_eq!(config.settings.limits, Limits::default());
        assert_eq!(config.catalog.data_dir, Path::new("/home/someone/.local/share/stentor"));
    }

    #[test]
    fn zero_seconds_mean_that_a_request_waits_for_ever() {
        let timeout = |request_timeout| {
            let raw = RawConfig { request_timeout, ..RawConfig::default() };
            validate(raw, environment()).unwrap().settings.limits.request_timeout
        };
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!((timeout(None), timeout(Some(7)), timeout(Some(0))), (seconds(120), seconds(7), None));
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        let raw = RawConfig {
            listen: Some("here".into()),
            wyoming: Some("10200".into()),
            device: Some("tpu".into()),
            voices: Some("/nowhere/at/all".into()),
            max_waiting: Some(0),
            cache_disk_mib: Some(u64::MAX),
            ..RawConfig::default()
        };
        let Mistakes(found) = validate(raw, environment()).unwrap_err();
        let names: Vec<_> = found.iter().filter_map(|mistake| mistake.split(':').next()).collect();
        assert_eq!(names, ["listen", "wyoming", "device", "voices", "max_waiting", "cache_disk_mib"]);
    }

    #[test]
    fn an_unknown_key_in_the_file_is_an_error_that_names_it() {
        for (text, key) in [("lisen = \"0.0.0.0:1\"", "lisen"), ("[per_model.k]\ndevise = \"cpu\"", "devise")]
        {
            let error = toml::from_str::<RawConfig>(text).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
