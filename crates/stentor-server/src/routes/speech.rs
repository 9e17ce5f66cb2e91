//! `POST /v1/audio/speech`.

use super::{
    body,
    captions::SpokenCaptions,
    sse::Events,
    stream::{self, Source},
};
use crate::{
    ApiError, App, AppState, ErrorCode, Limits, Terms,
    api::{
        delivery::{Delivery, Form},
        speech::{Unresolved, parse},
    },
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
use stentor_types::{AudioFormat, SampleRate, SpeechRequest};
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
    let Unresolved { request: speech, delivery, lane, cache, .. } = &parsed;
    meter.format(delivery.form.name());
    let terms = Terms { lane: terms.lane.or(*lane), keep: *cache, ..terms };
    let read_params = |specs: &[_]| parsed.params(specs);
    let lexicon = parsed.lexicon.as_ref();
    let request = Request { params: Some(&read_params), lexicon, since, ..Request::new(speech, terms) };
    refuse_long_whole(app, speech)?;
    let synthesis = synthesis::begin(app, request).await?;
    meter.model(&synthesis.model);
    let mut ignored = parsed.ignored(&synthesis.params);
    ignored.extend(synthesis.ignored.iter().cloned());
    let headers = headers(*delivery, &synthesis, &ignored);
    let at_once = speech.stream == Some(false) || synthesis.one_piece;
    let body = answer_body(synthesis, *delivery, at_once, &limits).await?;
    Ok((headers, body).into_response())
}

/// What is sent: all of it `at_once`, or as it is spoken.
async fn answer_body(
    synthesis: Synthesis,
    Delivery { form, rate }: Delivery,
    at_once: bool,
    limits: &Limits,
) -> Result<Body, ApiError> {
    let source = match form {
        Form::File(format) if at_once => {
            return Ok(whole(synthesis, (format, rate), limits.max_whole_seconds).await?.into());
        }
        Form::File(format) => Source::File(EncodedSynthesis::new(synthesis, format, rate)?),
        Form::Events { format, words } => {
            Source::Events(Events::new(EncodedSynthesis::new(synthesis, format, rate)?, words))
        }
        Form::Captions { format, per_word } => {
            let captions = SpokenCaptions::new(synthesis, format, per_word);
            if at_once {
                return Ok(captions.whole().await?.into());
            }
            Source::Captions(captions)
        }
    };
    stream::body(source, limits.stalled_reader).await
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

/// The value of `Content-Type`.
fn content_type(Delivery { form, rate }: Delivery) -> HeaderValue {
    match form {
        Form::File(AudioFormat::Pcm) if rate != SampleRate::HZ_24000 => {
            HeaderValue::try_from(format!("audio/pcm;rate={}", rate.0))
                .unwrap_or(HeaderValue::from_static("audio/pcm"))
        }
        Form::File(format) => HeaderValue::from_static(format.content_type()),
        Form::Events { .. } => HeaderValue::from_static("text/event-stream"),
        Form::Captions { format, .. } => HeaderValue::from_static(format.content_type()),
    }
}

fn headers(delivery: Delivery, synthesis: &Synthesis, ignored: &[String]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, content_type(delivery));
    if matches!(delivery.form, Form::Events { .. }) {
        // A proxy that gathers events, or keeps them, would make a stream of them useless.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    }
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
    headers.extend(ignored_header(ignored));
    headers
}

/// Names what had no effect, if anything hadn't.
pub(super) fn ignored_header(ignored: &[String]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let names = shown(ignored);
    // What is not ASCII is spelled with escapes, which any header can carry.
    let ascii = if names.is_ascii() { names } else { names.escape_default().to_string() };
    if let Some(value) = HeaderValue::from_str(&ascii).ok().filter(|_| !ignored.is_empty()) {
        headers.insert(HeaderName::from_static("x-ignored-params"), value);
    }
    headers
}
