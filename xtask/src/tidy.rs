//! `cargo xtask tidy`: the house rules that no compiler checks, each failure with file and line.
//!
//! The numbers are those of "What is never done" in `docs/ARCHITECTURE.md`. Dependency rules read `cargo metadata`;
//! source rules look for words in code, with comments and test modules cut out.

mod dependencies;
mod docker;
mod source;
mod test_code;

use anyhow::{Result, bail};
use std::{fmt, path::Path};

/// One broken rule.
pub(crate) struct Finding {
    /// `path` or `path:line`, relative to the repository.
    place: String,
    rule: &'static str,
    text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.place, self.text, self.rule)
    }
}

pub(crate) fn run(root: &Path) -> Result<()> {
    let mut findings = dependencies::check(root)?;
    findings.extend(source::check(root)?);
    findings.extend(docker::check(root)?);
    if findings.is_empty() {
        return crate::say("tidy: every rule holds");
    }
    for finding in &findings {
        crate::say(&finding.to_string())?;
    }
    bail!("{} rules broken", findings.len())
}
