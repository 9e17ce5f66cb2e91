//! Rebuilds the parity goldens: a Python environment with the reference implementation, then its dump script.

use crate::say;
use anyhow::{Context as _, Result, ensure};
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

const ENGINE: &str = "crates/stentor-engine-kokoro";
/// Installed without its dependencies, which are a text front end that the goldens do not use.
const REFERENCE: &str = "kokoro==0.9.4";

/// Runs `reference/dump.py` with `python`, or with an environment of its own under `target/`.
pub(crate) fn run(root: &Path, python: Option<PathBuf>) -> Result<()> {
    let reference = root.join(ENGINE).join("reference");
    let python = match python {
        Some(python) => python,
        None => environment(root, &reference)?,
    };
    let goldens = root.join(ENGINE).join("tests/golden");
    call(&python, [reference.join("dump.py").as_os_str(), goldens.as_os_str()])?;
    say(&format!("goldens written to {}", goldens.display()))
}

/// The interpreter of an environment with the pinned packages; made where it is missing.
fn environment(root: &Path, reference: &Path) -> Result<PathBuf> {
    let folder = root.join("target/reference");
    let python = folder.join("bin/python");
    if !python.exists() {
        call("python3".as_ref(), ["-m".as_ref(), "venv".as_ref(), folder.as_os_str()])?;
    }
    let requirements = reference.join("requirements.txt");
    let pip = ["-m", "pip", "install", "--quiet"].map(OsStr::new);
    call(&python, pip.into_iter().chain(["-r".as_ref(), requirements.as_os_str()]))?;
    call(&python, pip.into_iter().chain(["--no-deps", REFERENCE].map(OsStr::new)))?;
    Ok(python)
}

fn call<'a>(program: &Path, arguments: impl IntoIterator<Item = &'a OsStr>) -> Result<()> {
    let mut command = Command::new(program);
    command.args(arguments);
    let status = command.status().with_context(|| format!("cannot run {}", program.display()))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}
