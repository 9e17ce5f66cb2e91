//! The one task per model that owns its worker: starts it when there is work, starts it again when it dies, ends
//! it at shutdown.

use crate::{
    ModelState, SpeechError, SupervisorConfig,
    conversation::{Conversation, End},
    process::{self, Process},
    shared::Shared,
    slot::Death,
};
use std::{io, process::ExitStatus, sync::Arc, time::Duration};
use stentor_protocol::{
    FrameReader, Hello, PROTOCOL_VERSION,
    client::{self, HandshakeError},
};
use stentor_types::LoadSpec;
use tokio::{net::UnixStream, time::Instant};

/// Deaths in a row that no chunk is to blame for, after which requests are no longer kept waiting.
const HOPELESS: u32 = 3;
/// For a worker that has been told to leave or has closed its socket.
const EXIT_PATIENCE: Duration = Duration::from_secs(2);

pub(crate) struct Keeper {
    shared: Arc<Shared>,
    spec: LoadSpec,
    config: Arc<SupervisorConfig>,
    /// Workers lost since a chunk was last completed.
    failures: u32,
    /// Of those, in a row, the ones without a chunk in the engine.
    blameless: u32,
}

/// How the life of one worker ended.
enum Life {
    Stopped,
    Lost(Loss),
}

struct Loss {
    reason: String,
    /// It had a chunk, so a chunk may be the cause.
    had_work: bool,
    /// Another attempt will hardly go better: a missing tensor, another build.
    hopeless: bool,
    /// It was of use before it died.
    useful: bool,
}

