//! Rules on what may stand in the source.

use super::{
    Finding,
    test_code::{TestCode, test_files},
};
use anyhow::{Context as _, Result};
use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

/// Words that may not stand in some files.
struct WordRule {
    rule: &'static str,
    words: &'static [&'static str],
    why: &'static str,
    applies: fn(&str) -> bool,
}

const IO_AND_CLOCK: &[&str] = &[
    "std::fs",
    "std::io",
    "std::net",
    "std::process",
    "std::time",
    "std::env",
    "std::thread",
    "tokio",
    "async fn",
    "async move",
    ".await",
    "rand::",
    "getrandom",
];

const CLOCK_RULE: &str =
    "clock and randomness are passed in; elapsed time comes from tokio's clock, which tests can stop";

const RULES: &[WordRule] = &[
    WordRule {
        rule: "never 3",
        words: IO_AND_CLOCK,
        why: "types and text do no I/O, read no clock, draw no randomness and await nothing",
        applies: |path| in_crate(path, "stentor-types") || in_crate(path, "stentor-text"),
    },
    WordRule {
        rule: "never 4",
        words: &["TcpListener", "UnixListener", "hf_hub", "reqwest"],
        why: "a worker opens no listener and downloads nothing",
        applies: |path| in_crate(path, "stentor-worker") || is_engine(path),
    },
    WordRule {
        rule: "never 5",
        words: &["kokoro", "chatterbox", "phoneme", "Phoneme"],
        why: "an engine's words never enter the wire types",
        applies: |path| path.starts_with("crates/stentor-server/src/api/"),
    },
    WordRule {
        rule: "never 6",
        words: &["env::var", "env::vars", "var_os(", "try_from_default_env", "from_default_env"],
        why: "the environment is read in crates/stentor/src/config.rs only",
        applies: |path| is_product(path) && path != "crates/stentor/src/config.rs",
    },
    WordRule {
        rule: "never 6",
        words: &["SystemTime::now", "getrandom", "rand::rng", "thread_rng", "RandomState"],
        why: CLOCK_RULE,
        applies: reads_no_clock,
    },
    WordRule {
        rule: "never 7",
        words: &["unsafe {", "unsafe fn", "unsafe impl"],
        why: "`unsafe` stands in stentor-nn and the Opus encoder only",
        applies: |path| !in_crate(path, "stentor-nn") && path != "crates/stentor-audio/src/encode/libopus.rs",
    },
    WordRule {
        rule: "never 8",
        words: &["unbounded_channel", "unbounded()", "mpsc::channel()"],
        why: "every channel is bounded",
        applies: is_product,
    },
    WordRule {
        rule: "never 10",
        words: &["\"kokoro\"", "\"chatterbox"],
        why: "no model-specific code outside that model's folder; the registry and the manifests name models",
        applies: |path| is_product(path) && !is_engine(path) && !MODEL_LISTS.contains(&path),
    },
    WordRule {
        rule: "habits",
        words: &["#[allow(", "#![allow("],
        why: "use #[expect(.., reason = \"…\")]",
        applies: |_| true,
    },
];

/// The worker's registry and the list of manifests inside the program: models are named there by nature.
const MODEL_LISTS: [&str; 2] =
    ["crates/stentor-worker/src/registry.rs", "crates/stentor-catalog/src/embedded.rs"];

/// What a test never does: look away.
const TEST_WORDS: &[&str] = &["#[ignore", "../shared"];
/// A parity test has no way out but its assertions.
const PARITY_WORDS: &[&str] = &["return", ".exists()", "is_file()", "eprintln!"];

const MAX_LINES: usize = 600;

pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut files = Vec::new();
    for path in rust_files(root)? {
        let name = relative(root, &path);
        let text = fs::read_to_string(&path).with_context(|| name.clone())?;
        files.push((name, text));
    }
    let tests: HashSet<String> = files.iter().flat_map(|(name, text)| test_files(name, text)).collect();
    for (name, text) in &files {
        findings.extend(check_file(name, text, is_test(name) || tests.contains(name)));
    }
    findings.extend(check_manifests(root)?);
    findings.extend(check_architecture(root)?);
    Ok(findings)
}

