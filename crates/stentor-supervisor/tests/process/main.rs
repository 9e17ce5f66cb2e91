//! The supervisor against real worker processes that speak with the fake engine.
//!
//! This executable has its own `main`, as the product has: run plainly it is the test runner, re-executed with
//! `worker` it is a worker, with `parent` a server that waits to be killed, and with `crashes` a server that counts
//! what many deaths leave behind.

mod crash;
mod failing;
mod fleet;
mod harness;
mod kept;
mod leaks;
mod lifecycle;
mod queue;
mod sharing;
mod speech;
mod unloading;

use libtest_mimic::Arguments;
use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some(harness::WORKER) => stentor_worker::run(harness::registry(), harness::BUILD_ID),
        Some(leaks::PARENT) => leaks::be_parent(),
        Some(leaks::CRASHES) => leaks::be_crashing(),
        _ => {
            let trials = [
                speech::trials(),
                crash::trials(),
                failing::trials(),
                sharing::trials(),
                queue::trials(),
                kept::trials(),
                lifecycle::trials(),
                unloading::trials(),
                fleet::trials(),
                leaks::trials(),
            ];
            let trials = trials.into_iter().flatten().collect();
            libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
        }
    }
}
