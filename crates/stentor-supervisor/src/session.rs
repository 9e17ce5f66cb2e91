//! One request's conversation with a model: chunks in, ordered events out.

use crate::{
    AdmitError, SpeechError,
    board::{Manner, Offer, Taken},
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
    /// Of its session on the board.
    id: u64,
    bell: Arc<Notify>,
    since: Instant,
    deadline: Option<Instant>,
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
    /// Further styles: a chunk's `style` counts from one here, and zero means the fields above.
    pub styles: Vec<SessionStyle>,
    pub seed: u64,
    pub params: Params,
    /// What is added to `params`, or goes in its place, from the second chunk on.
    pub later: Params,
    /// Pulled lazily, in the task that calls [`Session::next`], at most two chunks ahead of what was consumed.
    pub chunks: Box<dyn Iterator<Item = Chunk> + Send>,
    pub resplit: Resplit,
}

/// What is different in some chunks of a request.
#[derive(Debug, Clone)]
pub struct SessionStyle {
    pub voice: VoiceSource,
    pub voice_digest: String,
    pub language: Language,
    pub speed: Speed,
    /// As [`SessionRequest::keep`], for chunks in this style.
    pub keep: Option<KeyBase>,
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

/// Speech on its way. Dropping it cancels its chunks in the worker at once, but for those that others wait for.
///
/// It holds the audio of two chunks at most; while nobody calls [`next`](Self::next), no further chunk is
/// synthesized for it, and other sessions are not held up.
pub struct Session {
    permit: Permit,
    /// By style, for the first chunk and for the others; never empty.
    manners: Vec<[(Arc<Manner>, Option<KeyBase>); 2]>,
    chunks: Box<dyn Iterator<Item = Chunk> + Send>,
    /// Pulled from `chunks` and not offered yet: it is being looked up.
    pulled: Option<Chunk>,
    resplit: Resplit,
    /// `chunks` has no more.
    drained: bool,
    /// The last event or the error has been given out.
    over: bool,
    /// Its first chunk was begun this long after its admission.
    queued: Option<Duration>,
}

impl Permit {
    pub(crate) fn new(shared: Arc<Shared>, ticket: Ticket) -> Result<Self, AdmitError> {
        let bell = Arc::new(Notify::new());
        let id = shared.enter(&ticket, Arc::clone(&bell))?;
        let since = Instant::now();
        // A deadline beyond what the clock can tell is none.
        let deadline = ticket.deadline.and_then(|deadline| since.checked_add(deadline));
        Ok(Self { _in_use: InUse::new(&shared), shared, id, bell, since, deadline })
    }

    /// The model that it is for.
    pub fn model(&self) -> &ModelId {
        &self.shared.model
    }

    /// When the request must have begun to be spoken.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Permit").field(&self.shared.model).finish()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.board().close(self.id);
        self.shared.wake.notify_one();
    }
}

impl Session {
    pub(crate) fn new(permit: Permit, request: SessionRequest) -> Self {
        let SessionRequest {
            voice,
            voice_digest,
            keep,
            language,
            speed,
            seed,
            params,
            later,
            styles,
            chunks,
            resplit,
        } = request;
        let first = SessionStyle { voice, voice_digest, language, speed, keep };
        let manner = |style: SessionStyle| {
            let SessionStyle { voice, voice_digest, language, speed, keep } = style;
            let manner = Manner { voice, voice_digest, language, speed, seed, params: params.clone() };
            let first = (Arc::new(manner), keep);
            if later.is_empty() {
                return [first.clone(), first];
            }
            let (mut manner, keep) = (Manner::clone(&first.0), &first.1);
            manner.params.extend(later.clone());
            // Parameters are sorted by their names.
            let keep = keep.as_ref().map(|keep| keep.with(format!("{later:?}").as_bytes()));
            [first, (Arc::new(manner), keep)]
        };
        let manners = std::iter::once(first).chain(styles).map(manner).collect();
        let (pulled, queued) = (None, None);
        Self { permit, manners, chunks, pulled, resplit, drained: false, over: false, queued }
    }

