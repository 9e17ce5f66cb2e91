//! Who speaks a request: the model that was asked for, or the first of its fallbacks that can.

use super::script::{Manuscript, at};
use super::{Request, Synthesis, speak};
use crate::{ApiError, App, ErrorCode, Settings};
use axum::http::StatusCode;
use stentor_catalog::{Catalog, CatalogError, Model};
use stentor_supervisor::ModelState;
use stentor_types::ModelId;

/// Resolves the request's names, admits it, opens it and waits for its first sound, so that a model which turns out to
/// be unable to speak can still be stood in for.
pub(super) async fn begin(app: &App, request: Request<'_>) -> Result<Synthesis, ApiError> {
    let (catalog, settings) = (app.catalog(), app.settings());
    let manuscript = Manuscript::read(app, &request)?;
    let asked = catalog.resolve_model(request.speech.model.as_deref())?;
    refuse_unknown_voices(&catalog, asked, (request.speech.voice.as_deref(), &manuscript))?;
    let chain = chain(app, &settings, asked, &request);
    let mut refusal: Option<ApiError> = None;
    for (place, id) in chain.iter().enumerate() {
        let result =
            match installed(app, &catalog, id).and_then(|model| able(app, model, &chain[place + 1..])) {
                Ok(model) => speak(app, &catalog, model, (request, place > 0), &manuscript).await,
                Err(error) => Err(error),
            };
        match (result, &refusal) {
            (Ok(mut synthesis), _) => {
                app.note_speaker(&asked.id, id, refusal.as_ref().map_or("", |error| &error.message));
                synthesis.fallback_from = (place > 0).then(|| asked.id.clone());
                return Ok(synthesis);
            }
            // The stand-in would speak, only not now.
            (Err(error), Some(_)) if error.code.status() == StatusCode::TOO_MANY_REQUESTS => {
                return Err(error);
            }
            // What else a stand-in objects to is no news to a client who did not ask for it.
            (Err(_), Some(_)) => {}
            (Err(error), None) if error.is_models_fault() => refusal = Some(error),
            (Err(error), None) => return Err(error),
        }
    }
    Err(refusal.unwrap_or_else(|| ApiError::internal("a chain of models without a model")))
}

/// As [`refuse_unknown_voice`], for the request's voice and for those that its text names.
pub(super) fn refuse_unknown_voices(
    catalog: &Catalog,
    asked: &Model,
    (voice, manuscript): (Option<&str>, &Manuscript),
) -> Result<(), ApiError> {
    let check = |voice| refuse_unknown_voice(catalog, asked, voice);
    check(voice)?;
    manuscript.voices().try_for_each(|(name, place)| check(Some(name)).map_err(|error| at(error, place)))
}

/// A voice that the asked model could not have is a mistake, whoever would speak in the end.
pub(crate) fn refuse_unknown_voice(
    catalog: &Catalog,
    asked: &Model,
    voice: Option<&str>,
) -> Result<(), ApiError> {
    use CatalogError::{Blend, VoiceNotFound, VoiceNotSupported};
    match catalog.resolve_voice(asked, voice) {
        Err(error @ (VoiceNotFound { .. } | VoiceNotSupported { .. } | Blend { .. })) => Err(error.into()),
        _ => Ok(()),
    }
}

/// The model that was asked for, then who may stand in for it.
fn chain(app: &App, settings: &Settings, asked: &Model, request: &Request<'_>) -> Vec<ModelId> {
    // OpenAI's names mean the default model, which nobody has named then.
    let named =
        request.speech.model.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(asked.id.as_str()));
    let mut chain = vec![asked.id.clone()];
    if request.stand_ins && (!named || settings.fallback_for_named) {
        chain.extend(settings.fallback_of(&asked.id, asked.id == app.default_model));
    }
    chain
}

pub(super) fn installed<'a>(app: &App, catalog: &'a Catalog, id: &ModelId) -> Result<&'a Model, ApiError> {
    let model = catalog.resolve_model(Some(id.as_str()))?;
    if !model.installed && *id == app.default_model && app.readiness.is_fetching() {
        let message = format!("the files of model `{id}` are being fetched");
        return Err(ApiError {
            retry_after_s: Some(10),
            ..ApiError::new(ErrorCode::ModelUnavailable, message)
        });
    }
    if !model.installed && model.manifest().source.is_none() {
        let message =
            format!("model `{id}` is not installed: its files have to be put onto the server by hand");
        return Err(ApiError::field(ErrorCode::ModelNotInstalled, "model", message));
    }
    let settings = app.settings();
    let own = settings.of(id);
    model.load_spec(own.device, own.precision, own.threads)?;
    Ok(model)
}

/// A model that has failed, or does not fit, is not waited for while there is another one to ask; neither is the default
/// model while it loads for the first time, once one of the `others` has spoken.
fn able<'a>(app: &App, model: &'a Model, others: &[ModelId]) -> Result<&'a Model, ApiError> {
    let (Some(status), false) = (app.supervisor.status(&model.id), others.is_empty()) else {
        return Ok(model);
    };
    let passed = |id: &ModelId| app.readiness.has_passed(id);
    let first_load =
        status.state == ModelState::Starting && model.id == app.default_model && !passed(&model.id);
    let why = match status.reason.clone() {
        reason if app.readiness.is_out(&model.id, &status) => reason.unwrap_or_default(),
        _ if first_load && others.iter().any(passed) => "it is loading".to_owned(),
        _ => return Ok(model),
    };
    // Somebody wants it: where attempts had been given up, there is another one.
    app.supervisor.start(&model.id);
    let message = format!("the model can't speak now: {why}");
    Err(ApiError { retry_after_s: Some(5), ..ApiError::new(ErrorCode::ModelUnavailable, message) })
}