/// `tests`: the whole file is test code.
fn check_file(name: &str, text: &str, tests: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |line: usize, rule, text: String| {
        findings.push(Finding { place: format!("{name}:{line}"), rule, text });
    };
    // The rules themselves name what they look for.
    let is_this_file = name == "xtask/src/tidy/source.rs";
    if !text.starts_with("//!") {
        find(1, "habits", "the file does not open with why it exists (`//!`)".to_owned());
    }
    if text.lines().count() > MAX_LINES {
        find(MAX_LINES, "habits", format!("the file is longer than {MAX_LINES} lines"));
    }
    if is_this_file {
        return findings;
    }
    let parity = name.contains("/tests/") && (name.contains("parity") || name.contains("golden"));
    let mut test_code = TestCode::default();
    let mut clocks = ClockFinder::default();
    let mut before = "";
    for (index, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let in_tests = test_code.take(code) || tests;
        if clocks.take(code) && !in_tests && reads_no_clock(name) {
            find(index + 1, "never 6", format!("a clock from `std::time`: {CLOCK_RULE}"));
        }
        for rule in RULES.iter().filter(|rule| !in_tests && (rule.applies)(name)) {
            if let Some(word) = rule.words.iter().find(|word| code.contains(**word)) {
                find(index + 1, rule.rule, format!("`{word}`: {}", rule.why));
            }
        }
        if let Some(word) = TEST_WORDS.iter().find(|word| code.contains(**word)) {
            find(index + 1, "never 11", format!("`{word}`: a test skips nothing and needs nothing outside"));
        }
        if parity && let Some(word) = PARITY_WORDS.iter().find(|word| has_word(code, word)) {
            find(
                index + 1,
                "never 11",
                format!("`{word}`: a parity test neither returns early nor asks whether"),
            );
        }
        if code.contains("unsafe {") && !(before.contains("SAFETY") || line.contains("SAFETY")) {
            find(index + 1, "never 7", "an `unsafe` block without its argument (`// SAFETY: …`)".to_owned());
        }
        if !line.trim_start().starts_with("//") || line.contains("SAFETY") {
            before = line;
        }
    }
    findings
}

/// Finds clocks of `std::time`, also in a `use std::{ .. };` of several lines.
#[derive(Default)]
struct ClockFinder {
    /// What there is so far of a `use` that has not ended.
    unfinished: String,
}

impl ClockFinder {
    /// Takes the next line, without its comment; whether a clock is named by it or by the `use` it ends.
    fn take(&mut self, code: &str) -> bool {
        let text = code.trim();
        if self.unfinished.is_empty() && !text.starts_with("use std::") {
            return names_clock(text, "std::time::");
        }
        self.unfinished.push_str(text);
        text.ends_with(';') && names_clock(&std::mem::take(&mut self.unfinished), "time::")
    }
}

/// Whether a clock follows `path`, directly or in a group.
fn names_clock(text: &str, path: &str) -> bool {
    text.match_indices(path).any(|(at, _)| {
        let rest = &text[at + path.len()..];
        let end = if rest.starts_with('{') { rest.find('}') } else { rest.find([',', '}', ';', ':']) };
        let named = &rest[..end.unwrap_or(rest.len())];
        has_word(named, "Instant") || has_word(named, "SystemTime")
    })
}

/// `return` as a word, not as a part of one.
fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !letter(code[..at].chars().next_back()) && !letter(code[at + word.len()..].chars().next())
    })
}

/// Every crate takes the workspace's lints, or states its own under a reason.
fn check_manifests(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for name in crate_names(root)? {
        let place = format!("crates/{name}/Cargo.toml");
        let text = fs::read_to_string(root.join(&place)).with_context(|| place.clone())?;
        if !text.contains("[lints") {
            findings.push(Finding {
                place,
                rule: "habits",
                text: "the workspace's lints are not taken".into(),
            });
        }
    }
    Ok(findings)
}

/// A newcomer finds every crate from the architecture page.
fn check_architecture(root: &Path) -> Result<Vec<Finding>> {
    let place = "docs/ARCHITECTURE.md";
    let page = fs::read_to_string(root.join(place)).context(place)?;
    let missing = crate_names(root)?.into_iter().filter(|name| !page.contains(&format!("`{name}`")));
    Ok(missing
        .map(|name| Finding {
            place: place.to_owned(),
            rule: "habits",
            text: format!("the crate `{name}` is not mentioned"),
        })
        .collect())
}

fn crate_names(root: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root.join("crates"))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn rust_files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> =
        ["crates", "xtask", "tests", "benches"].map(|name| root.join(name)).into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}

fn in_crate(path: &str, name: &str) -> bool {
    path.strip_prefix("crates/")
        .and_then(|rest| rest.strip_prefix(name))
        .is_some_and(|r| r.starts_with("/src/"))
}

fn is_engine(path: &str) -> bool {
    path.starts_with("crates/stentor-engine-")
}

fn reads_no_clock(path: &str) -> bool {
    is_product(path) && path != "crates/stentor/src/compose.rs" && !in_crate(path, "stentor-testkit")
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.starts_with("tests/") || path.starts_with("benches/")
}

