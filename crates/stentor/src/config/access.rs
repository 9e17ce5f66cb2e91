//! Who may ask: keys from a file or from the environment, and what else the operator says about it.
//!
//! The file holds hashes, so that reading it gives nobody a key; `stentor key NAME` makes both.

use super::RawConfig;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fs, path::Path};
use stentor_server::access::{Access, ApiKey, PublicLists};

/// How the keys begin that `stentor key` makes.
pub(crate) const KEY_PREFIX: &str = "sk-stentor-";

/// What lists show to clients without a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RawPublicLists {
    /// Nothing.
    None,
    /// Models and voices by id.
    Ids,
    /// The same as with a key.
    Full,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    #[serde(default)]
    keys: BTreeMap<String, RawKey>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKey {
    sha256: String,
    requests_per_minute: Option<u32>,
    concurrent: Option<u32>,
}

/// `secrets`: keys, separated by commas or blanks, as the environment holds them. The empty text equals none, as for every
/// variable; any other text without a key is a mistake, like a file without one.
pub(super) fn read(raw: &RawConfig, secrets: Option<&str>, mistakes: &mut Vec<String>) -> Access {
    let mut keys = raw.api_keys_file.as_deref().map(|path| keys_of_file(path, mistakes)).unwrap_or_default();
    let text = secrets.unwrap_or_default();
    let secrets = || text.split([',', ' ', '\t', '\n', '\r']).filter(|secret| !secret.is_empty());
    // Somebody wanted keys; without one the server would be open to everybody.
    if !text.is_empty() && secrets().next().is_none() {
        mistakes.push(
            "STENTOR_API_KEYS: it holds no key; leave it unset or empty for a server without keys".to_owned(),
        );
    }
    for (number, secret) in secrets().enumerate() {
        let name = format!("environment-{}", number + 1);
        match ApiKey::from_secret(&name, secret) {
            Ok(key) => keys.push(key),
            // The key itself is not shown.
            Err(error) => mistakes.push(format!("STENTOR_API_KEYS: number {}: {error}", number + 1)),
        }
    }
    Access {
        keys,
        public_lists: match raw.public_lists {
            None | Some(RawPublicLists::Ids) => PublicLists::Ids,
            Some(RawPublicLists::Full) => PublicLists::Full,
            Some(RawPublicLists::None) => PublicLists::Closed,
        },
        requests_per_minute: raw.key_requests_per_minute.filter(|number| *number > 0),
        concurrent: raw.key_concurrent.filter(|number| *number > 0),
        cors_origins: origins(raw, mistakes),
    }
}

fn keys_of_file(path: &Path, mistakes: &mut Vec<String>) -> Vec<ApiKey> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| error.to_string());
    let text = text.and_then(|text| match line_of_clear_key(&text) {
        None => Ok(text),
        Some(line) => Err(format!(
            "line {line} holds a key itself, where hashes are enough: remove it, and the entry of that key too if others \
             could read the file"
        )),
    });
    let file =
        text.and_then(|text| toml::from_str::<KeyFile>(&text).map_err(|error| error.message().to_owned()));
    let file = match file {
        // A file of keys without one would open the server to everybody.
        Ok(file) if file.keys.is_empty() => Err("it holds no key".to_owned()),
        file => file,
    };
    let file = match file {
        Ok(file) => file,
        Err(error) => {
            mistakes.push(format!("api_keys_file: {shown}: {error}"));
            return Vec::new();
        }
    };
    let mut keys = Vec::new();
    for (name, raw) in file.keys {
        if raw.requests_per_minute == Some(0) || raw.concurrent == Some(0) {
            mistakes.push(format!("api_keys_file: {shown}: keys.{name}: a number must be at least 1"));
        }
        match ApiKey::from_hash(&name, &raw.sha256) {
            Ok(mut key) => {
                key.requests_per_minute = raw.requests_per_minute;
                key.concurrent = raw.concurrent;
                keys.push(key);
            }
            Err(error) => mistakes.push(format!("api_keys_file: {shown}: keys.{name}.sha256: {error}")),
        }
    }
    keys
}

/// Where a key stands that `stentor key` made, be it in a comment.
fn line_of_clear_key(text: &str) -> Option<usize> {
    let begins_key = |rest: &str| rest.bytes().take_while(u8::is_ascii_hexdigit).count() >= 32;
    let holds_key = |line: &str| line.split(KEY_PREFIX).skip(1).any(begins_key);
    text.lines().position(holds_key).map(|index| index + 1)
}

