//! `GET /v1/models`, `GET /v1/models/{id}`, `GET /v1/audio/models`, `POST /v1/models/load` and `/unload`.

use super::body;
use crate::{
    ApiError, App, AppState, ErrorCode,
    api::{
        models::{AudioModel, AudioModelList, ModelDetail, ModelList, ModelName, ModelObject, VoiceName},
        object,
    },
    router::method_not_allowed,
};
use axum::{
    Json,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    http::{Method, Uri},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use stentor_types::ModelId;

/// `{"model": id}` needs no more.
const MAX_BODY: usize = 16 * 1024;

pub(crate) async fn list(State(app): State<AppState>) -> Response {
    let catalog = app.catalog();
    let data = catalog.models().iter().map(ModelObject::from).collect();
    Json(ModelList { object: "list", data }).into_response()
}

/// The models that can speak here, in the shape that Open WebUI reads.
pub(crate) async fn list_audio(State(app): State<AppState>) -> Response {
    let catalog = app.catalog();
    let installed = catalog.models().iter().filter(|model| model.installed);
    let models = installed.map(|model| AudioModel { id: model.id.as_str(), name: &model.name }).collect();
    Json(AudioModelList { models }).into_response()
}

pub(crate) async fn show(
    State(app): State<AppState>,
    method: Method,
    uri: Uri,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let id = read_id(id)?;
    if matches!(id.as_str(), "load" | "unload") && app.catalog().model(&ModelId::new(id.as_str())).is_none() {
        return Ok(method_not_allowed(method, uri).await);
    }
    detail(&app, &id)
}

/// `load` and `unload` stand where ids stand, since an id may hold slashes and no other route can be beside it.
pub(crate) async fn act(
    State(app): State<AppState>,
    uri: Uri,
    verb: Result<Path<String>, PathRejection>,
    body: Body,
) -> Result<Response, ApiError> {
    match read_id(verb)?.as_str() {
        "load" => load(&app, body).await,
        "unload" => unload(&app, body).await,
        _ => Ok(method_not_allowed(Method::POST, uri).await),
    }
}

/// Names of models are text.
fn read_id(id: Result<Path<String>, PathRejection>) -> Result<String, ApiError> {
    let bad =
        |_| ApiError::field(ErrorCode::InvalidValue, "model", "the model's name in the path is not UTF-8");
    id.map(|Path(id)| id).map_err(bad)
}

/// What a path below `/v1/models/` takes, which the router does not know, because ids and verbs are one route to it.
pub(crate) fn allowed(path: &str) -> Option<&'static str> {
    let rest = path.strip_prefix("/v1/models/")?;
    Some(if matches!(rest, "load" | "unload") { "POST" } else { "GET,HEAD" })
}

async fn load(app: &App, body: Body) -> Result<Response, ApiError> {
    let id = named(app, body).await?;
    app.supervisor.ready(&id).await?;
    detail(app, id.as_str())
}

async fn unload(app: &App, body: Body) -> Result<Response, ApiError> {
    let id = named(app, body).await?;
    app.supervisor.unload(&id).await?;
    detail(app, id.as_str())
}

/// The installed model that a body names.
async fn named(app: &App, body: Body) -> Result<ModelId, ApiError> {
    let bytes = body::read(body, MAX_BODY, app.settings().limits.body_timeout).await?;
    let fields = object(&bytes)?;
    let name: ModelName = serde_json::from_value(Value::Object(fields)).map_err(|e| {
        ApiError::field(
            ErrorCode::InvalidValue,
            "model",
            format!("the body must be {{\"model\": \"…\"}}: {e}"),
        )
    })?;
    let (catalog, settings) = (app.catalog(), app.settings());
    let model = catalog.resolve_model(Some(&name.model))?;
    let own = settings.of(&model.id);
    model.load_spec(own.device, own.precision, own.threads)?;
    Ok(model.id.clone())
}

fn detail(app: &App, id: &str) -> Result<Response, ApiError> {
    let catalog = app.catalog();
    let model = catalog.resolve_model(Some(id))?;
    let supervisor = &app.supervisor;
    let counters = supervisor.counters(&model.id).unwrap_or_default();
    let progress = supervisor.progress(&model.id).unwrap_or_default();
    let voices = catalog.voices(model).into_iter();
    let voices = voices.map(|voice| VoiceName { name: catalog.shown_name(model, voice) }).collect();
    let detail = ModelDetail::new((model, voices), supervisor.status(&model.id), counters, progress);
    Ok(Json(detail).into_response())
}
