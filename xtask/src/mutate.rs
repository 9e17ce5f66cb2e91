//! Breaks the ports in every way of [`SUITES`], one at a time in a copy of the workspace, and runs their goldens: each mutant
//! must turn one red.

use crate::{
    mutants::{Mutant, SUITES, Suite},
    say,
};
use anyhow::{Context as _, Result, bail, ensure};
use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Instant,
};

/// Characters of a failure that are printed.
const LONGEST_MESSAGE: usize = 160;

/// What became of a mutant.
enum Fate {
    Killed(String),
    Survived,
    /// The source no longer has the place, or the edit does not compile.
    Stale(String),
}

/// What to run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice<'a> {
    /// Beginning of the suites' names: an engine, or one part of it.
    pub(crate) engine: &'a str,
    /// Part of the mutants' names.
    pub(crate) filter: &'a str,
    /// Run every target, not only up to the first red one.
    pub(crate) thorough: bool,
}

/// Runs the chosen mutants.
pub(crate) fn run(root: &Path, choice: Choice<'_>) -> Result<()> {
    let fits = |mutant: &&Mutant| mutant.name.contains(choice.filter);
    let suites = SUITES.iter().filter(|suite| suite.name.starts_with(choice.engine));
    let chosen: Vec<(&Suite, Vec<&Mutant>)> = suites
        .map(|suite| (suite, suite.mutants.iter().filter(fits).collect::<Vec<_>>()))
        .filter(|(_, mutants)| !mutants.is_empty())
        .collect();
    ensure!(!chosen.is_empty(), "no mutant of {:?} is called {:?}", choice.engine, choice.filter);
    let copy = Copy::of(root)?;
    let mut failures = 0;
    for (suite, mutants) in chosen {
        failures += run_suite(&copy, suite, &mutants, choice.thorough)?;
    }
    ensure!(failures == 0, "{failures} mutants turned no golden red");
    say("every mutant turned a golden red")
}

/// The number of mutants that turned nothing red.
fn run_suite(copy: &Copy, suite: &Suite, mutants: &[&Mutant], thorough: bool) -> Result<usize> {
    if let Some(failure) = copy.red_golden(suite, true)? {
        bail!("{} fails without any mutant: {failure}", suite.name);
    }
    say(&format!("{} unchanged: every golden is green; {} mutants follow", suite.name, mutants.len()))?;
    let mut failures = 0;
    for mutant in mutants {
        let start = Instant::now();
        let (word, text) = match copy.try_mutant(suite, mutant, thorough)? {
            Fate::Killed(failure) => ("red", failure),
            Fate::Survived => ("SURVIVED", "every golden is green".to_owned()),
            Fate::Stale(reason) => ("STALE", reason),
        };
        failures += usize::from(word != "red");
        say(&format!("{word:8} {} ({} s): {text}", mutant.name, start.elapsed().as_secs()))?;
    }
    Ok(failures)
}

/// A copy of the sources, which shares compiled dependencies with the real workspace.
struct Copy {
    tree: PathBuf,
    target: PathBuf,
}

impl Copy {
    /// Copies what git tracks, and new files that it does not ignore. The copies' times are those of the copying, so that
    /// cargo builds them afresh whatever an earlier run left.
    fn of(root: &Path) -> Result<Self> {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let tree = target.join("mutants");
        if tree.exists() {
            fs::remove_dir_all(&tree)?;
        }
        let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        let listing = Command::new("git").args(list).current_dir(root).output().context("cannot run git")?;
        ensure!(listing.status.success(), "git ls-files failed");
        for name in String::from_utf8(listing.stdout)?.split_terminator('\0') {
            let (from, to) = (root.join(name), tree.join(name));
            if from.is_file() {
                fs::create_dir_all(to.parent().context("a file has a folder")?)?;
                fs::copy(&from, &to).with_context(|| format!("cannot copy {name}"))?;
            }
        }
        Ok(Self { tree, target })
    }

