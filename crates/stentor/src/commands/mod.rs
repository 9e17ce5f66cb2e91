//! One file per command.

mod check;
pub(crate) mod doctor;
mod healthcheck;
mod key;
mod listings;
mod pull;
mod say;
mod serve;

pub(crate) use pull::configured_model;

use crate::{cli::Command, config::Config};
use anyhow::{Result, bail};
use std::{io::Write as _, process::ExitCode};

/// Encoding and files. More would only take turns on the cores; tasks beyond them wait in line.
const BLOCKING_THREADS: usize = 64;

/// Two at least, so that one long look at a text leaves a thread for probes; more than a few have nothing to do, since
/// speaking and encoding happen elsewhere.
fn event_threads() -> usize {
    std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 8))
}

pub(crate) fn run(command: Command, config: &Config) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(event_threads())
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()?;
    let code = runtime.block_on(async {
        match command {
            Command::Serve => serve::run(config).await,
            Command::Say(say) => say::run(config, say).await,
            Command::Voices(listing) => listings::voices(config, &listing),
            Command::Models(listing) => listings::models(config, &listing),
            Command::Check(listing) => check::run(config, &listing),
            Command::Doctor(options) => Box::pin(doctor::run(config, &options)).await,
            Command::Healthcheck => healthcheck::run(config).await,
            Command::Pull(pull) => pull::run(config, &pull).await,
            Command::Key(new) => key::run(&new),
            Command::Worker => bail!("a worker is started before the configuration is read"),
        }
    });
    // A task that still holds a blocking thread must not keep the program from ending.
    runtime.shutdown_background();
    code
}

/// Writes a command's result; a closed pipe (`stentor voices | head -1`) is not an error.
fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

fn print_json(value: &serde_json::Value) -> Result<()> {
    print(&format!("{value:#}\n"))
}
