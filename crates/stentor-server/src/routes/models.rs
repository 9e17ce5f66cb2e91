//! `GET /v1/models` and `GET /v1/models/{id}`.

use crate::{
    ApiError, AppState, ErrorCode,
    api::models::{ModelDetail, ModelList, ModelObject},
};
use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};

pub(crate) async fn list(State(app): State<AppState>) -> Response {
    let data = app.catalog.models().iter().map(ModelObject::from).collect();
    Json(ModelList { object: "list", data }).into_response()
}

pub(crate) async fn show(
    State(app): State<AppState>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let Path(id) = id.map_err(|e| ApiError::new(ErrorCode::ModelNotFound, e.body_text()))?;
    let model = app.catalog.resolve_model(Some(&id))?;
    let supervisor = &app.supervisor;
    let counters = supervisor.counters(&model.id).unwrap_or_default();
    let progress = supervisor.progress(&model.id).unwrap_or_default();
    let detail = ModelDetail::new(model, supervisor.status(&model.id), counters, progress);
    Ok(Json(detail).into_response())
}
