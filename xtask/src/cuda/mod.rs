//! Builds for NVIDIA cards on a machine that needs none: a pinned compiler, stand-ins for the libraries that the program looks
//! for when it runs, and cargo with both in its environment. `docs/CUDA.md` and `docs/adr/0005-cuda-at-run-time.md` say why.

mod emulator;
mod kernels;
mod shim;
mod toolchain;

use crate::say;
use anyhow::{Context as _, Result, ensure};
use cargo_metadata::{CargoOpt, Metadata, MetadataCommand};
use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

/// candle's kernels are compiled for this compute capability; the driver translates them for any newer one.
const COMPUTE_CAPABILITY: &str = "75";

/// Where everything lies, below cargo's target directory.
struct Folders {
    /// The Python environment that the compiler is installed in.
    python: PathBuf,
    /// What build scripts take for a CUDA toolkit.
    toolkit: PathBuf,
    /// Sources and objects of the stand-ins.
    shim: PathBuf,
    /// The emulated card's libraries.
    emulator: PathBuf,
    /// Cargo's own target directory for these builds, so that they and the others leave each other alone.
    target: PathBuf,
}

impl Folders {
    fn of(metadata: &Metadata) -> Self {
        let target = metadata.target_directory.as_std_path();
        let tools = target.join("cuda-toolchain");
        Self {
            python: tools.join("venv"),
            toolkit: tools.join("home"),
            shim: tools.join("shim"),
            emulator: tools.join("emulator"),
            target: target.join("cuda"),
        }
    }

    fn libraries(&self) -> PathBuf {
        self.toolkit.join("lib64")
    }
}

/// Installs the compiler.
pub(crate) fn toolchain(root: &Path) -> Result<()> {
    let folders = Folders::of(&metadata(root)?);
    toolchain::install(&folders)?;
    say(&format!("the compiler is in {}", folders.toolkit.display()))
}

/// Compiles every kernel for every card and judges what comes out; installs the compiler first where it is missing.
pub(crate) fn kernels(root: &Path) -> Result<()> {
    let folders = Folders::of(&metadata(root)?);
    toolchain::install_compiler(&folders)?;
    kernels::check(root, &folders)
}

/// Makes the stand-ins; installs the compiler first where it is missing.
pub(crate) fn shim(root: &Path) -> Result<()> {
    let metadata = metadata(root)?;
    let folders = Folders::of(&metadata);
    toolchain::install(&folders)?;
    shim::make(&metadata, &folders)?;
    say(&format!("the stand-ins are in {}", folders.libraries().display()))
}

/// Runs cargo with `arguments` where it finds compiler and stand-ins, and what it runs a card that is emulated, if that is wanted.
pub(crate) fn cargo(root: &Path, arguments: &[String], emulated: bool) -> Result<()> {
    let metadata = metadata(root)?;
    let folders = Folders::of(&metadata);
    toolchain::install(&folders)?;
    shim::make(&metadata, &folders)?;
    let mut path = folders.toolkit.join("bin").into_os_string();
    path.push(":");
    path.push(env::var_os("PATH").unwrap_or_default());
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(root)
        .args(arguments)
        .env("PATH", path)
        .env("CARGO_TARGET_DIR", &folders.target)
        .env("CUDA_COMPUTE_CAP", COMPUTE_CAPABILITY)
        .env("CUDA_HOME", &folders.toolkit)
        .env("CUDA_PATH", &folders.toolkit)
        // Set, it would outrank the compiler that was just installed.
        .env_remove("NVCC");
    if emulated {
        cargo.env("LD_LIBRARY_PATH", emulator::make(root, &folders)?);
    }
    let status = cargo.status().context("cannot run cargo")?;
    ensure!(status.success(), "cargo {} failed: {status}", arguments.join(" "));
    say(&format!("done; cargo's output is in {}", folders.target.display()))
}

fn metadata(root: &Path) -> Result<Metadata> {
    MetadataCommand::new().current_dir(root).features(CargoOpt::AllFeatures).exec().context("cargo metadata")
}

/// Runs a tool to its end; it must succeed.
fn call<I, A>(program: impl AsRef<OsStr>, arguments: I) -> Result<()>
where
    I: IntoIterator<Item = A>,
    A: AsRef<OsStr>,
{
    let mut command = Command::new(program);
    command.args(arguments);
    let status =
        command.status().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}
