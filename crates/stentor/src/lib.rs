//! The composition root: reads the configuration, builds the parts, runs a command.

mod cli;
mod commands;
mod compose;
pub mod config;
mod logging;

use clap::Parser as _;
use std::process::ExitCode;
use stentor_worker::Registry;

/// Exit status for a mistake in flags, environment or configuration file.
const EXIT_USAGE: u8 = 2;

/// Runs the command line. `registry` is what a worker process of this program can load.
pub fn main(registry: &Registry) -> ExitCode {
    let cli = cli::Cli::parse();
    if let cli::Command::Worker(worker) = &cli.command {
        return commands::worker::run(worker, registry);
    }
    match config::load(&cli.options) {
        Ok(config) => run(cli, config),
        Err(mistakes) => {
            logging::complain(&mistakes.to_string());
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn run(cli: cli::Cli, config: config::Config) -> ExitCode {
    logging::init(config.log_format, cli.command.is_serve());
    match commands::run(cli.command, config) {
        Ok(code) => code,
        Err(error) => {
            logging::complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
