//! The signals that a server listens to. All are caught from the start, so that none is lost between two waits.

use std::{io, process::ExitCode};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT.
pub(crate) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The next one, as the exit status of a process that it ends. Cancel-safe.
    pub(crate) async fn next(&mut self) -> ExitCode {
        const SHELLS_OFFSET: u8 = 128;
        tokio::select! {
            _ = self.terminate.recv() => ExitCode::from(SHELLS_OFFSET + 15),
            _ = self.interrupt.recv() => ExitCode::from(SHELLS_OFFSET + 2),
        }
    }
}

/// SIGHUP.
pub(crate) fn reload() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}
