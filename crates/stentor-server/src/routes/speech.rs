//! `POST /v1/audio/speech`.

use super::{body, stream};
use crate::{
    ApiError, App, AppState, ErrorCode, Terms,
    api::speech::{Unresolved, parse},
    encoded::{EncodedSynthesis, whole},
    metrics::RequestMeter,
    synthesis::{self, Request, Synthesis},
};
use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use stentor_types::SpeechRequest;
use tokio::time::Instant;

pub(crate) async fn create(
    State(app): State<AppState>,
    terms: Result<Terms, ApiError>,
    body: Body,
) -> Response {
    let mut meter = app.metrics.request();
    let response = match answer(&app, terms, body, &mut meter).await {
        Ok(response) => response,
        Err(error) => {
            if matches!(error.code.status().as_u16(), 429 | 503) {
                app.metrics.rejected(error.code.name());
            }
            error.into_response()
        }
    };
    meter.answered(response.status().as_u16());
    response
}

async fn answer(
    app: &App,
    terms: Result<Terms, ApiError>,
    body: Body,
    meter: &mut RequestMeter<'_>,
) -> Result<Response, ApiError> {
    let since = Instant::now();
    let limits = app.settings().limits;
    // Read before anything is refused, so that the client hears why instead of being cut off while it writes.
    let body = body::read(body, limits.max_body_bytes(), limits.body_timeout).await?;
    let terms = terms?;
    let parsed = parse(&body, &limits)?;
    drop(body);
    let Unresolved { request: speech, lane, cache, .. } = &parsed;
    meter.format(speech.format);
    let terms = Terms { lane: terms.lane.or(*lane), keep: *cache, ..terms };
    let read_params = |specs: &[_]| parsed.params(specs);
    let request = Request { params: Some(&read_params), since, ..Request::new(speech, terms) };
    refuse_long_whole(app, speech)?;
    let synthesis = synthesis::begin(app, request).await?;
    meter.model(&synthesis.model);
    let headers = headers(speech, &synthesis, &parsed.ignored(&synthesis.params));
    if speech.stream == Some(false) || synthesis.one_piece {
        let bytes = whole(synthesis, speech.format, limits.max_whole_seconds).await?;
        return Ok((headers, bytes).into_response());
    }
    let encoded = EncodedSynthesis::new(synthesis, speech.format)?;
    Ok((headers, stream::audio_body(encoded, limits.stalled_reader).await?).into_response())
}

/// A text that is too long to be sent whole is refused before anything of it is spoken.
fn refuse_long_whole(app: &App, speech: &SpeechRequest) -> Result<(), ApiError> {
    let limit = app.settings().limits.max_whole_chars;
    let asked = speech.stream == Some(false);
    if asked && speech.input.len() > limit && speech.input.chars().count() > limit {
        let message = format!("`input` is too long for \"stream\": false, which takes {limit} characters");
        return Err(ApiError::field(ErrorCode::InputTooLarge, "stream", message));
    }
    Ok(())
}

/// Field names for a header: as many as fit a line that every client reads, and the number of the others.
pub(super) fn shown(names: &[String]) -> String {
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
    put("x-watermark", synthesis.watermark.as_deref().unwrap_or("none"));
    if let Some(asked) = &synthesis.fallback_from {
        put("x-fallback-from", asked.as_str());
    }
    if !ignored.is_empty() {
        put("x-ignored-params", &shown(ignored));
    }
    headers
}
