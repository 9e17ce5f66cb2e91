//! Compiles the kernels of a step for the host and runs them there, with their threads in either order.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

/// The program that runs them; the compiler is the one that the build needs anyway.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, program) = PROGRAM.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let (here, program) = (Path::new(env!("CARGO_MANIFEST_DIR")), folder.path().join("kernels"));
        let layers = here.parent().expect("a folder").join("stentor-nn");
        let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
        let done = Command::new(compiler)
            .args(["-std=c++20", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-o"])
            .arg(&program)
            .arg("-I")
            .arg(layers.join("src/card"))
            .arg(layers.join("tests/kernels/decode_host.cpp"))
            .status()
            .expect("a compiler");
        assert!(done.success(), "the kernels do not compile");
        (folder, program)
    });
    program
}

/// What a kernel is given, each list with its length before it.
#[derive(Default)]
pub(crate) struct Input(Vec<u8>);

impl Input {
    pub(crate) fn floats(mut self, values: &[f32]) -> Self {
        self.0.extend((values.len() as u32).to_le_bytes());
        self.0.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        self
    }

    pub(crate) fn integers(mut self, values: &[u32]) -> Self {
        self.0.extend((values.len() as u32).to_le_bytes());
        self.0.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        self
    }

    /// What the kernel wrote; it must not depend on which thread comes first.
    pub(crate) fn run(self, kernel: &str, weights: &str) -> Vec<f32> {
        let [forwards, backwards] = ["forwards", "backwards"].map(|order| {
            let mut child = Command::new(program())
                .args([kernel, weights, order])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("a program");
            child.stdin.take().expect("a pipe").write_all(&self.0).expect("a reader");
            let output = child.wait_with_output().expect("an end");
            assert!(output.status.success(), "{kernel}: {}", output.status);
            output.stdout
        });
        assert!(forwards == backwards, "{kernel}: threads do not wait for each other");
        forwards.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }
}
