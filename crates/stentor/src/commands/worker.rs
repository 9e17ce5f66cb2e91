//! `stentor worker`: what the server re-executes itself as, once for each model.

use crate::cli::Worker;
use std::process::ExitCode;
use stentor_worker::Registry;

pub(crate) fn run(worker: &Worker, registry: &Registry) -> ExitCode {
    stentor_worker::run(registry, &worker.socket)
}
