//! `POST /v1/audio/speech`.

use crate::{
    ApiError, App, AppState, ErrorCode,
    api::speech::{Parsed, parse},
    encoded::{EncodedSynthesis, whole},
    synthesis::{self, Synthesis},
};
use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt as _, stream};
use std::io;
use stentor_types::{AudioFormat, SpeechRequest};

const DISCARD_UP_TO: usize = 64 * 1024 * 1024;

pub(crate) async fn create(State(app): State<AppState>, body: Body) -> Result<Response, ApiError> {
    let body = read(body, app.limits.max_body_bytes()).await?;
    let unresolved = parse(&body, &app.limits)?;
    let resolved = synthesis::resolve(&app, &unresolved.request).await?;
    let Parsed { request, ignored } = unresolved.resolve(&resolved.descriptor.params)?;
    let synthesis = synthesis::open(&app, &request, resolved)?;
    let headers = headers(&request, &synthesis, &ignored);
    if goes_out_whole(&app, &request, &synthesis)? {
        let bytes = whole(synthesis, request.format).await?;
        return Ok((headers, bytes).into_response());
    }
    Ok((headers, streamed(synthesis, request.format).await?).into_response())
}

/// Reads at most `limit` bytes. What a client sends beyond that is read and thrown away up to a bound, because a client
/// that is cut off while it writes reports a broken connection instead of our answer.
async fn read(body: Body, limit: usize) -> Result<Vec<u8>, ApiError> {
    let mut stream = body.into_data_stream();
    let (mut bytes, mut total) = (Vec::new(), 0);
    while let Some(piece) = stream.next().await {
        let piece =
            piece.map_err(|e| ApiError::new(ErrorCode::InvalidJson, format!("reading the body: {e}")))?;
        total += piece.len();
        if total > DISCARD_UP_TO {
            break;
        }
        if total <= limit {
            bytes.extend_from_slice(&piece);
        }
    }
    if total > limit {
        let message = format!("the body is larger than {limit} bytes");
        return Err(ApiError::new(ErrorCode::BodyTooLarge, message));
    }
    Ok(bytes)
}

fn goes_out_whole(app: &App, request: &SpeechRequest, synthesis: &Synthesis) -> Result<bool, ApiError> {
    let asked = request.stream == Some(false);
    let limit = app.limits.max_whole_chars;
    if asked && request.input.len() > limit && request.input.chars().count() > limit {
        let message = format!("`input` is too long for \"stream\": false, which takes {limit} characters");
        return Err(ApiError::field(ErrorCode::InputTooLarge, "stream", message));
    }
    Ok(asked || synthesis.single_chunk)
}

/// Waits for the first bytes, so that an early failure is still a proper error, then streams the rest.
/// A failure after that ends the body without its final chunk. Dropping the body drops the session.
async fn streamed(synthesis: Synthesis, format: AudioFormat) -> Result<Body, ApiError> {
    let mut encoded = EncodedSynthesis::new(synthesis, format)?;
    let first = encoded.next().await.transpose()?.unwrap_or_default();
    let rest = stream::unfold(encoded, |mut encoded| async move {
        let item = encoded.next().await?;
        let item = item.map_err(|error| {
            tracing::error!("the audio ends early: {error}");
            io::Error::other(error.to_string())
        });
        Some((item, encoded))
    });
    Ok(Body::from_stream(stream::once(async { Ok(first) }).chain(rest)))
}

fn headers(request: &SpeechRequest, synthesis: &Synthesis, ignored: &[String]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(request.format.content_type()));
    let mut put = |name: &'static str, value: &str| {
        // A name that no header can carry is spelled with escapes.
        let value = HeaderValue::from_str(value).unwrap_or_else(|_| {
            HeaderValue::from_str(&value.escape_default().to_string()).expect("escapes are ASCII")
        });
        headers.insert(HeaderName::from_static(name), value);
    };
    put("x-model", synthesis.model.as_str());
    put("x-voice", &synthesis.voice);
    if !ignored.is_empty() {
        put("x-ignored-params", &ignored.join(", "));
    }
    headers
}
