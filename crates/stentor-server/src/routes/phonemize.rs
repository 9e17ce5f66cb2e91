//! `POST /v1/audio/phonemize`: how a text would be read.

use super::{body, reading::PhonemizeAnswer, speech::ignored_header};
use crate::{
    ApiError, App, AppState, Terms,
    api::speech::parse,
    synthesis::{Request, trace::trace},
};
use axum::{
    Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use stentor_types::Params;

pub(crate) async fn create(State(app): State<AppState>, body: Body) -> Result<Response, ApiError> {
    answer(&app, body).await
}

async fn answer(app: &App, body: Body) -> Result<Response, ApiError> {
    let limits = app.settings().limits;
    let body = body::read(body, limits.max_body_bytes(), limits.body_timeout).await?;
    let parsed = parse(&body, &limits)?;
    let request =
        Request { lexicon: parsed.lexicon.as_ref(), ..Request::new(&parsed.request, Terms::default()) };
    let reading = trace(app, request).await?;
    let mut ignored = parsed.ignored(&Params::new());
    ignored.extend(reading.ignored.iter().cloned());
    let answer = Json(PhonemizeAnswer::new(&reading, &parsed.request.input));
    Ok((ignored_header(&ignored), answer).into_response())
}
