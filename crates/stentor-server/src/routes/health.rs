//! Probes. None of them touches a worker or waits for anything.

use crate::{AppState, api::models::state_name};
use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;
use stentor_supervisor::ModelState;

/// The HTTP plane answers.
pub(crate) async fn live() -> &'static str {
    "ok"
}

/// The default model has spoken since start and can speak again; not draining.
pub(crate) async fn ready(State(app): State<AppState>) -> Response {
    let state = app.supervisor.status(&app.default_model).map_or(ModelState::Failed, |status| status.state);
    let reason = if app.readiness.is_draining() {
        Some("draining")
    } else if !app.readiness.has_passed_canary() {
        Some("the default model has not spoken yet")
    } else {
        match state {
            // An unloaded model loads on demand.
            ModelState::Ready | ModelState::Unloaded => None,
            ModelState::Starting => Some("the default model is loading"),
            ModelState::Draining => Some("the default model is being unloaded"),
            ModelState::Backoff => Some("the default model's worker crashed and restarts"),
            ModelState::Failed => Some("the default model can't be loaded"),
        }
    };
    let status = if reason.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "status": if reason.is_none() { "ready" } else { "unavailable" },
        "reason": reason,
        "model": app.default_model.as_str(),
        "state": state_name(state),
    });
    (status, Json(body)).into_response()
}