fn is_product(path: &str) -> bool {
    path.starts_with("crates/") && path.contains("/src/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules_broken(name: &str, text: &str) -> Vec<String> {
        check_file(name, text, is_test(name)).into_iter().map(|f| format!("{} {}", f.place, f.rule)).collect()
    }

    #[test]
    fn each_rule_finds_its_words_with_file_and_line() {
        let rows = [
            ("crates/stentor-text/src/a.rs", "//! A.\nuse std::fs;\n", "never 3"),
            ("crates/stentor-worker/src/a.rs", "//! A.\nuse tokio::net::UnixListener;\n", "never 4"),
            ("crates/stentor-server/src/api/a.rs", "//! A.\nstruct Phonemes;\n", "never 5"),
            ("crates/stentor-server/src/a.rs", "//! A.\nlet x = std::env::var(\"X\");\n", "never 6"),
            ("crates/stentor-g2p/src/a.rs", "//! A.\nlet t = SystemTime::now();\n", "never 6"),
            ("crates/stentor-g2p/src/a.rs", "//! A.\nuse std::time::Instant;\n", "never 6"),
            ("crates/stentor-g2p/src/a.rs", "//! A.\nuse std::time::{Duration, Instant};\n", "never 6"),
            (
                "crates/stentor-g2p/src/a.rs",
                "//! A.\nuse std::{fs, time::{Duration, SystemTime}};\n",
                "never 6",
            ),
            ("crates/stentor/src/logging.rs", "//! A.\nEnvFilter::from_default_env();\n", "never 6"),
            ("crates/stentor/src/logging.rs", "//! A.\nEnvFilter::try_from_default_env();\n", "never 6"),
            ("crates/stentor-g2p/src/a.rs", "//! A.\nlet x = unsafe { 1 }; // SAFETY: no\n", "never 7"),
            ("crates/stentor-nn/src/a.rs", "//! A.\nlet x = unsafe { 1 };\n", "never 7"),
            ("crates/stentor-server/src/a.rs", "//! A.\nlet c = mpsc::unbounded_channel();\n", "never 8"),
            ("crates/stentor-server/src/a.rs", "//! A.\nif model == \"kokoro\" {\n", "never 10"),
            ("crates/stentor-nn/tests/parity.rs", "//! A.\nif missing { return; }\n", "never 11"),
            ("crates/stentor-nn/tests/a.rs", "//! A.\n#[ignore]\n", "never 11"),
            ("crates/stentor-nn/src/a.rs", "//! A.\n#[allow(dead_code)]\n", "habits"),
        ];
        for (name, text, rule) in rows {
            assert_eq!(rules_broken(name, text), [format!("{name}:2 {rule}")], "{text}");
        }
    }

    #[test]
    fn comments_test_modules_and_other_folders_are_free() {
        let text = "//! A.\n// std::fs is not used\n#[cfg(test)]\nmod tests { use std::fs; }\n";
        assert!(rules_broken("crates/stentor-text/src/a.rs", text).is_empty());
        assert!(rules_broken("crates/stentor-catalog/src/a.rs", "//! A.\nuse std::fs;\n").is_empty());
    }

    #[test]
    fn code_after_a_test_item_is_checked() {
        let text = "//! A.\n#[cfg(test)]\nuse std::fs;\n#[cfg(test)]\nmod tests {\n    use std::io;\n}\nuse std::net;\n";
        assert_eq!(
            rules_broken("crates/stentor-text/src/a.rs", text),
            ["crates/stentor-text/src/a.rs:8 never 3"]
        );
    }

    #[test]
    fn clocks_are_found_in_groups_of_several_lines_and_tokios_is_free() {
        let name = "crates/stentor-server/src/a.rs";
        let text = "//! A.\nuse std::{\n    fs,\n    time::{Duration, Instant},\n};\n";
        assert_eq!(rules_broken(name, text), [format!("{name}:5 never 6")]);
        let text = "//! A.\nuse std::{\n    time::Duration,\n};\nuse tokio::time::{Instant, sleep};\nlet t: Instant;\n";
        assert!(rules_broken(name, text).is_empty());
        let text = "//! A.\nuse std::time::{Duration, Instant};\n";
        assert!(rules_broken("crates/stentor/src/compose.rs", text).is_empty());
    }

    #[test]
    fn lists_of_models_name_models_and_the_catalog_does_not() {
        let text = "//! A.\n(\"kokoro\", 1)\n";
        assert!(rules_broken("crates/stentor-catalog/src/embedded.rs", text).is_empty());
        assert_eq!(rules_broken("crates/stentor-catalog/src/catalog.rs", text).len(), 1);
    }
}
