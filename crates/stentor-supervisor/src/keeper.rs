//! The one task per model that owns its worker: starts it when there is work and memory, starts it again when
//! it dies, ends it when it is told to, when nobody uses it and at shutdown.

use crate::{
    ModelState, SpeechError, SupervisorConfig, backoff,
    conversation::{Conversation, End},
    fleet::{Claim, Fleet},
    order::{Leave, Order, dismissed},
    process::{self, Process},
    room::Lack,
    shared::Shared,
    slot::Death,
};
use std::{io, process::ExitStatus, sync::Arc, time::Duration};
use stentor_protocol::{
    FrameReader, Hello, PROTOCOL_VERSION,
    client::{self, HandshakeError, Loaded},
};
use stentor_types::LoadSpec;
use tokio::{net::UnixStream, sync::mpsc, time::Instant};

/// Deaths in a row that no chunk is to blame for, after which requests are no longer kept waiting.
const HOPELESS: u32 = 3;
/// For a worker that has been told to leave or has closed its socket.
const EXIT_PATIENCE: Duration = Duration::from_secs(2);
/// When to try again after a model found no room: a guess, for it depends on what others do.
pub(crate) const NO_ROOM_RETRY_S: u32 = 5;

pub(crate) struct Keeper {
    shared: Arc<Shared>,
    orders: mpsc::Receiver<Order>,
    fleet: Arc<Fleet>,
    config: Arc<SupervisorConfig>,
    /// Workers lost since a chunk was last completed.
    failures: u32,
    /// Of those, in a row, the ones without a chunk in the engine.
    blameless: u32,
    /// Of those, the ones in a row that were lost before they were ready.
    stillborn: u32,
    /// The last worker could not be loaded, by no fault of others: nobody has to make room for the next one.
    unsound: Option<LoadSpec>,
    /// Why requests are answered at once: from the failure until a worker is ready.
    failed: Option<String>,
    /// The next worker takes the place of one that died.
    restart: bool,
}

/// How the life of one worker ended, or why it never began.
enum Life {
    Stopped,
    Lost(Loss),
    Left(Leave),
    Refused(Lack),
}

struct Loss {
    reason: String,
    /// It had a chunk, so a chunk may be the cause.
    had_work: bool,
    /// It was of use before it died.
    useful: bool,
    stage: Stage,
}

/// How far a worker had come when it was lost.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It has said that it can't load, and the next will hardly do better: a missing tensor, another build.
    Hopeless,
    /// It was never ready.
    Stillborn,
    Ready,
}

