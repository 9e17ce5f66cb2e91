//! With the feature `cuda`: the card's own kernels, by the compiler that candle's need too.

use std::{env, path::PathBuf, process::Command};

/// Files of kernels, without their extension; `src/card/mod.rs` includes what becomes of each.
const FILES: [&str; 6] = ["kernels", "conv", "pointwise", "attention", "decode", "draw"];
/// Machine code is made for these, from the oldest card that is served on. It runs on cards of the same first digit too; for all
/// that come later the driver translates the oldest one's PTX.
const CAPABILITIES: &str = include_str!("src/card/capabilities.txt");

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/card");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    let folder = env::var_os("OUT_DIR").map(PathBuf::from).expect("cargo says where");
    let oldest = CAPABILITIES.lines().next().expect("a list of capabilities");
    for file in FILES {
        let mut compiler = Command::new("nvcc");
        compiler.args(["-fatbin", "-O3", "--threads", "0"]);
        compiler.args(["-gencode", &format!("arch=compute_{oldest},code=compute_{oldest}")]);
        for capability in CAPABILITIES.lines() {
            compiler.args(["-gencode", &format!("arch=compute_{capability},code=sm_{capability}")]);
        }
        let source = format!("src/card/{file}.cu");
        compiler.arg("-o").arg(folder.join(format!("{file}.fatbin"))).arg(&source);
        assert!(compiler.status().is_ok_and(|status| status.success()), "nvcc did not compile {source}");
    }
}
