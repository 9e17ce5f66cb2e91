//! A body that is spoken while it is sent.

use crate::{ApiError, encoded::EncodedSynthesis, synthesis::Spoken};
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use std::{io, time::Duration};
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    time::timeout,
};
use tracing::Instrument as _;

/// What the speaking task hands to the body. A body that ends without `End` was cut short.
enum Part {
    Audio(Bytes),
    End,
}

/// Waits for the first bytes, so that an early failure is still a proper error, then streams the rest from a task of its
/// own. The session, and with it the engine, is freed when the body is dropped or not read for `stalled`.
/// A failure ends the body without its final chunk, which every client reports.
pub(super) async fn audio_body(mut encoded: EncodedSynthesis, stalled: Duration) -> Result<Body, ApiError> {
    let first = encoded.next().await.transpose()?.unwrap_or_default();
    let (parts, received) = channel(1);
    tokio::spawn(speak(encoded, first, parts, stalled).in_current_span());
    Ok(Body::from_stream(stream::unfold(Some(received), next_part)))
}

async fn speak(mut encoded: EncodedSynthesis, first: Bytes, parts: Sender<Part>, stalled: Duration) {
    let mut part = Part::Audio(first);
    loop {
        let last = matches!(part, Part::End);
        match timeout(stalled, parts.send(part)).await {
            Ok(Ok(())) if !last => {}
            Ok(Ok(())) => return log_end(&encoded.spoken()),
            Ok(Err(_)) => return tracing::info!("the client left"),
            Err(_) => {
                return tracing::warn!("the client has not read for {stalled:?}; its audio is given up");
            }
        }
        let next = tokio::select! {
            next = encoded.next() => next,
            () = parts.closed() => return tracing::info!("the client left"),
        };
        part = match next {
            Some(Ok(bytes)) => Part::Audio(bytes),
            Some(Err(error)) => {
                return log_early_end(&error);
            }
            None => Part::End,
        };
    }
}

fn log_end(spoken: &Spoken) {
    let Spoken { audio, chars, took } = *spoken;
    tracing::info!(audio_s = format_args!("{audio:.2}"), chars, ms = took.as_millis() as u64, "spoken");
}

fn log_early_end(error: &ApiError) {
    if error.is_failure() {
        let detail = error.detail.as_deref().unwrap_or_default();
        tracing::error!(detail, "the audio ends early: {error}");
    } else {
        tracing::warn!("the audio ends early: {error}");
    }
}

async fn next_part(received: Option<Receiver<Part>>) -> Option<(io::Result<Bytes>, Option<Receiver<Part>>)> {
    let mut received = received?;
    match received.recv().await {
        Some(Part::Audio(bytes)) => Some((Ok(bytes), Some(received))),
        Some(Part::End) => None,
        None => Some((Err(io::Error::other("the audio ends early")), None)),
    }
}