/// Answers everybody when the keeper ends, be it by a panic.
struct CloseOnDrop(Arc<Shared>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Keeper {
    pub(crate) fn new(
        shared: Arc<Shared>,
        orders: mpsc::Receiver<Order>,
        fleet: Arc<Fleet>,
        config: Arc<SupervisorConfig>,
    ) -> Self {
        Self {
            shared,
            orders,
            fleet,
            config,
            failures: 0,
            blameless: 0,
            stillborn: 0,
            unsound: None,
            failed: None,
            restart: false,
        }
    }

    /// Runs until shutdown.
    pub(crate) async fn run(mut self) {
        let _close = CloseOnDrop(Arc::clone(&self.shared));
        while self.demand().await {
            let mut life = match self.claim().await {
                Ok(claim) => self.life(claim).await,
                Err(life) => life,
            };
            if let Life::Lost(loss) = life {
                match self.rest(loss).await {
                    None => continue,
                    Some(end) => life = end,
                }
            }
            match life {
                Life::Left(leave) => self.left(leave),
                Life::Refused(lack) => self.refuse(lack),
                Life::Stopped | Life::Lost(_) => return,
            }
        }
    }

    /// Waits until a worker is needed; false at shutdown.
    async fn demand(&mut self) -> bool {
        let shared = Arc::clone(&self.shared);
        let ending = shared.ending();
        tokio::pin!(ending);
        while !shared.is_wanted() {
            tokio::select! {
                () = shared.wake.notified() => {}
                leave = dismissed(&shared, &mut self.orders, false) => {
                    if self.failed.is_some() { self.left(leave) } else { leave.done() }
                }
                () = &mut ending => return false,
            }
        }
        // What was needed once is kept.
        shared.usage.want_back();
        true
    }

    /// Gets the memory to load the model into.
    async fn claim(&mut self) -> Result<Claim, Life> {
        self.starting(None);
        let (claim, ending) = (self.fleet.claim(&self.shared, self.may_evict()), self.shared.ending());
        tokio::pin!(claim, ending);
        loop {
            // Others may take long to load before there is an answer.
            self.answer_at_once();
            tokio::select! {
                claim = &mut claim => return claim.map_err(Life::Refused),
                leave = dismissed(&self.shared, &mut self.orders, false) => return Err(Life::Left(leave)),
                () = &mut ending => return Err(Life::Stopped),
                () = self.shared.wake.notified(), if self.failed.is_some() => {}
            }
        }
    }

    /// Others make room, unless what was to be loaded has shown that it can't be.
    fn may_evict(&self) -> bool {
        self.unsound.as_ref() != Some(&self.shared.plan.spec())
    }

    /// A model that has failed stays so until a worker is ready.
    fn starting(&self, pid: Option<u32>) {
        let state = if self.failed.is_some() { ModelState::Failed } else { ModelState::Starting };
        self.shared.set_status(|status| {
            (status.state, status.why_unloaded, status.pid) = (state, None, pid);
            status.reason.clone_from(&self.failed);
        });
    }

    /// One worker from spawn to reaping.
    async fn life(&mut self, claim: Claim) -> Life {
        let spec = self.shared.plan.spec();
        let (mut process, socket) = match Process::spawn(&self.config.command, &spec.model) {
            Ok(spawned) => spawned,
            Err(error) => return Life::Lost(Loss::early(format!("the worker can't be started: {error}"))),
        };
        self.starting(process.pid());
        if std::mem::take(&mut self.restart) {
            self.shared.board().worker_restarted();
            self.shared.set_status(|status| status.restarts += 1);
        }
        let life = self.serve(&mut process, socket, (spec, claim)).await;
        *self.shared.progress() = crate::WorkerProgress::default();
        self.shared.set_status(|status| (status.pid, status.memory) = (None, None));
        life
    }

    async fn serve(
        &mut self,
        process: &mut Process,
        socket: UnixStream,
        (spec, claim): (LoadSpec, Claim),
    ) -> Life {
        let mut conversation = match self.greet(socket, &spec).await {
            Ok(conversation) => conversation,
            Err(Life::Lost(loss)) => {
                // Its socket is closed, so it ends by itself, be it in the middle of loading.
                let status = process.reap(EXIT_PATIENCE).await;
                return Life::Lost(loss.with_status(&status));
            }
            Err(life) => {
                reap_late(process.kill().await);
                return life;
            }
        };
        // It holds its memory now, as every reading shows.
        drop(claim);
        (self.failed, self.unsound) = (None, None);
        tracing::info!(model = %spec.model, pid = process.pid(), "worker ready");
        let ready = Instant::now();
        let end = conversation.run(&mut self.orders).await;
        let done = conversation.chunks_done();
        // Closes the socket, which a worker that still listens takes as its end.
        drop(conversation);
        let death = match end {
            End::Stopped => {
                reap_late(process.reap(EXIT_PATIENCE).await);
                return Life::Stopped;
            }
            End::Left(leave) => {
                reap_late(process.reap(EXIT_PATIENCE).await);
                // Chunks of sessions that have left may still have been in the engine.
                let gone = Death { reason: "the model is unloaded".to_owned(), external: true };
                self.shared.board().worker_died(&gone);
                return Life::Left(leave);
            }
            End::Closed => process::death(process.reap(EXIT_PATIENCE).await),
            End::Faulty(reason) => {
                reap_late(process.kill().await);
                Death { reason, external: false }
            }
        };
        let had_work = self.shared.board().worker_died(&death);
        let useful = done > 0 || ready.elapsed() > self.config.backoff_max;
        Life::Lost(Loss { reason: death.reason, had_work, useful, stage: Stage::Ready })
    }

    /// Handshake and load.
    async fn greet(&mut self, socket: UnixStream, spec: &LoadSpec) -> Result<Conversation, Life> {
        let started = Instant::now();
        let (reader, mut writer) = socket.into_split();
        let mut reader = FrameReader::new(reader);
        let beat_ms = self.config.beat.as_millis() as u64;
        let build_id = self.config.build_id.clone();
        let hello = Hello { version: PROTOCOL_VERSION, build_id, load: spec.clone(), beat_ms };
        let loaded = {
            let handshake = client::handshake(&mut reader, &mut writer, hello);
            let handshake = tokio::time::timeout(self.config.start_timeout, handshake);
            let ending = self.shared.ending();
            tokio::pin!(handshake, ending);
            loop {
                tokio::select! {
                    result = &mut handshake => break result,
                    () = &mut ending => return Err(Life::Stopped),
                    leave = dismissed(&self.shared, &mut self.orders, true) => return Err(Life::Left(leave)),
                    () = self.shared.wake.notified(), if self.failed.is_some() => self.answer_at_once(),
                }
            }
        };
        let loaded = match loaded {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(error)) => return Err(Life::Lost(Loss::at_start(&error))),
            Err(_) => {
                let reason = format!("not loaded within {:?}", self.config.start_timeout);
                return Err(Life::Lost(Loss::early(reason)));
            }
        };
        self.note(spec, &loaded, started.elapsed());
        Ok(Conversation::new(Arc::clone(&self.shared), &self.config, (reader, writer), loaded))
    }

    fn note(&self, spec: &LoadSpec, loaded: &Loaded, took: Duration) {
        let Loaded { descriptor, memory } = loaded;
        // Measured before a word was spoken.
        self.shared.plan.measured(spec, descriptor.device, (*memory, descriptor.memory.speaking));
        self.shared.set_status(|status| status.load_seconds = Some(took.as_secs_f64()));
        let device = descriptor.device;
        tracing::info!(model = %spec.model, %device, memory, ?took, "model loaded");
        if let Some(why) = &descriptor.degraded {
            tracing::warn!(model = %spec.model, %device, "degraded: {why}");
        }
    }

    /// Answers those who wait for a model that has failed.
    fn answer_at_once(&self) {
        if let Some(reason) = &self.failed {
            let retry_after_s = self.shared.retry.after_s(Instant::now());
            self.shared.board().fail_all(&SpeechError::unavailable(reason, retry_after_s));
        }
    }

    /// After a loss: says so, waits, and meanwhile answers those who should not wait. `None` to go on.
    async fn rest(&mut self, loss: Loss) -> Option<Life> {
        if loss.useful {
            (self.failures, self.blameless) = (0, 0);
        }
        self.blameless = if loss.had_work { 0 } else { self.blameless + 1 };
        let stillborn = loss.stage != Stage::Ready;
        self.stillborn = if stillborn { self.stillborn + 1 } else { 0 };
        let given_up = loss.stage == Stage::Hopeless || self.stillborn >= HOPELESS;
        self.unsound = given_up.then(|| self.shared.plan.spec());
        let SupervisorConfig { backoff_first, backoff_max, random, .. } = *self.config;
        let wait = backoff::wait(backoff_first, backoff_max, self.failures, random());
        self.failures += 1;
        self.restart |= !stillborn;
        let failed = loss.stage == Stage::Hopeless || self.blameless >= HOPELESS || self.failed.is_some();
        let state = if failed { ModelState::Failed } else { ModelState::Backoff };
        let reason = loss.reason;
        let what = if stillborn { "the model can't be loaded" } else { "worker lost" };
        let why = reason.strip_prefix(what).map_or(&*reason, |why| why.trim_start_matches(": "));
        tracing::warn!(model = %self.shared.model, reason = %why, ?state, again_in = ?wait, "{what}");
        let until = Instant::now() + wait;
        self.shared.retry.note(until, wait, given_up);
        self.shared.usage.lose();
        self.shared.set_status(|status| {
            status.state = state;
            status.reason = Some(reason.clone());
        });
        self.failed = failed.then_some(reason);
        let ending = self.shared.ending();
        tokio::pin!(ending);
        loop {
            self.answer_at_once();
            tokio::select! {
                () = tokio::time::sleep_until(until) => return self.let_be(given_up),
                () = self.shared.wake.notified() => {}
                leave = dismissed(&self.shared, &mut self.orders, false) => return Some(Life::Left(leave)),
                () = &mut ending => return Some(Life::Stopped),
            }
        }
    }

    /// Before the next attempt: none is made for nobody, if it would hardly go better or the idle time is over.
    fn let_be(&self, given_up: bool) -> Option<Life> {
        let usage = &self.shared.usage;
        let patience = if given_up { Some(Duration::ZERO) } else { self.shared.plan.options().idle_timeout };
        let let_go = patience.is_some_and(|patience| usage.let_go(patience));
        // One that has failed is still to be seen as such.
        (let_go && self.failed.is_none()).then(|| Life::Left(Leave::idle()))
    }

    /// The worker is gone because nobody needed it, or somebody needed its memory more.
    fn left(&mut self, leave: Leave) {
        (self.failures, self.blameless, self.stillborn, self.restart) = (0, 0, 0, false);
        (self.failed, self.unsound) = (None, None);
        let why = leave.why;
        tracing::info!(model = %self.shared.model, ?why, "model unloaded");
        self.shared.set_status(|status| {
            status.state = ModelState::Unloaded;
            (status.reason, status.why_unloaded) = (None, Some(why));
        });
        leave.done();
    }

    /// There is no memory for the model: everybody is told, and the next use tries again.
    fn refuse(&mut self, lack: Lack) {
        let lack = lack.to_string();
        tracing::warn!(model = %self.shared.model, reason = %lack, "not started");
        // One that was not loaded for a reason of its own had no claim to the room of others, and is no better now.
        let failed = self.failed.take().filter(|_| !self.may_evict());
        let (state, reason, retry_after_s) = match &failed {
            Some(why) => (ModelState::Failed, why.clone(), self.shared.retry.after_s(Instant::now())),
            None => (ModelState::Unloaded, lack, NO_ROOM_RETRY_S),
        };
        self.failed = failed;
        self.shared.usage.refuse();
        self.shared.board().fail_all(&SpeechError::unavailable(&reason, retry_after_s));
        self.shared.set_status(|status| (status.state, status.reason) = (state, Some(reason)));
    }
}

impl Loss {
    fn early(reason: String) -> Self {
        Self { reason, had_work: false, useful: false, stage: Stage::Stillborn }
    }

    fn at_start(error: &HandshakeError) -> Self {
        let hopeless = matches!(error, HandshakeError::LoadFailed(_) | HandshakeError::Mismatch(_));
        let stage = if hopeless { Stage::Hopeless } else { Stage::Stillborn };
        Self { stage, ..Self::early(error.to_string()) }
    }

    /// Adds how the process ended, where it ended by itself.
    fn with_status(self, status: &io::Result<Option<ExitStatus>>) -> Self {
        match status {
            Ok(Some(status)) if self.stage != Stage::Hopeless => {
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
