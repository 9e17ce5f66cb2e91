//! The project's chores: `cargo xtask <chore>`. `just` lists them; the logic is here.

mod tidy;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use std::{io::Write as _, path::Path};

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
}

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace's root")?;
    match Cli::parse().chore {
        Chore::Tidy => tidy::run(root),
    }
}

/// A line of output.
pub(crate) fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
