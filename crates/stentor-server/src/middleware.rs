//! What surrounds every request: its id, and one log line when the head of the response goes out.

use crate::AppState;
use axum::{
    extract::{Request, State},
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use std::sync::atomic::Ordering;
use tokio::time::Instant;
use tracing::Instrument as _;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Takes the client's `x-request-id` or mints one, gives it to the log and sends it back.
pub(crate) async fn request_context(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let id = request.headers().get(&REQUEST_ID).filter(|id| is_sane(id)).cloned();
    let id = id.unwrap_or_else(|| mint(&state));
    let name = id.to_str().unwrap_or_default();
    let span =
        tracing::info_span!("request", id = name, method = %request.method(), path = request.uri().path());
    let quiet = is_probe(request.uri().path());
    let started = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    if !quiet {
        let status = response.status().as_u16();
        span.in_scope(|| tracing::info!(status, ms = started.elapsed().as_millis() as u64, "answered"));
    }
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// Probes come every few seconds and would drown the log.
fn is_probe(path: &str) -> bool {
    matches!(path, "/livez" | "/healthz" | "/readyz" | "/health" | "/metrics")
}

/// Ids go into logs and headers: short and printable only.
fn is_sane(id: &HeaderValue) -> bool {
    (1..=128).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
}

fn mint(state: &AppState) -> HeaderValue {
    let number = state.request_counter.fetch_add(1, Ordering::Relaxed);
    let id = format!("req_{:08x}{number:06x}", (state.random)() as u32);
    HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("req_0"))
}
