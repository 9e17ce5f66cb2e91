//! One worker process: spawned with a socket as its standard input, its output turned into log lines, always
//! reaped.
//!
//! The socket is one end of a pair made for this child: no file, no name, no other process can connect, and both
//! ends close with the processes that hold them.

use crate::{WorkerCommand, slot::Death};
use std::{
    io,
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    process::{ExitStatus, Stdio},
    time::Duration,
};
use stentor_types::ModelId;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader},
    net::UnixStream,
    process::{Child, Command},
};

/// A longer line of a worker's output is logged in pieces.
const MAX_LINE: u64 = 4096;
const SIGKILL: i32 = 9;

pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts the worker; what it and its children print goes to the log under the model's name.
    pub(crate) fn spawn(command: &WorkerCommand, model: &ModelId) -> io::Result<(Self, UnixStream)> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let ours = UnixStream::from_std(ours)?;
        let mut child = Command::new(&command.program)
            .args(&command.args)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(log_lines(stdout, model.clone()));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(log_lines(stderr, model.clone()));
        }
        Ok((Self { child }, ours))
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for the end of a worker that has closed its socket or been told to leave; one that lingers is killed.
    /// `None` if it had to be.
    pub(crate) async fn reap(&mut self, patience: Duration) -> io::Result<Option<ExitStatus>> {
        if let Ok(status) = tokio::time::timeout(patience, self.child.wait()).await {
            return status.map(Some);
        }
        self.kill().await.map(|_| None)
    }

    pub(crate) async fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.start_kill()?;
        self.child.wait().await
    }
}

/// What an exit that was not asked for says about the worker's chunks.
pub(crate) fn death(status: io::Result<Option<ExitStatus>>) -> Death {
    match status {
        Ok(Some(status)) => {
            let external = status.signal() == Some(SIGKILL);
            Death { reason: format!("the worker died ({status})"), external }
        }
        Ok(None) => Death { reason: "the worker closed its socket and lingered".to_owned(), external: false },
        Err(error) => {
            Death { reason: format!("the worker could not be waited for: {error}"), external: false }
        }
    }
}

async fn log_lines(output: impl AsyncRead + Unpin, model: ModelId) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut output).take(MAX_LINE).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let line = String::from_utf8_lossy(&line);
                tracing::info!(target: "worker", %model, "{}", line.trim_end());
            }
        }
    }
}
