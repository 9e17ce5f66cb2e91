//! Breaks the Kokoro port in every way of [`MUTANTS`], one at a time in a copy of the workspace, and runs the goldens: each
//! mutant must turn one red.

use crate::{
    mutants::{MUTANTS, Mutant},
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

const PACKAGE: &str = "stentor-engine-kokoro";
/// The test targets that hold goldens, cheapest first; a mutant is dead at the first that turns red.
const TARGETS: &[&str] = &["tiny_golden", "builtin_golden", "parity"];

/// Characters of a failure that are printed.
const LONGEST_MESSAGE: usize = 160;

/// What became of a mutant.
enum Fate {
    Killed(String),
    Survived,
    /// The source no longer has the place, or the edit does not compile.
    Stale(String),
}

/// Runs the mutants whose names contain `filter`. With `thorough` every target runs, else only up to the first red one.
pub(crate) fn run(root: &Path, filter: &str, thorough: bool) -> Result<()> {
    let chosen: Vec<&Mutant> = MUTANTS.iter().filter(|mutant| mutant.name.contains(filter)).collect();
    ensure!(!chosen.is_empty(), "no mutant is called {filter}");
    let copy = Workspace::copy(root)?;
    if let Some(failure) = copy.red_golden(true)? {
        bail!("the port fails without any mutant: {failure}");
    }
    say(&format!("unchanged: every golden is green; {} mutants follow", chosen.len()))?;
    let mut failures = 0;
    for mutant in chosen {
        let start = Instant::now();
        let (word, text) = match copy.try_mutant(mutant, thorough)? {
            Fate::Killed(failure) => ("red", failure),
            Fate::Survived => ("SURVIVED", "every golden is green".to_owned()),
            Fate::Stale(reason) => ("STALE", reason),
        };
        failures += usize::from(word != "red");
        say(&format!("{word:8} {} ({} s): {text}", mutant.name, start.elapsed().as_secs()))?;
    }
    ensure!(failures == 0, "{failures} mutants turned no golden red");
    say("every mutant turned a golden red")
}

/// A copy of the sources, which shares compiled dependencies with the real workspace.
struct Workspace {
    tree: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// Copies what git tracks, and new files that it does not ignore. The copies' times are those of the copying, so that
    /// cargo builds them afresh whatever an earlier run left.
    fn copy(root: &Path) -> Result<Self> {
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

    fn try_mutant(&self, mutant: &Mutant, thorough: bool) -> Result<Fate> {
        let path = self.tree.join(mutant.file.0).join(mutant.file.1);
        let original =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let places = original.matches(mutant.find).count();
        if places != 1 {
            return Ok(Fate::Stale(format!("its place occurs {places} times in {}", mutant.file.1)));
        }
        fs::write(&path, original.replacen(mutant.find, mutant.replace, 1))?;
        let fate = self.fate(thorough);
        fs::write(&path, original)?;
        fate
    }

    fn fate(&self, thorough: bool) -> Result<Fate> {
        let targets = TARGETS.iter().flat_map(|target| ["--test", target]);
        let build = self.cargo(targets.chain(["--no-run"]))?;
        if !build.status.success() {
            let errors = String::from_utf8_lossy(&build.stderr);
            let first = errors.lines().find(|line| line.starts_with("error")).unwrap_or("unknown error");
            return Ok(Fate::Stale(format!("it does not compile: {first}")));
        }
        Ok(self.red_golden(thorough)?.map_or(Fate::Survived, Fate::Killed))
    }

    /// The failures of the first target that has some, or of all.
    fn red_golden(&self, thorough: bool) -> Result<Option<String>> {
        let mut red = Vec::new();
        for target in TARGETS {
            let output = self.cargo(["--test", target, "--no-fail-fast"])?;
            if output.status.success() {
                continue;
            }
            let failures = failures(&String::from_utf8_lossy(&output.stdout));
            ensure!(
                !failures.is_empty(),
                "{target} did not run: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            red.push(format!("{target}: {}", failures.join("; ")));
            if !thorough {
                break;
            }
        }
        Ok((!red.is_empty()).then(|| red.join(" | ")))
    }

    fn cargo<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Result<Output> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["test", "--quiet", "--package", PACKAGE, "--target-dir"]).arg(&self.target);
        command.args(arguments.into_iter().map(OsStr::new)).current_dir(&self.tree);
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
        assert!(MUTANTS.len() >= 15);
        assert_eq!(MUTANTS.iter().map(|mutant| mutant.name).collect::<HashSet<_>>().len(), MUTANTS.len());
        for mutant in MUTANTS {
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
