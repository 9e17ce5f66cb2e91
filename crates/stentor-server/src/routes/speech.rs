//! `POST /v1/audio/speech`.

use super::stream;
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
use futures_util::StreamExt as _;
use stentor_types::SpeechRequest;

/// Beyond this a client is cut off; see [`read`].
const DISCARD_UP_TO: usize = 64 * 1024 * 1024;

pub(crate) async fn create(State(app): State<AppState>, body: Body) -> Result<Response, ApiError> {
    let body = read(body, app.limits.max_body_bytes()).await?;
    let unresolved = parse(&body, &app.limits)?;
    let resolved = synthesis::resolve(&app, &unresolved.request).await?;
    let Parsed { request, ignored } = unresolved.resolve(&resolved.descriptor.params)?;
    let synthesis = synthesis::open(&app, &request, resolved)?;
    let headers = headers(&request, &synthesis, &ignored);
    if goes_out_whole(&app, &request, &synthesis)? {
        let bytes = whole(synthesis, request.format, app.limits.max_whole_seconds).await?;
        return Ok((headers, bytes).into_response());
    }
    let encoded = EncodedSynthesis::new(synthesis, request.format)?;
    Ok((headers, stream::audio_body(encoded, app.limits.stalled_reader).await?).into_response())
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

/// Field names for a header: as many as fit a line that every client reads, and the number of the others.
fn shown(names: &[String]) -> String {
    const MOST: usize = 16;
    const LONGEST: usize = 64;
    let cut = |name: &String| name.chars().take(LONGEST).collect::<String>();
    let mut shown = names.iter().take(MOST).map(cut).collect::<Vec<_>>().join(", ");
    if names.len() > MOST {
        shown.push_str(", and more");
    }
    shown
}

fn headers(request: &SpeechRequest, synthesis: &Synthesis, ignored: &[String]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(request.format.content_type()));
    let mut put = |name: &'static str, value: &str| {
        // What is not ASCII is spelled with escapes, which any header can carry.
        let ascii = if value.is_ascii() { value.to_owned() } else { value.escape_default().to_string() };
        if let Ok(value) = HeaderValue::from_str(&ascii) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    put("x-model", synthesis.model.as_str());
    put("x-voice", &synthesis.voice);
    if !ignored.is_empty() {
        put("x-ignored-params", &shown(ignored));
    }
    headers
}
