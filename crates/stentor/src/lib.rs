//! The composition root: reads the configuration, builds the parts, runs a command.

mod cli;
mod commands;
mod compose;
pub mod config;
mod host_memory;
mod listen;
mod logging;
mod nvml;
mod reload;
mod signals;
mod startup;

use clap::Parser as _;
use std::{os::unix::fs::MetadataExt as _, process::ExitCode};
use stentor_worker::Registry;

/// Server and worker must come from one build; both are this program, unless it was replaced on disk in between.
/// The file's size and time tell two builds of one version apart.
fn build_id() -> String {
    let file = std::env::current_exe().and_then(std::fs::metadata);
    let stamp = file.map_or_else(
        |_| "gone".to_owned(),
        |file| format!("{}-{}.{}", file.len(), file.mtime(), file.mtime_nsec()),
    );
    format!("{}-{stamp}", concat!(env!("CARGO_PKG_NAME"), "-", env!("CARGO_PKG_VERSION")))
}

/// Exit status for a mistake in flags, environment or configuration file.
const EXIT_USAGE: u8 = 2;

/// Runs the command line. `registry` is what a worker process of this program can load.
pub fn main(registry: Registry) -> ExitCode {
    let cli = cli::Cli::parse();
    if matches!(cli.command, cli::Command::Worker) {
        return stentor_worker::run(registry, &build_id());
    }
    match config::load(&cli.options) {
        Ok(config) => run(cli, &config),
        Err(mistakes) => {
            if let cli::Command::Doctor(options) = &cli.command {
                return commands::doctor::misconfigured(options, &mistakes).unwrap_or(ExitCode::FAILURE);
            }
            logging::complain(&mistakes.to_string());
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn run(cli: cli::Cli, config: &config::Config) -> ExitCode {
    stentor_worker::give_back_early();
    logging::init(config.log_format, config.log.as_deref(), cli.command.is_serve());
    match commands::run(cli.command, config) {
        Ok(code) => code,
        Err(error) => {
            logging::complain(&format!("{error:#}"));
            if error.is::<config::Mistakes>() { ExitCode::from(EXIT_USAGE) } else { ExitCode::FAILURE }
        }
    }
}
