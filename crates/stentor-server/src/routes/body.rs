//! Reading a request's body within bounds of size and time.

use crate::{ApiError, ErrorCode};
use axum::body::Body;
use futures_util::StreamExt as _;
use std::{error::Error, io, time::Duration};
use tokio::time::timeout;

/// Beyond this a client is cut off; see [`start`].
const DISCARD_UP_TO: usize = 64 * 1024 * 1024;

/// A body as far as it is kept.
pub(crate) struct Start {
    pub(crate) bytes: Vec<u8>,
    /// Bytes that came beyond the limit.
    pub(crate) rest: usize,
}

/// Reads a body of at most `limit` bytes; a longer one is answered 413. See [`start`].
pub(crate) async fn read(body: Body, limit: usize, patience: Duration) -> Result<Vec<u8>, ApiError> {
    match start(body, limit, patience).await? {
        Start { bytes, rest: 0 } => Ok(bytes),
        Start { .. } => Err(too_large(limit)),
    }
}

pub(crate) fn too_large(limit: usize) -> ApiError {
    ApiError::new(ErrorCode::BodyTooLarge, format!("the body is larger than {limit} bytes"))
}

/// Reads a body and keeps its first `limit` bytes. What a client sends beyond that is read and thrown away up to a bound,
/// because a client that is cut off while it writes reports a broken connection instead of our answer. A client that has
/// not sent everything after `patience` is answered 408.
pub(crate) async fn start(body: Body, limit: usize, patience: Duration) -> Result<Start, ApiError> {
    timeout(patience, read_all(body, limit)).await.unwrap_or_else(|_| {
        let message = format!("the body was not complete after {} s", patience.as_secs());
        Err(ApiError::new(ErrorCode::BodyTimeout, message))
    })
}

async fn read_all(body: Body, limit: usize) -> Result<Start, ApiError> {
    let mut stream = body.into_data_stream();
    let (mut bytes, mut total) = (Vec::new(), 0_usize);
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|error| cut_short(&error))?;
        total += piece.len();
        if total > DISCARD_UP_TO {
            break;
        }
        let room = limit - bytes.len();
        bytes.extend_from_slice(&piece[..piece.len().min(room)]);
    }
    Ok(Start { rest: total.saturating_sub(limit), bytes })
}

/// A body in wrong chunks is a mistake; any other failure to read it means that nobody sends it any more.
fn cut_short(error: &axum::Error) -> ApiError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if matches!(kind, Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)) {
            return ApiError::new(ErrorCode::InvalidJson, format!("reading the body: {error}"));
        }
        cause = error.source();
    }
    ApiError::new(ErrorCode::ClientLeft, "the client left before its body was complete")
}