fn origins(raw: &RawConfig, mistakes: &mut Vec<String>) -> Vec<String> {
    let origins = raw.cors_origins.iter().flatten().map(|origin| origin.trim()).filter(|o| !o.is_empty());
    let origins: Vec<String> = origins.map(str::to_owned).collect();
    for origin in &origins {
        let host = origin.split_once("://").map(|(_, host)| host);
        let sound = |host: &str| !host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
        if origin != "*" && !host.is_some_and(sound) {
            mistakes.push(format!("cors_origins: `{origin}` is neither `*` nor SCHEME://HOST[:PORT]"));
        }
    }
    origins
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";

    fn read_file(text: &str) -> (Access, Vec<String>) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("keys.toml");
        fs::write(&path, text).expect("a file");
        let mut mistakes = Vec::new();
        let raw = RawConfig { api_keys_file: Some(path), ..RawConfig::default() };
        (read(&raw, None, &mut mistakes), mistakes)
    }

    #[test]
    fn keys_come_from_file_and_environment() {
        let (access, mistakes) = read_file(&format!(
            "[keys.alice]\nsha256 = \"{HASH}\"\nconcurrent = 2\n[keys.bob]\nsha256 = \"{HASH}\""
        ));
        assert_eq!(mistakes, [""; 0]);
        let names: Vec<_> = access.keys.iter().map(|key| (key.name.as_str(), key.concurrent)).collect();
        assert_eq!(names, [("alice", Some(2)), ("bob", None)]);
        let mut mistakes = Vec::new();
        let secrets = "0123456789abcdef, fedcba9876543210\n";
        let access = read(&RawConfig::default(), Some(secrets), &mut mistakes);
        assert_eq!((access.keys.len(), access.public_lists), (2, PublicLists::Ids));
        assert!(mistakes.is_empty());
    }

    #[test]
    fn a_mistake_among_keys_opens_nothing_and_shows_no_key() {
        for (text, told) in [
            ("", "holds no key"),
            ("[keys.a]\nsha256 = \"hunter2\"", "64 hexadecimal digits"),
            ("[keys.a]\nkey = \"hunter2\"", "unknown field"),
            (&format!("[keys.a]\nsha256 = \"{HASH}\"\nconcurrent = 0"), "at least 1"),
            ("hunter2", "api_keys_file"),
        ] {
            let (_, mistakes) = read_file(text);
            assert!(mistakes.len() == 1 && mistakes[0].contains(told), "{text}: {mistakes:?}");
            assert!(!mistakes[0].contains("hunter2"), "{mistakes:?}");
        }
        let key = format!("{KEY_PREFIX}{}", "0123456789abcdef".repeat(4));
        let (_, mistakes) = read_file(&format!("# sk-stentor-…\n[keys.a] # {key}\nsha256 = \"{HASH}\""));
        assert!(mistakes.len() == 1 && mistakes[0].contains("line 2 holds a key"), "{mistakes:?}");
        assert!(!mistakes[0].contains(&key), "{mistakes:?}");
        let mut mistakes = Vec::new();
        read(&RawConfig::default(), Some("hunter2"), &mut mistakes);
        assert!(mistakes.len() == 1 && !mistakes[0].contains("hunter2"), "{mistakes:?}");
    }

    #[test]
    fn a_variable_without_a_key_is_a_mistake_and_an_empty_one_is_none() {
        for (secrets, fine) in [(None, true), (Some(""), true), (Some(","), false), (Some(" \n"), false)] {
            let mut mistakes = Vec::new();
            let access = read(&RawConfig::default(), secrets, &mut mistakes);
            assert_eq!((access.keys.len(), mistakes.is_empty()), (0, fine), "{secrets:?}: {mistakes:?}");
        }
    }

    #[test]
    fn origins_are_checked() {
        for (origin, fine) in [
            ("*", true),
            ("https://a.example", true),
            ("http://localhost:3000", true),
            ("chrome-extension://abc", true),
            ("a.example", false),
            ("https://a.example/", false),
            ("https://", false),
        ] {
            let mut mistakes = Vec::new();
            let raw = RawConfig { cors_origins: Some(vec![origin.to_owned()]), ..RawConfig::default() };
            read(&raw, None, &mut mistakes);
            assert_eq!(mistakes.is_empty(), fine, "{origin}");
        }
    }
}
