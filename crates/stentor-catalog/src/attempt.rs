//! One attempt at fetching files with hf-hub, in a runtime of its own.
//!
//! hf-hub 0.5 fetches a file in parts and keeps a count of finished ones at the end of `blobs/<etag>.sync.part`,
//! so that a later attempt asks for the rest with a Range header. A part that was cut is fetched again whole. When
//! one part fails, its tasks for the other parts run on unseen, and it has no timeouts; so an attempt gets a
//! runtime that is dropped, tasks and all, when the attempt ends or nothing arrives for [`STALL`].

use crate::{CatalogError, PullEvent, fetch::Fetch};
use hf_hub::api::tokio::Progress;
use std::{fs::File, io, path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// Bytes that are fetched by one request, and lost at most when a connection is cut.
pub(crate) const PART: usize = 8 << 20;
/// Nothing for so long means that the connection is dead.
const STALL: Duration = Duration::from_secs(20);

pub(crate) enum Failure {
    /// Another attempt may get further.
    Passing(CatalogError),
    /// The hub was reached and said nothing for [`STALL`]: worth one more attempt.
    Silent(CatalogError),
    Final(CatalogError),
}

impl From<CatalogError> for Failure {
    fn from(error: CatalogError) -> Self {
        Self::Final(error)
    }
}

/// Runs `fetch` and hands its events on, each with the bytes that came over the network for the current file.
/// Dropping the returned future ends the attempt; `held` is let go when it has really ended.
pub(crate) async fn contained(
    (fetch, held): (Fetch, Arc<File>),
    repository: &str,
    mut on_event: impl FnMut(PullEvent, u64),
) -> Result<(String, PathBuf), Failure> {
    let (events, mut incoming) = mpsc::channel(64);
    let broken = |message: String| CatalogError::Hub {
        repository: repository.to_owned(),
        file: "files".to_owned(),
        message,
    };
    let attempt = tokio::task::spawn_blocking(move || {
        let _held = held;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let abandoned = events.clone();
        runtime.block_on(async move {
            tokio::select! {
                result = fetch.run(events) => Ok(result),
                () = abandoned.closed() => Err(io::Error::other("the pull was given up")),
            }
        })
    });
    let mut bytes_of_file = 0;
    let mut verifying = false;
    loop {
        // Hashing a large file on a slow disk is silent, but not dead.
        let patience = if verifying { Duration::MAX } else { STALL };
        match tokio::time::timeout(patience, incoming.recv()).await {
            Ok(Some(Note::Event(event))) => {
                verifying = matches!(event, PullEvent::Verify { .. });
                if let PullEvent::Start { .. } = event {
                    bytes_of_file = 0;
                }
                on_event(event, bytes_of_file);
            }
            Ok(Some(Note::Resumed(bytes))) => on_event(PullEvent::Advance { bytes }, bytes_of_file),
            Ok(Some(Note::Received(bytes))) => {
                bytes_of_file += bytes;
                on_event(PullEvent::Advance { bytes }, bytes_of_file);
            }
            Ok(None) => break,
            Err(_) => {
                let message = format!("nothing arrived for {} seconds", STALL.as_secs());
                return Err(Failure::Silent(broken(message)));
            }
        }
    }
    match attempt.await {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => Err(Failure::Final(broken(error.to_string()))),
        Err(error) => Err(Failure::Final(broken(error.to_string()))),
    }
}

pub(crate) enum Note {
    Event(PullEvent),
    /// Bytes of the current file that an earlier attempt had fetched.
    Resumed(u64),
    Received(u64),
}

/// hf-hub's view of the channel. Its first `update` of a file tells the bytes that were there already.
#[derive(Clone)]
pub(crate) struct Reporter {
    notes: mpsc::Sender<Note>,
    place: (usize, usize),
    resumed: bool,
}

impl Reporter {
    /// `place`: the file's index and the number of files.
    pub(crate) fn new(notes: mpsc::Sender<Note>, place: (usize, usize)) -> Self {
        Self { notes, place, resumed: false }
    }
}

impl Progress for Reporter {
    async fn init(&mut self, size: usize, file: &str) {
        let (index, files) = self.place;
        let event = PullEvent::Start { file: file.to_owned(), size: size as u64, index, files };
        // Nobody listens any more only when the attempt is being dropped.
        let _ = self.notes.send(Note::Event(event)).await;
    }

    async fn update(&mut self, size: usize) {
        let bytes = size as u64;
        let note = if self.resumed { Note::Received(bytes) } else { Note::Resumed(bytes) };
        self.resumed = true;
        let _ = self.notes.send(note).await;
    }

    async fn finish(&mut self) {}
}
