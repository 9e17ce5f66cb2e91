//! `GET /v1/audio/voices`.

use crate::{
    ApiError, AppState, ErrorCode,
    api::voices::{VoiceFilter, VoiceList, VoiceObject},
};
use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    response::{IntoResponse, Response},
};

/// The voices of one model, the default one unless `?model=` names another.
pub(crate) async fn list(
    State(app): State<AppState>,
    filter: Result<Query<VoiceFilter>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(filter) = filter.map_err(|e| ApiError::new(ErrorCode::InvalidValue, e.body_text()))?;
    let catalog = app.catalog();
    let model = catalog.resolve_model(filter.model.as_deref().filter(|name| !name.is_empty()))?;
    let voices = catalog.voices(model).into_iter().map(VoiceObject::from).collect();
    Ok(Json(VoiceList::new(voices)).into_response())
}
