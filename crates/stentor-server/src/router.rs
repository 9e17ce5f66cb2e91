//! Every route of the server, on one page.

use crate::{
    ApiError, AppState, ErrorCode, middleware, page,
    routes::{health, metrics, models, phonemize, speech, voices},
};
use axum::{
    Router,
    http::{Method, Uri},
    middleware::from_fn_with_state,
    routing::{get, post},
};

pub fn router(state: AppState) -> Router {
    Router::new()
        .route("/", get(page::index))
        .route("/page/{name}", get(page::file))
        .route("/v1/audio/speech", post(speech::create))
        // Some clients leave `/v1` out of their base URL.
        .route("/audio/speech", post(speech::create))
        .route("/v1/audio/phonemize", post(phonemize::create))
        .route("/v1/audio/voices", get(voices::list))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::show).post(models::act))
        // Probes live at the root: a 200 under `/v1` makes some clients take us for another server.
        .route("/livez", get(health::live))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/health", get(health::ready))
        .route("/metrics", get(metrics::show))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(state.clone(), middleware::request_context))
        .with_state(state)
}

async fn not_found(uri: Uri) -> ApiError {
    ApiError::new(ErrorCode::NotFound, format!("there is no route `{}`", uri.path()))
}

pub(crate) async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    ApiError::new(ErrorCode::MethodNotAllowed, format!("`{}` does not take {method}", uri.path()))
}
