//! Every route of the server, on one page.

use crate::{
    ApiError, AppState, ErrorCode, access, middleware, page,
    routes::{docs, health, metrics, models, phonemize, speech, voices},
};
use axum::{
    Router,
    http::{Method, Uri, header},
    middleware::from_fn_with_state,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};

pub fn router(state: AppState) -> Router {
    let cors = access::cors(&state.settings().access);
    let routes = Router::new()
        .route("/", get(page::index))
        .route("/page/{name}", get(page::file))
        .route("/v1/audio/speech", post(speech::create))
        .route("/v1/audio/voices", get(voices::list).post(voices::create))
        .route("/v1/audio/voices/{id}", get(voices::show).delete(voices::delete))
        .route("/v1/audio/models", get(models::list_audio))
        .route("/openapi.json", get(docs::document))
        .route("/docs", get(docs::redirect))
        .route("/docs/", get(docs::index))
        .route("/docs/{*file}", get(docs::file))
        // For clients whose base URL lacks the `/v1`, and for those that look for voices here.
        .route("/audio/speech", post(speech::create))
        .route("/v1/audio/phonemize", post(phonemize::create))
        .route("/audio/phonemize", post(phonemize::create))
        .route("/audio/voices", get(voices::list).post(voices::create))
        .route("/audio/voices/{id}", get(voices::show).delete(voices::delete))
        .route("/audio/models", get(models::list_audio))
        .route("/v1/voices", get(voices::list))
        .route("/v1/models", get(models::list))
        .route("/models", get(models::list))
        .route("/v1/models/{*id}", get(models::show).post(models::act))
        // Probes live at the root: a 200 under `/v1` makes some clients take us for another server.
        .route("/livez", get(health::live))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/health", get(health::ready))
        .route("/metrics", get(metrics::show))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(state.clone(), access::guard));
    // Around the guard: a browser asks without a key whether it may ask with one.
    let routes = match cors {
        Some(cors) => routes.layer(cors),
        None => routes,
    };
    routes.layer(from_fn_with_state(state.clone(), middleware::request_context)).with_state(state)
}

async fn not_found(uri: Uri) -> ApiError {
    ApiError::new(ErrorCode::NotFound, format!("there is no route `{}`", uri.path()))
}

pub(crate) async fn method_not_allowed(method: Method, uri: Uri) -> Response {
    let error =
        ApiError::new(ErrorCode::MethodNotAllowed, format!("`{}` does not take {method}", uri.path()));
    match models::allowed(uri.path()) {
        Some(allowed) => ([(header::ALLOW, allowed)], error).into_response(),
        // The router names them.
        None => error.into_response(),
    }
}
