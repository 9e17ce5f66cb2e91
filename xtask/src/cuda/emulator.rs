//! A card that is not there: a driver, cuBLAS and cuRAND for the host, with kernels compiled for it, so that all of a program's CUDA
//! side runs on any machine. `crates/stentor-nn/tests/emulator/driver.cpp` says how strict it is.

use super::{Folders, call};
use anyhow::{Context as _, Result};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

/// Files of kernels, as `crates/stentor-nn/build.rs` has them.
const KERNELS: [&str; 6] = ["kernels", "conv", "pointwise", "attention", "decode", "draw"];
/// The rest of the card.
const PARTS: [&str; 3] = ["driver", "blas", "candle"];
/// The names that a program looks for.
pub(super) const LIBRARIES: [&str; 4] =
    ["libcuda.so.1", "libcublasLt.so.13", "libcublas.so.13", "libcurand.so.10"];

/// Compiles it; the folder is what `LD_LIBRARY_PATH` must name.
pub(super) fn make(root: &Path, folders: &Folders) -> Result<PathBuf> {
    let (layers, place) = (root.join("crates/stentor-nn"), &folders.emulator);
    let sources = layers.join("tests/emulator");
    fs::create_dir_all(place)?;
    let compile = |source: &str, object: &str, more: &[String]| {
        let object = place.join(object).with_extension("o");
        let fixed = ["-std=c++20", "-O2", "-fPIC", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden"];
        // Hints for a card; as on a card, four numbers are read as one; and threads jump from stack to stack.
        let kernels = ["-Wno-unknown-pragmas", "-fno-strict-aliasing", "-U_FORTIFY_SOURCE"];
        // Each name stands by itself, for who looks whether it is there.
        let last = ["-fno-merge-constants", "-c"];
        let files = [sources.join(source).into_os_string(), "-o".into(), object.clone().into_os_string()];
        let options =
            fixed.into_iter().chain(kernels).chain(last).map(Into::into).chain(more.iter().map(Into::into));
        call("c++", options.chain(files)).map(|()| object)
    };
    let mut objects = Vec::new();
    for name in KERNELS {
        let own = [
            format!("-I{}", layers.join("src/card").display()),
            format!("-DKERNELS=\"{name}.cu\""),
            format!("-DOF_{}", name.to_uppercase()),
        ];
        objects.push(compile("kernels.cpp", name, &own)?);
    }
    for name in PARTS {
        let headers = [format!("-I{}", folders.toolkit.join("include").display())];
        objects.push(compile(&format!("{name}.cpp"), &format!("part_{name}"), &headers)?);
    }
    let [library, others @ ..] = LIBRARIES.map(|name| place.join(name));
    call("c++", ["-shared".into(), "-o".into(), library.clone()].into_iter().chain(objects))?;
    for other in others {
        let _ = fs::remove_file(&other);
        symlink(&library, &other).with_context(|| other.display().to_string())?;
    }
    Ok(place.clone())
}
