//! Compiles kernels of a card for the host and runs them there, with their threads in either order.

use std::{
    collections::HashMap,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

/// The programs that were compiled, by their source.
static PROGRAMS: Mutex<Option<Programs>> = Mutex::new(None);

struct Programs {
    folder: tempfile::TempDir,
    compiled: HashMap<&'static str, PathBuf>,
}

/// The program of a source that is beside this file; the compiler is the one that the build needs anyway.
fn program(source: &'static str) -> PathBuf {
    let mut programs = PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner);
    let Programs { folder, compiled } = programs.get_or_insert_with(|| Programs {
        folder: tempfile::tempdir().expect("a folder"),
        compiled: HashMap::new(),
    });
    let compile = || {
        let layers = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a folder").join("stentor-nn");
        let program = folder.path().join(source).with_extension("");
        let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
        let done = Command::new(compiler)
            .args(["-std=c++20", "-O2", "-Wall", "-Wextra", "-Werror"])
            // Hints for a card; as on a card, four numbers are read as one; and threads jump from stack to stack.
            .args(["-Wno-unknown-pragmas", "-fno-strict-aliasing", "-U_FORTIFY_SOURCE", "-o"])
            .arg(&program)
            .arg("-I")
            .arg(layers.join("src/card"))
            .arg(layers.join("tests/kernels").join(source))
            .status()
            .expect("a compiler");
        assert!(done.success(), "the kernels of {source} do not compile");
        program
    };
    compiled.entry(source).or_insert_with(compile).clone()
}

/// What a kernel is given, each list with its length before it.
#[derive(Default)]
pub(crate) struct Input(Vec<u8>);

impl Input {
    pub(crate) fn floats(self, values: &[f32]) -> Self {
        self.list(values.iter().map(|value| value.to_bits()))
    }

    pub(crate) fn integers(self, values: &[u32]) -> Self {
        self.list(values.iter().copied())
    }

    fn list(mut self, words: impl ExactSizeIterator<Item = u32>) -> Self {
        self.0.extend((words.len() as u32).to_le_bytes());
        self.0.extend(words.flat_map(u32::to_le_bytes));
        self
    }

    /// What the kernel wrote, which the program of `source` knows by `arguments`; it must not depend on which thread comes first.
    pub(crate) fn run(self, source: &'static str, arguments: &[&str]) -> Vec<f32> {
        let program = program(source);
        let [forwards, backwards] = ["forwards", "backwards"].map(|order| {
            let mut child = Command::new(&program)
                .args(arguments)
                .arg(order)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("a program");
            child.stdin.take().expect("a pipe").write_all(&self.0).expect("a reader");
            let output = child.wait_with_output().expect("an end");
            assert!(output.status.success(), "{arguments:?}: {}", output.status);
            output.stdout
        });
        assert!(forwards == backwards, "{arguments:?}: threads do not wait for each other");
        forwards.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }
}
