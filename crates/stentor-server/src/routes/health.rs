//! Probes. None of them touches a worker or waits for anything.

use crate::{
    App, AppState,
    api::models::{state_name, why_name},
};
use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use stentor_supervisor::ModelStatus;
use stentor_types::ModelId;
use utoipa::ToSchema;

/// The HTTP plane answers.
pub(crate) async fn live() -> &'static str {
    "ok"
}

/// The body of `/readyz`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Readiness<'a> {
    /// `ready`, `degraded` or `unavailable`.
    status: &'static str,
    reason: Option<&'a str>,
    /// The default one.
    model: &'a str,
    /// Who would speak now.
    serving: Option<&'a str>,
    /// The default model's, as in `/v1/models/{id}`.
    state: Option<&'static str>,
    /// Of the state: what it died of, or why it was unloaded.
    detail: Option<&'a str>,
}

/// What a probe is told.
struct Verdict {
    status: &'static str,
    reason: Option<String>,
    /// Who would speak now.
    serving: Option<ModelId>,
}

/// The default model, or one of its fallbacks, has spoken since start and can speak again; not draining.
pub(crate) async fn ready(State(app): State<AppState>) -> Response {
    let status = app.supervisor.status(&app.default_model);
    let verdict = verdict(&app, status.as_ref());
    let code = if verdict.status == "unavailable" { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let body = Readiness {
        status: verdict.status,
        reason: verdict.reason.as_deref(),
        model: app.default_model.as_str(),
        serving: verdict.serving.as_ref().map(ModelId::as_str),
        state: status.as_ref().map(|status| state_name(status.state)),
        detail: status.as_ref().and_then(detail),
    };
    (code, Json(body)).into_response()
}

fn detail(status: &ModelStatus) -> Option<&str> {
    status.reason.as_deref().or_else(|| status.why_unloaded.map(why_name))
}

fn verdict(app: &App, status: Option<&ModelStatus>) -> Verdict {
    let unavailable =
        |reason: &str| Verdict { status: "unavailable", reason: Some(reason.to_owned()), serving: None };
    if app.readiness.is_draining() {
        return unavailable("draining");
    }
    let model = &app.default_model;
    let Some(objection) = app.readiness.objection(model, status) else {
        let degraded = status.and_then(|status| status.descriptor.as_ref()?.degraded.clone());
        let word = if degraded.is_some() { "degraded" } else { "ready" };
        return Verdict { status: word, reason: degraded, serving: Some(model.clone()) };
    };
    let able = |id: &ModelId| app.readiness.objection(id, app.supervisor.status(id).as_ref()).is_none();
    match app.fallback_of(model).into_iter().find(able) {
        Some(id) => Verdict { status: "degraded", reason: Some(objection.to_owned()), serving: Some(id) },
        None if app.readiness.is_fetching() => unavailable("the model's files are being fetched"),
        None => unavailable(objection),
    }
}
