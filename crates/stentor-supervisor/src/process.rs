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
    /// Starts the worker; what it and its children print goes to the log under the model's name
    /// and the process's id: standard output as information, standard error as warnings.
    pub(crate) fn spawn(command: &WorkerCommand, model: &ModelId) -> io::Result<(Self, UnixStream)> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let ours = UnixStream::from_std(ours)?;
        let mut child = Command::new(&command.program)
            .args(&command.args)
            // Else CUDA sorts cards by speed, and the one whose memory is read is not the one that is used.
            .env("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
            // candle's own threads, of which it makes one per core whatever a model was given, and which spin while they wait.
            .env("CANDLE_NUM_THREADS", "1")
            // A panic is one line in the log, not fifty.
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let source = |stream| Source { model: model.clone(), pid: child.id(), stream };
        let (out, err) = (source(Stream::Out), source(Stream::Err));
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(log_lines(stdout, out));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(log_lines(stderr, err));
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

#[derive(Clone, Copy)]
enum Stream {
    Out,
    Err,
}

/// Who printed a line.
struct Source {
    model: ModelId,
    pid: Option<u32>,
    stream: Stream,
}

async fn log_lines(output: impl AsyncRead + Unpin, source: Source) {
    let Source { model, pid, stream } = source;
    let pid = pid.unwrap_or_default();
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut output).take(MAX_LINE).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let line = printable(&line);
        match stream {
            Stream::Out => tracing::info!(target: "worker", %model, pid, "{line}"),
            Stream::Err => tracing::warn!(target: "worker", %model, pid, "{line}"),
        }
    }
}

/// The line without its end; what would move a terminal's cursor is shown as a replacement character.
fn printable(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    let shown = |c: char| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c };
    line.trim_end().chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logged::Lines;

    #[test]
    fn what_a_worker_prints_is_logged_with_its_model_and_process() {
        let lines = Lines::default();
        let _guard = tracing::subscriber::set_default(lines.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let script =
            "printf \"to out $RUST_BACKTRACE\\n\"; printf 'to err \\033[2J\\n' >&2; printf '%9000d\\n' 7";
        let command = WorkerCommand { program: "/bin/sh".into(), args: vec!["-c".into(), script.into()] };
        let pid = runtime.block_on(async {
            let (mut process, _socket) = Process::spawn(&command, &ModelId::from("some-model")).unwrap();
            let pid = process.pid().unwrap();
            assert!(process.reap(Duration::from_secs(20)).await.unwrap().unwrap().success());
            // The pipes are read to their end by tasks of their own.
            while lines.all().len() < 5 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            pid
        });
        let lines = lines.all();
        let of = |level| lines.iter().filter(move |(at, _)| *at == level).map(|(_, line)| line);
        let out: Vec<_> = of(tracing::Level::INFO).collect();
        let err: Vec<_> = of(tracing::Level::WARN).collect();
        assert!(out[0].contains("to out 0") && err[0].contains("to err \u{fffd}[2J"), "{lines:?}");
        assert_eq!((out.len(), err.len()), (4, 1), "a line of 9000 is logged in three pieces: {lines:?}");
        let who = format!("pid={pid};");
        let named = |line: &&String| line.contains("model=some-model;") && line.contains(&who);
        assert!(out.iter().chain(&err).all(named), "{lines:?}");
    }
}
