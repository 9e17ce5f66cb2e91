//! A body that is spoken while it is sent.

use super::{
    captions::SpokenCaptions,
    sse::{self, Events},
};
use crate::{ApiError, encoded::EncodedSynthesis, error::one_line, synthesis::Spoken};
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use std::{io, pin::pin, time::Duration};
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    time::{sleep, timeout},
};
use tracing::Instrument as _;

/// Events that say nothing come after this long without one: proxies and clients close what is silent for long.
const BEAT: Duration = Duration::from_secs(5);

/// What the speaking task hands to the body. A body that ends without `End` was cut short.
#[derive(Debug, PartialEq)]
enum Part {
    Bytes(Bytes),
    End,
}

/// Where the bytes of a body come from.
pub(super) enum Source {
    File(EncodedSynthesis),
    Events(Events),
    Captions(SpokenCaptions),
}

impl Source {
    /// The next bytes, never empty; `None` at the end.
    async fn next(&mut self) -> Option<Result<Bytes, ApiError>> {
        match self {
            // Nobody takes the words of a file.
            Self::File(encoded) => loop {
                match encoded.next_stretch().await? {
                    Ok(stretch) if stretch.bytes.is_empty() => {}
                    stretch => return Some(stretch.map(|stretch| stretch.bytes)),
                }
            },
            Self::Events(events) => events.next().await,
            Self::Captions(captions) => captions.next().await,
        }
    }

    fn spoken(&self) -> Spoken {
        match self {
            Self::File(encoded) => encoded.spoken(),
            Self::Events(events) => events.spoken(),
            Self::Captions(captions) => captions.spoken(),
        }
    }

    /// What may stand between any two stretches and means nothing, in a form that has such a thing.
    fn filler(&self) -> Option<(Bytes, Duration)> {
        matches!(self, Self::Events(_)).then_some((sse::FILLER, BEAT))
    }

    /// How an error is told in the body itself, where its form has words for that.
    fn telling(&self, error: &ApiError) -> Option<Bytes> {
        matches!(self, Self::Events(_)).then(|| sse::failure(error))
    }
}

/// Waits for the first bytes, so that an early failure is still a proper error, then streams the rest from a task of its
/// own. The session, and with it the engine, is freed when the body is dropped or not read for `stalled`.
/// A failure is told by an event where there are events; else it ends the body without its final chunk, which every
/// client reports.
pub(super) async fn body(mut source: Source, stalled: Duration) -> Result<Body, ApiError> {
    let first = source.next().await.transpose()?.unwrap_or_default();
    let (parts, received) = channel(1);
    tokio::spawn(speak(source, first, parts, stalled).in_current_span());
    Ok(Body::from_stream(stream::unfold(Some(received), next_part)))
}

async fn speak(mut source: Source, first: Bytes, parts: Sender<Part>, stalled: Duration) {
    let mut part = Part::Bytes(first);
    let mut failed = false;
    loop {
        let last = matches!(part, Part::End);
        match timeout(stalled, parts.send(part)).await {
            Ok(Ok(())) if !last => {}
            Ok(Ok(())) if failed => return,
            Ok(Ok(())) => return log_end(&source.spoken()),
            Ok(Err(_)) => return tracing::info!("the client left"),
            Err(_) => {
                return tracing::warn!("the client has not read for {stalled:?}; its audio is given up");
            }
        }
        if failed {
            part = Part::End;
            continue;
        }
        let filler = source.filler();
        let Some(next) = meanwhile(source.next(), &parts, filler).await else {
            return tracing::info!("the client left");
        };
        part = match next {
            Some(Ok(bytes)) => Part::Bytes(bytes),
            Some(Err(error)) => {
                log_early_end(&error);
                failed = true;
                let Some(bytes) = source.telling(&error) else { return };
                Part::Bytes(bytes)
            }
            None => Part::End,
        };
    }
}

/// Waits for `work`, filling each silence of the length that comes with the filler; `None` when the client leaves before it
/// is done.
async fn meanwhile<T>(
    work: impl Future<Output = T>,
    parts: &Sender<Part>,
    filler: Option<(Bytes, Duration)>,
) -> Option<T> {
    let mut work = pin!(work);
    let (filler, beat) = filler.map_or((None, Duration::ZERO), |(filler, beat)| (Some(filler), beat));
    loop {
        tokio::select! {
            done = &mut work => return Some(done),
            () = parts.closed() => return None,
            () = sleep(beat), if filler.is_some() => {
                // Where the last part has not been read yet, there is no silence to fill.
                let _ = parts.try_send(Part::Bytes(filler.clone().unwrap_or_default()));
            }
        }
    }
}

fn log_end(spoken: &Spoken) {
    let Spoken { audio, chars, took, .. } = *spoken;
    tracing::info!(audio_s = format_args!("{audio:.2}"), chars, ms = took.as_millis() as u64, "spoken");
}

fn log_early_end(error: &ApiError) {
    let message = one_line(&error.message);
    if error.is_failure() {
        let detail = error.detail.as_deref().unwrap_or_default();
        tracing::error!(detail, "the audio ends early: {message}");
    } else {
        tracing::warn!("the audio ends early: {message}");
    }
}

async fn next_part(received: Option<Receiver<Part>>) -> Option<(io::Result<Bytes>, Option<Receiver<Part>>)> {
    let mut received = received?;
    match received.recv().await {
        Some(Part::Bytes(bytes)) => Some((Ok(bytes), Some(received))),
        Some(Part::End) => None,
        None => Some((Err(io::Error::other("the audio ends early")), None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEAT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn silence_is_filled_where_there_is_something_to_fill_it_with() {
        let (parts, mut received) = channel(1);
        let long = || async {
            sleep(BEAT * 10).await;
            7
        };
        let reading = async {
            let mut fillers = 0;
            while let Some(part) = received.recv().await {
                assert_eq!(part, Part::Bytes(sse::FILLER));
                fillers += 1;
            }
            fillers
        };
        let speaking = async {
            assert_eq!(meanwhile(long(), &parts, None).await, Some(7));
            assert_eq!(meanwhile(long(), &parts, Some((sse::FILLER, BEAT))).await, Some(7));
            drop(parts);
        };
        let fillers = tokio::join!(reading, speaking).0;
        assert!((1..=10).contains(&fillers), "{fillers} fillers in ten beats");
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_holds_nothing_up_and_one_that_leaves_ends_it() {
        let (parts, received) = channel(1);
        let filler = || Some((sse::FILLER, BEAT));
        assert_eq!(meanwhile(sleep(BEAT * 5), &parts, filler()).await, Some(()));
        drop(received);
        assert_eq!(meanwhile(std::future::pending::<()>(), &parts, filler()).await, None);
    }
}
