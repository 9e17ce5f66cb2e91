//! An espeak-ng process that is kept alive: one line of text in, its phonemes out.
//!
//! Reading standard input by lines, espeak-ng answers each line at once, with one line of phonemes per clause and at
//! least one in all; an empty line is answered by an empty line. So every text is sent with an empty line behind it,
//! and whatever comes after the first line and before an empty one belongs to the text. No terminal and no shell is
//! involved. The process dies with its owner: it is killed and waited for on drop, and it ends by itself
//! when its input closes.

use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::Duration,
};

/// Most bytes of one answer.
const ANSWER_LIMIT: usize = 64 * 1024;
/// Lines that may wait between the reading thread and us.
const WAITING_LINES: usize = 64;
/// What a wait that brought no line takes from the time that an answer has.
const STEP: Duration = Duration::from_millis(10);
/// What a line takes from it, however quickly it came; so an answer that comes line by line takes no longer than
/// `STEP / LINE` times its limit, and no clock has to be read.
const LINE: Duration = Duration::from_millis(1);
/// Between two looks at a process that is to end.
const LOOK: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub(super) enum Failure {
    /// There is no such program.
    Missing,
    /// The process is gone or closed its output.
    Died,
    TooSlow(Duration),
    TooLong,
    Io(std::io::Error),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("the program was not found"),
            Self::Died => f.write_str("the process ended unexpectedly"),
            Self::TooSlow(limit) => write!(f, "no answer within {} ms", limit.as_millis()),
            Self::TooLong => write!(f, "an answer was longer than {ANSWER_LIMIT} bytes"),
            Self::Io(error) => write!(f, "{error}"),
        }
    }
}

pub(super) struct Process {
    child: Child,
    input: ChildStdin,
    lines: Receiver<Vec<u8>>,
}

impl Process {
    pub(super) fn start(program: &Path, voice: &str) -> Result<Self, Failure> {
        let mut child = Command::new(program)
            .args(["-q", "--ipa", "--tie=^", "-v", voice])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(spawn_failure)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::Died);
        };
        let (sender, lines) = sync_channel(WAITING_LINES);
        thread::spawn(move || forward_lines(output, &sender));
        Ok(Self { child, input, lines })
    }

    /// Phonemes of `text`, which must not hold a line break and must be shorter than espeak-ng's line buffer
    /// (1000 bytes). After a failure the process must not be used again.
    pub(super) fn ask(&mut self, text: &str, limit: Duration) -> Result<String, Failure> {
        while self.lines.try_recv().is_ok() {}
        self.input.write_all(format!("{text}\n\n").as_bytes()).map_err(|_| Failure::Died)?;
        self.input.flush().map_err(|_| Failure::Died)?;
        let mut left = limit;
        let mut answer = self.line(&mut left, limit)?;
        loop {
            let line = self.line(&mut left, limit)?;
            if line.is_empty() {
                return Ok(answer);
            }
            answer.push(' ');
            answer.push_str(&line);
            if answer.len() > ANSWER_LIMIT {
                return Err(Failure::TooLong);
            }
        }
    }

    /// The next line, within what is `left` of `limit`.
    fn line(&self, left: &mut Duration, limit: Duration) -> Result<String, Failure> {
        let line = loop {
            if left.is_zero() {
                return Err(Failure::TooSlow(limit));
            }
            match self.lines.recv_timeout(STEP.min(*left)) {
                Ok(line) => break line,
                Err(RecvTimeoutError::Timeout) => *left = left.saturating_sub(STEP),
                Err(RecvTimeoutError::Disconnected) => return Err(Failure::Died),
            }
        };
        *left = left.saturating_sub(LINE);
        if line.len() > ANSWER_LIMIT {
            return Err(Failure::TooLong);
        }
        Ok(String::from_utf8_lossy(&line).trim().to_owned())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Until the output ends, a line is too long, or nobody listens.
fn forward_lines(output: ChildStdout, sender: &SyncSender<Vec<u8>>) {
    let mut reader = BufReader::new(output);
    loop {
        let mut line = Vec::new();
        let mut bounded = reader.by_ref().take(ANSWER_LIMIT as u64 + 1);
        match bounded.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(read) => {
                if sender.send(line).is_err() || read > ANSWER_LIMIT {
                    return;
                }
            }
        }
    }
}

/// Whether `program --version` ends well within `limit`.
pub(super) fn answers(program: &Path, limit: Duration) -> bool {
    let quiet = |command: &mut Command| {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
    };
    let Ok(mut child) = quiet(Command::new(program).arg("--version")) else { return false };
    for _ in 0..limit.as_millis() / LOOK.as_millis() {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) => thread::sleep(LOOK),
            Err(_) => break,
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    false
}

fn spawn_failure(error: std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::PermissionDenied => Failure::Missing,
        _ => Failure::Io(error),
    }
}
