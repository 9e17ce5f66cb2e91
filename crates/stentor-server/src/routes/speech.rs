//! `POST /v1/audio/speech`.

use crate::{
    ApiError, App, AppState, ErrorCode,
    api::speech::{Parsed, parse},
    encoded::{EncodedSynthesis, whole},
    synthesis::{self, Synthesis},
};
use axum::{
    body::Body,
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use std::io;
use stentor_types::{AudioFormat, SpeechRequest};

pub(crate) async fn create(
    State(app): State<AppState>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let unresolved = parse(&read(body)?, &app.limits)?;
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

fn read(body: Result<Bytes, BytesRejection>) -> Result<Bytes, ApiError> {
    body.map_err(|rejection| {
        let code = match rejection.status().as_u16() {
            413 => ErrorCode::BodyTooLarge,
            _ => ErrorCode::InvalidJson,
        };
        ApiError::new(code, rejection.body_text())
    })
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
