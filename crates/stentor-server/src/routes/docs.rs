//! `GET /openapi.json`, and `GET /docs/`: Swagger UI, which is part of the program and shows that document.

use crate::{ApiError, ErrorCode};
use axum::{
    body::Body,
    extract::{Path, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use std::{
    borrow::Cow,
    sync::{Arc, LazyLock},
};
use utoipa_swagger_ui::{Config, SwaggerFile, serve};

/// Nothing from elsewhere. Swagger UI writes styles into its page and has its pictures in them; `blob:` is sound that
/// somebody tried out.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      connect-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// `None` can't be: a document of strings and numbers has a JSON form.
static DOCUMENT: LazyLock<Option<Bytes>> =
    LazyLock::new(|| crate::document().to_json().ok().map(Bytes::from));

/// Paths are relative, for servers behind a proxy with a prefix. No validator: it would be asked over the network.
static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    let config = Config::new(["../openapi.json"]).use_base_layout().validator_url("none");
    Arc::new(config.display_request_duration(true))
});

pub(crate) async fn document() -> Result<Response, ApiError> {
    let document =
        DOCUMENT.clone().ok_or_else(|| ApiError::internal("the API's document has no JSON form"))?;
    let head = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    Ok((head, document).into_response())
}

/// The page's own files are asked for beside it, so its address must end with a slash.
pub(crate) async fn redirect() -> Response {
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, HeaderValue::from_static("docs/"))]).into_response()
}

pub(crate) async fn index(uri: Uri) -> Result<Response, ApiError> {
    answer("index.html", &uri)
}

/// A name is looked up, never joined to a path.
pub(crate) async fn file(name: Result<Path<String>, PathRejection>, uri: Uri) -> Result<Response, ApiError> {
    let Path(name) = name.map_err(|_| unknown(&uri))?;
    answer(&name, &uri)
}

fn answer(name: &str, uri: &Uri) -> Result<Response, ApiError> {
    let file = serve(name, Arc::clone(&CONFIG));
    let file = file.map_err(|error| ApiError::internal(format!("the page of the API: {error}")))?;
    let SwaggerFile { bytes, content_type, gzpipped, .. } = file.ok_or_else(|| unknown(uri))?;
    let mut head = HeaderMap::new();
    // Names of the types of the files above are text.
    let kind = HeaderValue::try_from(content_type).unwrap_or(HeaderValue::from_static("text/plain"));
    head.insert(header::CONTENT_TYPE, kind);
    head.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    head.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    head.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    head.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if gzpipped {
        // Stored so, which every browser reads.
        head.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    let body = match bytes {
        Cow::Borrowed(bytes) => Body::from(bytes),
        Cow::Owned(bytes) => Body::from(bytes),
    };
    Ok((head, body).into_response())
}

fn unknown(uri: &Uri) -> ApiError {
    ApiError::new(ErrorCode::NotFound, format!("there is no route `{}`", uri.path()))
}
