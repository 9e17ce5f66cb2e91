//! `GET /metrics`.

use crate::{ApiError, AppState};
use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};

pub(crate) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(crate) async fn show(State(app): State<AppState>) -> Result<Response, ApiError> {
    let text = app.metrics.text().map_err(|e| ApiError::internal(format!("writing the metrics: {e}")))?;
    Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response())
}
