//! The project's chores: `cargo xtask <chore>`. `just` lists them; the logic is here.

mod cuda;
mod fuzz;
mod goldens;
mod mutants;
mod mutate;
mod openapi;
mod tidy;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

#[derive(Debug, Parser)]
#[command(name = "xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Check the house rules on dependencies and source.
    Tidy,
    /// Rebuild the parity goldens from the reference implementation.
    Goldens {
        /// Only those of this engine: kokoro or chatterbox.
        #[arg(long)]
        engine: Option<String>,
        /// A Python interpreter that has the reference's packages; without it an environment is made under target/.
        #[arg(long)]
        python: Option<PathBuf>,
    },
    /// Write the document of the API to docs/openapi.json.
    Openapi,
    /// Install the pinned CUDA compiler under the target directory.
    CudaToolchain,
    /// Compile every kernel of ours for every card that is served, and print what it needs of one. Needs no card.
    CudaKernels,
    /// Make the stand-ins for NVIDIA's libraries that a program with CUDA is linked with.
    CudaShim,
    /// Run cargo with the CUDA compiler and the stand-ins, in a target directory of its own.
    Cuda {
        /// Cargo's arguments, e.g. `build --release --package stentor --features cuda`.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        cargo: Vec<String>,
    },
    /// As `cuda`, with a card that is emulated on the host: slow, and stricter than a real one.
    CudaEmulated {
        /// Cargo's arguments, e.g. `test --release --package stentor-nn --features cuda --test cuda_parity --
        /// --test-threads=1`.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        cargo: Vec<String>,
    },
    /// Feed the readers of foreign bytes whatever comes to libFuzzer's mind.
    Fuzz {
        /// Only targets whose names contain this.
        #[arg(default_value = "")]
        filter: String,
        /// How long each runs.
        #[arg(long, default_value_t = 30)]
        seconds: u64,
        /// Executions of each, instead of seconds.
        #[arg(long)]
        executions: Option<u64>,
    },
    /// Break the ports in each known way and see a golden turn red.
    MutateParity {
        /// Only those of this engine, or of one part of it: kokoro, chatterbox, chatterbox-hift, ...
        #[arg(long, default_value = "")]
        engine: String,
        /// Only mutants whose names contain this.
        #[arg(default_value = "")]
        filter: String,
        /// Run every golden on every mutant, not only up to the first red one.
        #[arg(long)]
        thorough: bool,
    },
}

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace's root")?;
    match Cli::parse().chore {
        Chore::Tidy => tidy::run(root),
        Chore::Openapi => openapi::run(root),
        Chore::CudaToolchain => cuda::toolchain(root),
        Chore::CudaKernels => cuda::kernels(root),
        Chore::CudaShim => cuda::shim(root),
        Chore::Cuda { cargo } => cuda::cargo(root, &cargo, false),
        Chore::CudaEmulated { cargo } => cuda::cargo(root, &cargo, true),
        Chore::Fuzz { filter, seconds, executions } => fuzz::run(
            root,
            &filter,
            executions.map_or(fuzz::Bound::Seconds(seconds), fuzz::Bound::Executions),
        ),
        Chore::Goldens { engine, python } => goldens::run(root, engine.as_deref(), python.as_deref()),
        Chore::MutateParity { engine, filter, thorough } => {
            mutate::run(root, mutate::Choice { engine: &engine, filter: &filter, thorough })
        }
    }
}

/// A line of output.
pub(crate) fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
