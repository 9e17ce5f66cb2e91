//! Pages of other origins in a browser: they read nothing and change nothing unless the operator names their origin.
//!
//! A browser asks before it lets a foreign page read an answer, and not before the page sends a form: without the check
//! here, any page that somebody visits could upload voices to the server on that machine, or unload its models.

use super::Access;
use crate::{ApiError, ErrorCode};
use axum::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri,
    header::{CONTENT_LENGTH, HOST, ORIGIN, RETRY_AFTER},
    uri::Authority,
};
use std::time::Duration;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// How long a browser may remember what it was allowed.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Answers browsers that ask for pages of the configured origins; `None` where none are.
pub(crate) fn cors(access: &Access) -> Option<CorsLayer> {
    let origins = &access.cors_origins;
    if origins.is_empty() {
        return None;
    }
    let named = || AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()));
    let exposed = [
        CONTENT_LENGTH,
        RETRY_AFTER,
        HeaderName::from_static("retry-after-ms"),
        HeaderName::from_static("x-should-retry"),
        HeaderName::from_static("x-request-id"),
        HeaderName::from_static("x-model"),
        HeaderName::from_static("x-voice"),
        HeaderName::from_static("x-fallback-from"),
        HeaderName::from_static("x-ignored-params"),
        HeaderName::from_static("x-watermark"),
    ];
    // No credentials: a key is sent by the page itself, and there are no cookies.
    let layer = CorsLayer::new()
        .allow_origin(if allows_all(access) { AllowOrigin::any() } else { named() })
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(exposed)
        .max_age(REMEMBERED);
    Some(layer)
}

fn allows_all(access: &Access) -> bool {
    access.cors_origins.iter().any(|origin| origin == "*")
}

/// Refuses what a foreign page would change. Speech changes nothing and is not looked at.
pub(super) fn refuse_foreign(
    access: &Access,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> Result<(), ApiError> {
    let changes = matches!(*method, Method::POST | Method::DELETE)
        && ["/v1/models/", "/v1/audio/voices", "/audio/voices"].iter().any(|prefix| path.starts_with(prefix));
    if !changes || !is_foreign(headers) {
        return Ok(());
    }
    let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok()).unwrap_or("null");
    if allows_all(access) || access.cors_origins.iter().any(|allowed| allowed == origin) {
        return Ok(());
    }
    let message = "pages of other origins may change nothing here; `cors_origins` names those that may";
    Err(ApiError::new(ErrorCode::Forbidden, message))
}

/// What is no browser sends neither header.
fn is_foreign(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get(FETCH_SITE) {
        return !matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    let Some(origin) = headers.get(ORIGIN) else { return false };
    let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let own = origin.as_ref().and_then(Uri::authority).map(Authority::as_str);
    own.is_none() || own != host
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_pages_are_told_from_own_ones_and_from_programs() {
        let foreign = |pairs: &[(HeaderName, &str)]| {
            is_foreign(&pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect())
        };
        let host = (HOST, "localhost:8004");
        assert!(!foreign(std::slice::from_ref(&host)));
        assert!(!foreign(&[host.clone(), (ORIGIN, "http://localhost:8004")]));
        assert!(!foreign(&[host.clone(), (ORIGIN, "https://elsewhere"), (FETCH_SITE, "same-origin")]));
        for origin in
            ["http://evil.example", "null", "http://localhost:9", "http://localhost:8004.evil.example"]
        {
            assert!(foreign(&[host.clone(), (ORIGIN, origin)]), "{origin}");
        }
        for site in ["cross-site", "same-site", "?"] {
            assert!(
                foreign(&[host.clone(), (ORIGIN, "http://localhost:8004"), (FETCH_SITE, site)]),
                "{site}"
            );
        }
    }
}
