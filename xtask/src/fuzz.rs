//! Builds and runs the targets in `fuzz/`, as cargo-fuzz does but with the compiler that is installed: its flags are stable, only
//! its sanitizers are not, and `unsafe` is forbidden in what these targets reach.

use crate::say;
use anyhow::{Context as _, Result, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Coverage of edges with counters in line, as libFuzzer wants it.
const FLAGS: [&str; 9] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Clink-dead-code",
    "-Ccodegen-units=1",
    "-Cdebug-assertions",
];

/// When a target ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    Seconds(u64),
    Executions(u64),
}

/// Runs the targets whose names contain `filter`, one after the other. What they find lies in `fuzz/artifacts/`.
pub(crate) fn run(root: &Path, filter: &str, bound: Bound) -> Result<()> {
    let home = root.join("fuzz");
    let mut targets: Vec<String> = fs::read_dir(home.join("fuzz_targets"))?
        .map(|entry| Ok(entry?.path().file_stem().unwrap_or_default().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    targets.retain(|target| target.contains(filter));
    targets.sort();
    ensure!(!targets.is_empty(), "no target is called {filter:?}");
    let programs = build(root, &home)?;
    let mut red = Vec::new();
    for target in targets {
        say(&format!("== {target}"))?;
        let artifacts = home.join("artifacts").join(&target);
        let corpus = home.join("corpus").join(&target);
        fs::create_dir_all(&artifacts)?;
        fs::create_dir_all(&corpus)?;
        let mut program = Command::new(programs.join(&target));
        program.arg(match bound {
            Bound::Seconds(seconds) => format!("-max_total_time={seconds}"),
            Bound::Executions(count) => format!("-runs={count}"),
        });
        program.args([
            "-timeout=10",
            "-rss_limit_mb=2048",
            "-max_len=4096",
            "-print_final_stats=1",
            "-verbosity=0",
            "-print_funcs=0",
        ]);
        program.arg(format!("-artifact_prefix={}/", artifacts.display()));
        let words = home.join("words").join(&target);
        if words.exists() {
            program.arg(format!("-dict={}", words.display()));
        }
        program.arg(corpus).arg(home.join("seeds").join(&target));
        if !program.status().with_context(|| format!("cannot start {target}"))?.success() {
            red.push(target);
        }
    }
    ensure!(red.is_empty(), "these found something, see fuzz/artifacts: {}", red.join(", "));
    say("no target found anything")
}

/// Builds all targets; returns the folder they are in.
fn build(root: &Path, home: &Path) -> Result<PathBuf> {
    let version = Command::new("rustc").arg("-vV").output().context("cannot run rustc")?;
    let version = String::from_utf8(version.stdout)?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let target = target.join("fuzz");
    // With a target named, build scripts and macros are built without the flags.
    let built = Command::new("cargo")
        .args(["build", "--release", "--bins", "--target", host, "--target-dir"])
        .arg(&target)
        .current_dir(home)
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"))
        .status()
        .context("cannot run cargo")?;
    ensure!(built.success(), "the targets don't build");
    Ok(target.join(host).join("release"))
}
