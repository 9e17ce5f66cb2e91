//! Rebuilds the parity goldens: a Python environment with each engine's reference implementation, then its dump script.

use crate::say;
use anyhow::{Context as _, Result, ensure};
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

/// An engine and the reference that its goldens come from.
struct Engine {
    /// Of the crate, after `stentor-engine-`.
    name: &'static str,
    /// The interpreter that makes the environment.
    python: &'static str,
    /// Installed without their dependencies, most of which the goldens do not use.
    reference: &'static [&'static str],
}

const ENGINES: &[Engine] = &[
    Engine { name: "kokoro", python: "python3", reference: &["kokoro==0.9.4"] },
    Engine {
        name: "chatterbox",
        python: "python3.11",
        reference: &["librosa==0.11.0", "s3tokenizer==0.3.0", "chatterbox-tts==0.1.7"],
    },
];

/// Runs `reference/dump.py` of one engine or of all with `python`, or with environments of their own under `target/`.
pub(crate) fn run(root: &Path, engine: Option<&str>, python: Option<&Path>) -> Result<()> {
    let chosen: Vec<&Engine> =
        ENGINES.iter().filter(|known| engine.is_none_or(|name| name == known.name)).collect();
    ensure!(!chosen.is_empty(), "no engine with goldens is called {}", engine.unwrap_or_default());
    ensure!(
        python.is_none() || chosen.len() == 1,
        "each engine has a reference of its own: name one with --engine"
    );
    for engine in chosen {
        let folder = root.join(format!("crates/stentor-engine-{}", engine.name));
        let (reference, goldens) = (folder.join("reference"), folder.join("tests/golden"));
        let python = match python {
            Some(python) => python.to_owned(),
            None => environment(root, &reference, engine)?,
        };
        call(&python, [reference.join("dump.py").as_os_str(), goldens.as_os_str()])?;
        say(&format!("goldens written to {}", goldens.display()))?;
    }
    Ok(())
}

/// The interpreter of an environment with the pinned packages; made where it is missing.
fn environment(root: &Path, reference: &Path, engine: &Engine) -> Result<PathBuf> {
    let folder = root.join("target/reference").join(engine.name);
    let python = folder.join("bin/python");
    if !python.exists() {
        call(engine.python.as_ref(), ["-m".as_ref(), "venv".as_ref(), folder.as_os_str()])?;
    }
    let requirements = reference.join("requirements.txt");
    let pip = ["-m", "pip", "install", "--quiet"].map(OsStr::new);
    call(&python, pip.into_iter().chain(["-r".as_ref(), requirements.as_os_str()]))?;
    let packages = engine.reference.iter().map(OsStr::new);
    call(&python, pip.into_iter().chain(["--no-deps".as_ref()]).chain(packages))?;
    Ok(python)
}

fn call<'a>(program: &Path, arguments: impl IntoIterator<Item = &'a OsStr>) -> Result<()> {
    let mut command = Command::new(program);
    command.args(arguments);
    let status = command.status().with_context(|| format!("cannot run {}", program.display()))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}
