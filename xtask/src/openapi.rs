//! `cargo xtask openapi`: what the server answers at `/openapi.json`, as a file that a review can see change.

use anyhow::{Context as _, Result, ensure};
use std::{fs, path::Path, process::Command};

pub(crate) fn run(root: &Path) -> Result<()> {
    let mut print = Command::new("cargo");
    print.args(["run", "--quiet", "--package", "stentor-server", "--example", "openapi"]);
    let printed = print.current_dir(root).stderr(std::process::Stdio::inherit()).output();
    let printed = printed.context("running cargo")?;
    ensure!(printed.status.success(), "the document could not be printed");
    let path = root.join("docs/openapi.json");
    fs::write(&path, &printed.stdout).with_context(|| path.display().to_string())?;
    crate::say(&format!("{} is up to date", path.display()))
}
