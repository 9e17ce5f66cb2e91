//! The CUDA compiler from pinned Python wheels, laid out the way build scripts expect a toolkit to be.

use super::{Folders, call};
use crate::say;
use anyhow::{Context as _, Result, ensure};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

/// Compiler, its parts and headers. 13.0 is the version whose kernels drivers from 580 on accept; all must be of that line.
const WHEELS: [&str; 6] = [
    "nvidia-cuda-nvcc==13.0.88",
    "nvidia-nvvm==13.0.88",
    "nvidia-cuda-crt==13.0.88",
    "nvidia-cuda-cccl==13.0.85",
    "nvidia-cuda-runtime==13.0.96",
    "nvidia-cuda-nvrtc==13.0.88",
];

/// As many of the first as compile a kernel; the others are for linking a program.
const COMPILER: usize = 5;

/// Installs what is not there yet: about 500 MB.
pub(super) fn install(folders: &Folders) -> Result<()> {
    install_wheels(folders, &WHEELS, "500 MB")
}

/// Installs what compiles a kernel, if it is not there yet: about 280 MB.
pub(super) fn install_compiler(folders: &Folders) -> Result<()> {
    install_wheels(folders, &WHEELS[..COMPILER], "280 MB")
}

fn install_wheels(folders: &Folders, wheels: &[&str], size: &str) -> Result<()> {
    let stamp = folders.toolkit.join("wheels.txt");
    let there = fs::read_to_string(&stamp).unwrap_or_default();
    if wheels.iter().all(|wheel| there.lines().any(|line| line == *wheel)) {
        return Ok(());
    }
    say(&format!("installing the CUDA compiler (about {size}) …"))?;
    if !folders.python.join("bin/python").exists() {
        call("python3", ["-m".as_ref(), "venv".as_ref(), folders.python.as_os_str()])?;
    }
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"];
    call(folders.python.join("bin/python"), pip.into_iter().chain(wheels.iter().copied()))?;
    lay_out(folders)?;
    Ok(fs::write(stamp, wheels.join("\n"))?)
}

/// `bin`, `include` and `nvvm` as the wheels have them; `lib64` holds nothing but what the program shall be linked with.
fn lay_out(folders: &Folders) -> Result<()> {
    let wheels = wheels(&folders.python)?;
    ensure!(wheels.join("bin/nvcc").is_file(), "the wheels brought no compiler to {}", wheels.display());
    let libraries = folders.libraries();
    fs::create_dir_all(&libraries)?;
    for name in ["bin", "include", "nvvm"] {
        let link = folders.toolkit.join(name);
        // A link of an earlier version may be there, or nothing.
        let _ = fs::remove_file(&link);
        symlink(wheels.join(name), &link).with_context(|| format!("cannot link {}", link.display()))?;
    }
    // Linked under its usual name, the runtime would be one more library that every machine must have.
    fs::copy(wheels.join("lib/libcudart_static.a"), libraries.join("libcudart.a")).context("the runtime")?;
    Ok(())
}

/// The tree that all wheels share.
fn wheels(python: &Path) -> Result<PathBuf> {
    let versions = fs::read_dir(python.join("lib")).context("the Python environment")?;
    versions
        .filter_map(|entry| Some(entry.ok()?.path().join("site-packages/nvidia/cu13")))
        .find(|tree| tree.is_dir())
        .context("the wheels left no nvidia/cu13 in the Python environment")
}
