//! One request's conversation with a model: chunks in, ordered events out.

use crate::{
    AdmitError, SpeechError,
    board::{Manner, Taken},
    shared::Shared,
    usage::InUse,
};
use std::{fmt, sync::Arc, time::Duration};
use stentor_engine::ChunkStats;
use stentor_jobs::KeyBase;
use stentor_types::{Chunk, ClientId, Lane, Language, ModelId, Params, Speed, VoiceSource, WordTiming};
use tokio::{sync::Notify, time::Instant};

/// A place among a model's sessions, given back when it is dropped.
pub struct Permit {
    shared: Arc<Shared>,
    since: Instant,
    _in_use: InUse,
}

/// What admission must know of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ticket {
    pub client: ClientId,
    pub lane: Lane,
    /// Characters of the text: what the predicted wait goes by.
    pub chars: usize,
    /// The request must have begun to be spoken after this long.
    pub deadline: Option<Duration>,
}

/// Cuts a chunk into pieces of at most the given number of characters, in order, keeping its `index`.
pub type Resplit = fn(Chunk, usize) -> Vec<Chunk>;

/// What to speak, and how.
pub struct SessionRequest {
    pub voice: VoiceSource,
    /// Of the voice's content.
    pub voice_digest: String,
    /// Finished chunks are looked up and kept under keys made from this; `None` keeps nothing and shares nothing.
    pub keep: Option<KeyBase>,
    pub language: Language,
    pub speed: Speed,
    pub seed: u64,
    pub params: Params,
    /// Pulled lazily, in the task that calls [`Session::next`], at most two chunks ahead of what was consumed.
    pub chunks: Box<dyn Iterator<Item = Chunk> + Send>,
    pub resplit: Resplit,
}

/// Strictly ordered: `ChunkStart`, then any mix of `Pcm` and `Timing`, then `ChunkEnd`; then the next chunk.
#[derive(Debug, Clone, PartialEq)]
pub enum SessionEvent {
    ChunkStart(Chunk),
    /// The next samples, mono at the descriptor's rate; never empty.
    Pcm(Vec<f32>),
    Timing(Vec<WordTiming>),
    ChunkEnd {
        stats: ChunkStats,
    },
}

/// Speech on its way. Dropping it cancels its chunks in the worker at once.
///
/// It holds the audio of two chunks at most; while nobody calls [`next`](Self::next), no further chunk is
/// synthesized for it, and other sessions are not held up.
pub struct Session {
    permit: Permit,
    id: u64,
    bell: Arc<Notify>,
    chunks: Box<dyn Iterator<Item = Chunk> + Send>,
    resplit: Resplit,
    /// `chunks` has no more.
    drained: bool,
    /// The last event or the error has been given out.
    over: bool,
}

impl Permit {
    pub(crate) fn new(shared: Arc<Shared>, _ticket: Ticket) -> Result<Self, AdmitError> {
        shared.enter()?;
        Ok(Self { _in_use: InUse::new(&shared), shared, since: Instant::now() })
    }

    /// The model that it is for.
    pub fn model(&self) -> &ModelId {
        &self.shared.model
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Permit").field(&self.shared.model).finish()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.leave(self.since.elapsed());
    }
}

impl Session {
    pub(crate) fn new(permit: Permit, request: SessionRequest) -> Self {
        let SessionRequest { voice, voice_digest, keep: _, language, speed, seed, params, chunks, resplit } =
            request;
        let bell = Arc::new(Notify::new());
        let manner = Manner { voice, voice_digest, language, speed, seed, params };
        let id = permit.shared.board().open(manner, Arc::clone(&bell));
        Self { permit, id, bell, chunks, resplit, drained: false, over: false }
    }

    /// The next event; `None` after the last one, and after an error. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<SessionEvent, SpeechError>> {
        loop {
            if self.over {
                return None;
            }
            self.offer();
            let taken = self.permit.shared.board().take(self.id);
            match taken {
                Taken::Event(event) => {
                    if matches!(event, SessionEvent::ChunkEnd { .. }) {
                        // The window has moved.
                        self.permit.shared.wake.notify_one();
                    }
                    return Some(Ok(event));
                }
                Taken::Error(error) => {
                    self.leave();
                    return Some(Err(error));
                }
                Taken::Empty => self.leave(),
                Taken::Resplit(chunk, limit) => self.cut(chunk, limit),
                Taken::Nothing => self.bell.notified().await,
            }
        }
    }

    /// Pulls chunks as far as there is room for them; the text's work happens here, outside any lock.
    fn offer(&mut self) {
        while !self.drained && self.permit.shared.board().has_room(self.id) {
            match self.chunks.next() {
                Some(chunk) => {
                    self.permit.shared.board().offer(self.id, chunk);
                    self.permit.shared.wake.notify_one();
                }
                None => self.drained = true,
            }
        }
    }

    fn cut(&mut self, chunk: Chunk, limit: usize) {
        let pieces = (self.resplit)(chunk, limit);
        self.permit.shared.board().replace_first(self.id, pieces);
        self.permit.shared.wake.notify_one();
    }

    fn leave(&mut self) {
        self.over = true;
        self.permit.shared.board().close(self.id);
        self.permit.shared.wake.notify_one();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.leave();
    }
}
