//! `GET` and `POST /v1/audio/voices`, `GET` and `DELETE /v1/audio/voices/{id}`.

use super::{
    body::{self, Start},
    speech::shown,
};
use crate::{
    ApiError, App, AppState, ErrorCode,
    access::Scope,
    api::{
        upload::{self, DeletedVoice, Upload},
        voices::{LegacyVoiceList, VoiceDetail, VoiceFilter, VoiceList, VoiceObject},
    },
    voice_store,
};
use axum::{
    Json,
    body::Body,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use tokio::task::spawn_blocking;

/// The voices of one model if `?model=` names one; else those of the default model and all that were uploaded, so that
/// whoever uploaded a voice finds it, and can delete it, also where nobody speaks with it.
pub(crate) async fn list(
    State(app): State<AppState>,
    scope: Scope,
    filter: Result<Query<VoiceFilter>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(filter) = filter.map_err(|e| ApiError::new(ErrorCode::InvalidValue, e.body_text()))?;
    let catalog = app.catalog();
    let model = catalog.resolve_model(filter.model())?;
    let mut voices = catalog.voices(model);
    if filter.is_legacy()? {
        // Strings that speak, and nothing else.
        let string = |voice| match scope {
            Scope::Full => catalog.shown_name(model, voice),
            Scope::Ids => voice.id.as_str(),
        };
        let voices = voices.into_iter().map(string).collect();
        return Ok(Json(LegacyVoiceList { voices }).into_response());
    }
    if filter.model().is_none() {
        let others = catalog.uploaded().filter(|own| voices.iter().all(|voice| voice.id != own.id));
        voices.extend(others.collect::<Vec<_>>());
    }
    let voices = voices.into_iter().map(|voice| VoiceObject::listed(&catalog, voice, scope)).collect();
    Ok(Json(VoiceList::new(voices)).into_response())
}

/// Takes a recording in and answers with the voice that it has become, which can be used at once.
pub(crate) async fn create(
    State(app): State<AppState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let Ok(_place) = app.uploads.try_acquire() else {
        let message = "too many voices are being uploaded";
        return Err(ApiError {
            retry_after_s: Some(1),
            ..ApiError::new(ErrorCode::RateLimitExceeded, message)
        });
    };
    let limits = app.settings().limits;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let most = limits.max_voice_bytes + upload::FORM;
    let Start { bytes: body, rest } = body::start(body, most, limits.body_timeout).await?;
    if rest > 0 {
        return Err(upload::too_large(kind, body, limits.max_voice_bytes).await);
    }
    let upload = upload::parse(kind, body, limits.max_voice_bytes).await?;
    let ignored = upload.ignored.clone();
    let (id, mut notes) = store(app.clone(), upload).await?;
    let catalog = app.catalog();
    if catalog.voice(&id).is_some_and(|voice| catalog.models_for(voice).next().is_none()) {
        notes.push("no model that is installed here can speak with a recording".to_owned());
    }
    let mut response = detail(&app, &id, notes)?;
    if !ignored.is_empty()
        && let Ok(names) = HeaderValue::from_str(&shown(&ignored))
    {
        response.headers_mut().insert("x-ignored-params", names);
    }
    Ok(response)
}

/// Ends what it began also when the client leaves meanwhile.
async fn store(app: AppState, upload: Upload) -> Result<(String, Vec<String>), ApiError> {
    let id = format!("voice_{:016x}{:016x}", (app.random)(), (app.random)());
    let kept = spawn_blocking(move || voice_store::keep(&app, &id, &upload).map(|notes| (id, notes)));
    kept.await.unwrap_or_else(|error| Err(ApiError::internal(format!("storing a voice: {error}"))))
}

pub(crate) async fn show(
    State(app): State<AppState>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    detail(&app, &read_id(id)?, Vec::new())
}

/// Requests that speak with the voice go on; it is unknown to those that come later.
pub(crate) async fn delete(
    State(app): State<AppState>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let id = read_id(id)?;
    let name = id.clone();
    let deleted = spawn_blocking(move || {
        app.renew_catalog(|catalog| {
            if catalog.voice(&name).is_none() {
                return Err(unknown(&name));
            }
            catalog.delete_upload(&name)?;
            let mut fresh = catalog.clone();
            fresh.reload()?;
            Ok(fresh)
        })
    });
    deleted.await.unwrap_or_else(|error| Err(ApiError::internal(format!("deleting a voice: {error}"))))?;
    Ok(Json(DeletedVoice { id: &id, object: "audio.voice.deleted", deleted: true }).into_response())
}

fn detail(app: &App, id: &str, notes: Vec<String>) -> Result<Response, ApiError> {
    let catalog = app.catalog();
    let voice = catalog.voice(id).ok_or_else(|| unknown(id))?;
    let models = catalog.models_for(voice).map(|model| model.id.as_str()).collect();
    let uploaded = voice.hold.is_some();
    Ok(Json(VoiceDetail { voice: voice.into(), uploaded, models, notes }).into_response())
}

fn read_id(id: Result<Path<String>, PathRejection>) -> Result<String, ApiError> {
    let bad = |_| ApiError::field(ErrorCode::InvalidValue, "id", "the voice's id in the path is not UTF-8");
    id.map(|Path(id)| id).map_err(bad)
}

fn unknown(id: &str) -> ApiError {
    let id: String = id.chars().filter(|c| !c.is_control()).take(64).collect();
    ApiError::field(ErrorCode::NotFound, "id", format!("there is no voice with the id `{id}`"))
}