/// Answers everybody when the keeper ends, be it by a panic.
struct CloseOnDrop(Arc<Shared>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Keeper {
    pub(crate) fn new(shared: Arc<Shared>, spec: LoadSpec, config: Arc<SupervisorConfig>) -> Self {
        Self { shared, spec, config, failures: 0, blameless: 0 }
    }

    /// Runs until shutdown.
    pub(crate) async fn run(mut self) {
        let _close = CloseOnDrop(Arc::clone(&self.shared));
        while self.demand().await {
            match self.life().await {
                Life::Stopped => return,
                Life::Lost(loss) => {
                    if !self.rest(loss).await {
                        return;
                    }
                    self.shared.board().worker_restarted();
                }
            }
        }
    }

    /// Waits until a worker is needed; false at shutdown.
    async fn demand(&self) -> bool {
        let ending = self.shared.ending();
        tokio::pin!(ending);
        while !self.shared.is_wanted() {
            tokio::select! {
                () = self.shared.wake.notified() => {}
                () = &mut ending => return false,
            }
        }
        // What was needed once is kept.
        self.shared.want();
        true
    }

    /// One worker from spawn to reaping.
    async fn life(&mut self) -> Life {
        let (mut process, socket) = match Process::spawn(&self.config.command, &self.spec.model) {
            Ok(spawned) => spawned,
            Err(error) => return Life::Lost(Loss::early(format!("the worker can't be started: {error}"))),
        };
        let pid = process.pid();
        *self.shared.progress() = crate::WorkerProgress::default();
        self.shared.set_status(|status| {
            status.state = ModelState::Starting;
            status.pid = pid;
        });
        let life = self.serve(&mut process, socket).await;
        self.shared.set_status(|status| (status.pid, status.memory) = (None, None));
        life
    }

    async fn serve(&mut self, process: &mut Process, socket: UnixStream) -> Life {
        let started = Instant::now();
        let mut conversation = match self.greet(socket).await {
            Ok(Some(conversation)) => conversation,
            Ok(None) => {
                reap_late(process.kill().await);
                return Life::Stopped;
            }
            Err(loss) => {
                // Its socket is closed, so it ends by itself, be it in the middle of loading.
                let status = process.reap(EXIT_PATIENCE).await;
                return Life::Lost(loss.with_status(&status));
            }
        };
        let took = started.elapsed();
        tracing::info!(model = %self.spec.model, pid = process.pid(), ?took, "worker ready");
        let ready = Instant::now();
        let end = conversation.run().await;
        let done = conversation.chunks_done();
        // Closes the socket, which a worker that still listens takes as its end.
        drop(conversation);
        let death = match end {
            End::Stopped => {
                reap_late(process.reap(EXIT_PATIENCE).await);
                return Life::Stopped;
            }
            End::Closed => process::death(process.reap(EXIT_PATIENCE).await),
            End::Faulty(reason) => {
                reap_late(process.kill().await);
                Death { reason, external: false }
            }
        };
        let had_work = self.shared.board().worker_died(&death);
        let useful = done > 0 || ready.elapsed() > self.config.backoff_max;
        Life::Lost(Loss { reason: death.reason, had_work, hopeless: false, useful })
    }

    /// Handshake and load; `None` at shutdown.
    async fn greet(&self, socket: UnixStream) -> Result<Option<Conversation>, Loss> {
        let (reader, mut writer) = socket.into_split();
        let mut reader = FrameReader::new(reader);
        let hello = Hello {
            version: PROTOCOL_VERSION,
            build_id: self.config.build_id.clone(),
            load: self.spec.clone(),
            beat_ms: self.config.beat.as_millis() as u64,
        };
        let handshake = client::handshake(&mut reader, &mut writer, hello);
        let loaded = tokio::select! {
            result = tokio::time::timeout(self.config.start_timeout, handshake) => match result {
                Ok(Ok(loaded)) => loaded,
                Ok(Err(error)) => return Err(Loss::at_start(&error)),
                Err(_) => {
                    let reason = format!("not loaded within {:?}", self.config.start_timeout);
                    return Err(Loss::early(reason));
                }
            },
            () = self.shared.ending() => return Ok(None),
        };
        Ok(Some(Conversation::new(Arc::clone(&self.shared), &self.config, (reader, writer), loaded)))
    }

    /// After a loss: says so, waits, and meanwhile answers those who should not wait. False at shutdown.
    async fn rest(&mut self, loss: Loss) -> bool {
        if loss.useful {
            (self.failures, self.blameless) = (0, 0);
        }
        self.blameless = if loss.had_work { 0 } else { self.blameless + 1 };
        let doublings = self.failures.min(20);
        self.failures += 1;
        let wait = (self.config.backoff_first * 2_u32.pow(doublings)).min(self.config.backoff_max);
        let failed = loss.hopeless || self.blameless >= HOPELESS;
        let state = if failed { ModelState::Failed } else { ModelState::Backoff };
        let reason = loss.reason;
        tracing::warn!(model = %self.spec.model, %reason, ?state, again_in = ?wait, "worker lost");
        self.shared.set_status(|status| {
            status.state = state;
            status.reason = Some(reason.clone());
        });
        let until = Instant::now() + wait;
        let ending = self.shared.ending();
        tokio::pin!(ending);
        loop {
            if failed {
                let left = until.saturating_duration_since(Instant::now()).as_secs_f64().ceil();
                let error = SpeechError::unavailable(&reason, (left as u32).max(1));
                self.shared.board().fail_all(&error);
            }
            tokio::select! {
                () = tokio::time::sleep_until(until) => return true,
                () = self.shared.wake.notified() => {}
                () = &mut ending => return false,
            }
        }
    }
}

impl Loss {
    fn early(reason: String) -> Self {
        Self { reason, had_work: false, hopeless: false, useful: false }
    }

    fn at_start(error: &HandshakeError) -> Self {
        let hopeless = matches!(error, HandshakeError::LoadFailed(_) | HandshakeError::Mismatch(_));
        Self { hopeless, ..Self::early(error.to_string()) }
    }

    /// Adds how the process ended, where it ended by itself.
    fn with_status(self, status: &io::Result<Option<ExitStatus>>) -> Self {
        match status {
            Ok(Some(status)) if !self.hopeless => {
                Self { reason: format!("{} ({status})", self.reason), ..self }
            }
            _ => self,
        }
    }
}

/// The end of a worker that we ended ourselves; only a failed wait is worth a line.
fn reap_late<T>(status: io::Result<T>) {
    if let Err(error) = status {
        tracing::error!(%error, "a worker could not be waited for");
    }
}