    /// From admission until the first chunk was handed to a worker or found in the store; `None` before that.
    pub fn queued(&self) -> Option<Duration> {
        self.queued.or_else(|| self.begun())
    }

    fn begun(&self) -> Option<Duration> {
        let begun = self.permit.shared.board().begun(self.permit.id)?;
        Some(begun.saturating_duration_since(self.permit.since))
    }

    /// The next event; `None` after the last one, and after an error. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<SessionEvent, SpeechError>> {
        loop {
            if self.over {
                return None;
            }
            self.offer().await;
            let taken = self.permit.shared.board().take(self.permit.id);
            match taken {
                Taken::Event(event) => {
                    if matches!(event, SessionEvent::ChunkEnd { .. }) {
                        // The window has moved.
                        self.permit.shared.wake.notify_one();
                    }
                    return Some(Ok(event));
                }
                Taken::Error(error) => return Some(Err(self.fail(error))),
                Taken::Empty => self.leave(),
                Taken::Resplit(chunk, limit) => self.cut(chunk, limit).await,
                Taken::Nothing => {
                    if let Some(late) = self.wait().await {
                        return Some(Err(self.fail(late)));
                    }
                }
            }
        }
    }

    /// Waits for the bell; an error when the deadline passes first and nothing has begun.
    async fn wait(&mut self) -> Option<SpeechError> {
        let deadline = self.permit.deadline.filter(|_| self.queued.is_none());
        let Some(deadline) = deadline else {
            self.permit.bell.notified().await;
            return None;
        };
        tokio::select! {
            biased;
            () = self.permit.bell.notified() => return None,
            () = tokio::time::sleep_until(deadline) => {}
        }
        if self.permit.shared.board().is_late(self.permit.id) {
            let waited_s = self.permit.since.elapsed().as_secs_f64().round() as u32;
            return Some(SpeechError::Late { waited_s });
        }
        // It has begun, so that the deadline is of no interest any more.
        self.queued = self.begun();
        None
    }

    /// Pulls chunks as far as there is room for them; the text's work happens here, outside any lock.
    async fn offer(&mut self) {
        while !self.drained && self.permit.shared.board().has_room(self.permit.id) {
            let Some(chunk) = self.pulled.take().or_else(|| self.chunks.next()) else {
                self.drained = true;
                self.permit.shared.board().drained(self.permit.id);
                return;
            };
            // Stays here while it is looked up: this future may be dropped meanwhile.
            self.pulled = Some(chunk.clone());
            let offer = self.look_up(chunk).await;
            self.pulled = None;
            self.permit.shared.board().offer(self.permit.id, offer, Instant::now());
            self.permit.shared.wake.notify_one();
        }
    }

    /// Asks the store for a chunk that nobody is waiting for already.
    async fn look_up(&mut self, chunk: Chunk) -> Offer {
        let [first, others] = &self.manners[chunk.style.min(self.manners.len() - 1)];
        let (manner, keep) = if chunk.index == 0 { first } else { others };
        let key = keep.as_ref().map(|keep| keep.chunk(&chunk.spoken));
        let sought = key.filter(|key| !self.permit.shared.board().is_live(key));
        let found = match (sought, &self.permit.shared.store) {
            (Some(key), Some(store)) => store.get(&key).await,
            _ => None,
        };
        Offer { manner: Arc::clone(manner), chunk, key, found }
    }

    async fn cut(&mut self, chunk: Chunk, limit: usize) {
        let mut pieces = Vec::new();
        for piece in (self.resplit)(chunk, limit) {
            pieces.push(self.look_up(piece).await);
        }
        self.permit.shared.board().replace_first(self.permit.id, pieces, Instant::now());
        self.permit.shared.wake.notify_one();
    }

    fn fail(&mut self, error: SpeechError) -> SpeechError {
        self.leave();
        error
    }

    fn leave(&mut self) {
        self.over = true;
        self.queued = self.queued();
        self.permit.shared.board().close(self.permit.id);
        self.permit.shared.wake.notify_one();
    }
}
