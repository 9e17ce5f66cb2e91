//! Makes voices of recordings while the engine's thread goes on speaking.
//!
//! Chunks that need one wait here, in order, and go back to the engine's thread as commands. What is made here stays with the
//! engine, which finds it when the chunk is admitted.

use crate::{ChunkJob, engine_loop::Command, host::MAX_COMMANDS};
use std::{
    sync::mpsc::{SyncSender, TrySendError, sync_channel},
    thread,
};
use stentor_engine::{PrepareVoice, Waiter};
use tokio::sync::mpsc::WeakSender;

/// A chunk that the engine does not know yet, and who waits for it.
pub(crate) struct Waiting {
    pub(crate) job: Box<ChunkJob>,
    pub(crate) waiter: Waiter,
}

/// Ends when this is dropped, after the voice that is being made; when the server leaves, that one is cancelled too.
pub(crate) struct VoiceThread(SyncSender<Waiting>);

impl VoiceThread {
    /// Answers go to `back`, as long as the server is there. `None` if there can be no thread: voices are then made on
    /// the engine's.
    pub(crate) fn start(prepare: PrepareVoice, back: WeakSender<Command>) -> Option<Self> {
        let (sender, chunks) = sync_channel::<Waiting>(MAX_COMMANDS);
        let make = move || {
            for waiting in chunks {
                let outcome =
                    waiting.waiter.checkpoint().and_then(|()| prepare(&waiting.job.voice, &waiting.waiter));
                let Some(back) = back.upgrade() else { return };
                if back.blocking_send(Command::Prepared { waiting, outcome }).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("voices".to_owned()).spawn(make).ok().map(|_| Self(sender))
    }

    /// Takes a chunk whose voice is to be made; gives it back when too many wait.
    pub(crate) fn make(&self, waiting: Waiting) -> Result<(), Waiting> {
        self.0.try_send(waiting).map_err(|error| match error {
            TrySendError::Full(waiting) | TrySendError::Disconnected(waiting) => waiting,
        })
    }
}
