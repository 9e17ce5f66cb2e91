//! Talks to one worker while it lives: sends chunks and cancels, takes in what it yields, watches that it moves.
//!
//! Reading never waits for a session or for the writer, so one slow client holds up nobody and neither side can
//! block the other.

use crate::{
    ModelState, SupervisorConfig, WorkerProgress,
    order::{Leave, Order},
    shared::Shared,
    watchdog::Watchdog,
};
use std::{sync::Arc, time::Duration};
use stentor_engine::EngineError;
use stentor_protocol::{FrameError, FrameReader, FromWorker, ToWorker, client::Loaded, frame};
use tokio::{
    net::unix::{OwnedReadHalf, OwnedWriteHalf},
    sync::mpsc,
    time::Instant,
};

/// Frames that wait for a worker to read them; one that lets more pile up is stuck.
const TO_WORKER: usize = 256;

/// Why the conversation is over.
pub(crate) enum End {
    /// By shutdown.
    Stopped,
    /// The worker closed the socket, most likely by dying.
    Closed,
    /// The worker must be killed, for this reason.
    Faulty(String),
    /// Nobody uses the model, and it goes.
    Left(Leave),
}

pub(crate) struct Conversation {
    shared: Arc<Shared>,
    reader: FrameReader<OwnedReadHalf>,
    writer: mpsc::Sender<Vec<u8>>,
    slots: usize,
    watchdog: Watchdog,
    chunks_done: u64,
    ready: Instant,
}

impl Conversation {
    /// The worker is ready; everybody is told.
    pub(crate) fn new(
        shared: Arc<Shared>,
        config: &SupervisorConfig,
        (reader, writer): (FrameReader<OwnedReadHalf>, OwnedWriteHalf),
        Loaded { descriptor, memory }: Loaded,
    ) -> Self {
        let (sender, frames) = mpsc::channel(TO_WORKER);
        // A socket that fails here fails for the reader too, which says so.
        tokio::spawn(frame::pump(writer, frames));
        let slots = descriptor.max_slots.max(1);
        shared.set_status(|status| {
            status.state = ModelState::Ready;
            (status.reason, status.why_unloaded) = (None, None);
            status.descriptor = Some(Arc::new(descriptor));
            status.memory = Some(memory);
        });
        let ready = Instant::now();
        let watchdog = Watchdog::new(config.stuck_min, config.stuck_factor, ready);
        Self { shared, reader, writer: sender, slots, watchdog, chunks_done: 0, ready }
    }

    pub(crate) fn chunks_done(&self) -> u64 {
        self.chunks_done
    }

    pub(crate) async fn run(&mut self, orders: &mut mpsc::Receiver<Order>) -> End {
        let shared = Arc::clone(&self.shared);
        let ending = shared.ending();
        tokio::pin!(ending);
        let mut stop = shared.stop.subscribe();
        if stop.borrow().is_some() {
            shared.set_status(|status| status.state = ModelState::Draining);
        }
        loop {
            if let Err(end) = self.send() {
                return end;
            }
            let deadline = self.watchdog.deadline();
            let idle = self.idle();
            tokio::select! {
                biased;
                message = self.reader.message::<FromWorker>() => match message {
                    Ok(Some((message, samples))) => {
                        if let Err(end) = self.receive(message, &samples) {
                            return end;
                        }
                    }
                    Ok(None) | Err(FrameError::Truncated | FrameError::Io(_)) => return End::Closed,
                    Err(error) => return End::Faulty(format!("the worker sent {error}")),
                },
                () = shared.wake.notified() => {}
                () = &mut ending => {
                    self.say_goodbye();
                    return End::Stopped;
                }
                Some(order) = orders.recv() => {
                    if let Some(leave) = order.follow(&shared) {
                        return self.leave(leave);
                    }
                }
                () = sleep_until(idle.map(|(until, _)| until)) => {
                    if idle.is_some_and(|(_, patience)| shared.usage.let_go(patience)) {
                        return self.leave(Leave::idle());
                    }
                }
                Ok(()) = stop.changed() => shared.set_status(|status| status.state = ModelState::Draining),
                () = sleep_until(deadline) => {
                    return End::Faulty("the worker is stuck: its step counter stands still".to_owned());
                }
            }
        }
    }

    /// When the model goes unless somebody uses it before, and for how long nobody must have used it then.
    fn idle(&self) -> Option<(Instant, Duration)> {
        let patience = self.shared.plan.options().idle_timeout?;
        let since = self.shared.usage.idle_since()?;
        Some((since.max(self.ready) + patience, patience))
    }

    fn leave(&self, leave: Leave) -> End {
        self.shared.set_status(|status| status.state = ModelState::Draining);
        self.say_goodbye();
        End::Left(leave)
    }

    fn say_goodbye(&self) {
        // A full channel has the same effect: the socket closes next.
        let _ = self.command(&ToWorker::Shutdown);
    }

    /// Sends what there is to send: cancels first, then chunks as far as there are slots.
    fn send(&mut self) -> Result<(), End> {
        let cancels = self.shared.board().take_cancels();
        for chunk in cancels {
            self.command(&ToWorker::Cancel { chunk })?;
        }
        loop {
            let job = self.shared.board().next_job(self.slots, Instant::now());
            let Some(job) = job else { break };
            let chunk = job.chunk;
            match frame::encode(&ToWorker::Speak(job), &[]) {
                Ok(bytes) => self.push(bytes)?,
                Err(error) => {
                    let error = EngineError::Rejected(error.to_string());
                    self.shared.board().failed(chunk, error, Instant::now());
                }
            }
        }
        loop {
            let question = self.shared.board().next_question();
            let Some((id, text, language)) = question else { break };
            match frame::encode(&ToWorker::Phonemize { id, text, language }, &[]) {
                Ok(bytes) => self.push(bytes)?,
                Err(error) => self.shared.board().answer(id, Err(EngineError::Rejected(error.to_string()))),
            }
        }
        let flying = self.shared.board().is_flying();
        self.watchdog.set_busy(flying, Instant::now());
        Ok(())
    }

    fn command(&self, message: &ToWorker) -> Result<(), End> {
        let bytes = frame::encode(message, &[]).map_err(|error| End::Faulty(error.to_string()))?;
        self.push(bytes)
    }

    fn push(&self, bytes: Vec<u8>) -> Result<(), End> {
        match self.writer.try_send(bytes) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(End::Closed),
            Err(mpsc::error::TrySendError::Full(_)) => {
                Err(End::Faulty("the worker does not read its socket".to_owned()))
            }
        }
    }

    fn receive(&mut self, message: FromWorker, samples: &[f32]) -> Result<(), End> {
        let now = Instant::now();
        match message {
            FromWorker::Beat { steps, samples, active } => {
                self.watchdog.beat(steps, now);
                *self.shared.progress() = WorkerProgress { steps, samples, active };
                return Ok(());
            }
            FromWorker::Pcm { chunk } => self.shared.board().pcm(chunk, samples),
            FromWorker::Timing { chunk, words } => self.shared.board().timing(chunk, &words),
            FromWorker::Done { chunk, stats } => {
                self.chunks_done += 1;
                self.shared.board().done(chunk, stats, now);
            }
            FromWorker::Failed { chunk, error } => self.shared.board().failed(chunk, error, now),
            FromWorker::Phonemes { id, result } => self.shared.board().answer(id, result),
            FromWorker::Ready { .. } | FromWorker::Refused { .. } | FromWorker::LoadFailed { .. } => {
                return Err(End::Faulty("the worker repeated its handshake".to_owned()));
            }
        }
        self.watchdog.progress(now);
        Ok(())
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
