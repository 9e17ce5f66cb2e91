//! With the feature `cuda`: the card's own kernels to PTX, by the compiler that candle's need too.

use std::{env, path::PathBuf, process::Command};

const SOURCES: [&str; 3] = ["kernels", "decode", "draw"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for name in SOURCES {
        println!("cargo::rerun-if-changed=src/card/{name}.cu");
    }
    println!("cargo::rerun-if-env-changed=CUDA_COMPUTE_CAP");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    let folder = env::var_os("OUT_DIR").map(PathBuf::from);
    let folder = folder.expect("cargo says where");
    // Of the oldest card that is served; the driver goes on from there.
    let capability = env::var("CUDA_COMPUTE_CAP").unwrap_or_else(|_| "75".to_owned());
    for name in SOURCES {
        let source = format!("src/card/{name}.cu");
        let done = Command::new("nvcc")
            .args(["-ptx", "-O3", &format!("-arch=compute_{capability}"), "-o"])
            .arg(folder.join(format!("{name}.ptx")))
            .arg(&source)
            .status();
        assert!(done.is_ok_and(|status| status.success()), "nvcc did not compile {source}");
    }
}