    fn try_mutant(&self, suite: &Suite, mutant: &Mutant, thorough: bool) -> Result<Fate> {
        let path = self.tree.join(mutant.file.0).join(mutant.file.1);
        let original =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let places = original.matches(mutant.find).count();
        if places != 1 {
            return Ok(Fate::Stale(format!("its place occurs {places} times in {}", mutant.file.1)));
        }
        fs::write(&path, original.replacen(mutant.find, mutant.replace, 1))?;
        let fate = self.fate(suite, thorough);
        fs::write(&path, original)?;
        fate
    }

    fn fate(&self, suite: &Suite, thorough: bool) -> Result<Fate> {
        let targets = suite.targets.iter().copied().flatten().copied();
        let build = self.cargo(suite, targets.chain(["--no-run"]))?;
        if !build.status.success() {
            let errors = String::from_utf8_lossy(&build.stderr);
            let first = errors.lines().find(|line| line.starts_with("error")).unwrap_or("unknown error");
            return Ok(Fate::Stale(format!("it does not compile: {first}")));
        }
        Ok(self.red_golden(suite, thorough)?.map_or(Fate::Survived, Fate::Killed))
    }

    /// The failures of the first target that has some, or of all.
    fn red_golden(&self, suite: &Suite, thorough: bool) -> Result<Option<String>> {
        let mut red = Vec::new();
        for target in suite.targets {
            let name = target.last().copied().unwrap_or_default();
            let output = self.cargo(suite, target.iter().copied().chain(["--no-fail-fast"]))?;
            if output.status.success() {
                continue;
            }
            let failures = failures(&String::from_utf8_lossy(&output.stdout));
            ensure!(!failures.is_empty(), "{name} did not run: {}", String::from_utf8_lossy(&output.stderr));
            red.push(format!("{name}: {}", failures.join("; ")));
            if !thorough {
                break;
            }
        }
        Ok((!red.is_empty()).then(|| red.join(" | ")))
    }

    fn cargo<'a>(&self, suite: &Suite, arguments: impl IntoIterator<Item = &'a str>) -> Result<Output> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["test", "--quiet", "--package", suite.package, "--target-dir"]).arg(&self.target);
        command.args(arguments.into_iter().map(OsStr::new)).current_dir(&self.tree);
        command.env("RUST_BACKTRACE", "0");
        command.output().context("cannot run cargo")
    }
}

/// `test: message` of each failed test in what the test harness printed.
fn failures(stdout: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = stdout.lines();
    while let Some(line) = lines.next() {
        let Some(test) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----")) else {
            continue;
        };
        // The message follows the line that names the place of the panic.
        let message = lines.by_ref().skip_while(|line| !line.contains("panicked at")).nth(1).unwrap_or("");
        found.push(format!("{test} ({})", message.chars().take(LONGEST_MESSAGE).collect::<String>()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_mutant_has_its_place() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let all: Vec<&Mutant> = SUITES.iter().flat_map(|suite| suite.mutants).collect();
        assert!(SUITES.iter().all(|suite| suite.mutants.len() >= 5));
        assert_eq!(all.iter().map(|mutant| mutant.name).collect::<HashSet<_>>().len(), all.len());
        for mutant in all {
            let source = fs::read_to_string(root.join(mutant.file.0).join(mutant.file.1)).unwrap();
            assert_eq!(source.matches(mutant.find).count(), 1, "place of {}", mutant.name);
            assert_ne!(mutant.find, mutant.replace);
        }
    }

    #[test]
    fn failures_are_read_from_the_harness() {
        let output = "\nrunning 2 tests\n\nfailures:\n\n---- short stdout ----\nbert: 1e-6\n\nthread 'short' (7) panicked at \
                      tests/parity.rs:9:5:\ndecoder.encode is off\nnote: run\n\n\nfailures:\n    short\n";
        assert_eq!(failures(output), ["short (decoder.encode is off)"]);
    }
}
