//! The ways to port an engine wrongly that are known to be easy, each as one edit of the source, and which goldens judge it.

mod flow;
mod front;
mod hift;
mod kokoro;
mod t3;
mod text;

const NN: &str = "crates/stentor-nn/src";

/// One wrong version of a port.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mutant {
    pub(crate) name: &'static str,
    /// Folder and file of the edit.
    pub(crate) file: (&'static str, &'static str),
    /// What stands there, exactly once.
    pub(crate) find: &'static str,
    pub(crate) replace: &'static str,
}

const fn mutant(
    name: &'static str,
    file: (&'static str, &'static str),
    find: &'static str,
    replace: &'static str,
) -> Mutant {
    Mutant { name, file, find, replace }
}

/// Mutants of one part of an engine, and the tests that must turn red.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Suite {
    /// Of the engine and the part, e.g. `chatterbox-hift`.
    pub(crate) name: &'static str,
    pub(crate) package: &'static str,
    /// Arguments of `cargo test` for each test target, cheapest first; a mutant is dead at the first that turns red.
    pub(crate) targets: &'static [&'static [&'static str]],
    pub(crate) mutants: &'static [Mutant],
}

const CHATTERBOX: &str = "stentor-engine-chatterbox";

/// Every suite. One more part of an engine is a file beside this one and a row here.
pub(crate) const SUITES: &[Suite] = &[
    Suite {
        name: "kokoro",
        package: "stentor-engine-kokoro",
        targets: &[&["--test", "tiny_golden"], &["--test", "builtin_golden"], &["--test", "parity"]],
        mutants: kokoro::MUTANTS,
    },
    Suite {
        name: "chatterbox-hift",
        package: CHATTERBOX,
        targets: &[&["--test", "parity_hift"], &["--lib"]],
        mutants: hift::MUTANTS,
    },
    Suite {
        name: "chatterbox-flow",
        package: CHATTERBOX,
        targets: &[&["--test", "parity_flow"]],
        mutants: flow::MUTANTS,
    },
    Suite {
        name: "chatterbox-front",
        package: CHATTERBOX,
        targets: &[&["--test", "parity_front"]],
        mutants: front::MUTANTS,
    },
    Suite {
        name: "chatterbox-t3",
        package: CHATTERBOX,
        targets: &[&["--test", "sampler"], &["--test", "parity_t3"]],
        mutants: t3::MUTANTS,
    },
    Suite {
        name: "chatterbox-text",
        package: CHATTERBOX,
        targets: &[&["--test", "parity_text"]],
        mutants: text::MUTANTS,
    },
];
