//! The page at `/`: text in, sound out, in a browser.
//!
//! Its files are part of the program and name nothing outside of it. They speak to the routes that every client uses,
//! so the page can do no more than its visitor could; it is shown without a key, because it holds nothing of anybody's.

use crate::{ApiError, ErrorCode};
use axum::{
    extract::Path,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use sha2::{Digest as _, Sha256};
use std::{fmt::Write as _, sync::LazyLock};

/// Nothing from elsewhere, no inline script or style, not shown inside of other pages. `blob:` is what somebody recorded.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      media-src 'self' blob:; worker-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

struct File {
    name: &'static str,
    kind: &'static str,
    content: &'static str,
    /// Of the content, so that a browser keeps a file until the program changes.
    tag: String,
}

static FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
    const SCRIPT: &str = "text/javascript; charset=utf-8";
    [
        ("index.html", "text/html; charset=utf-8", include_str!("index.html")),
        ("style.css", "text/css; charset=utf-8", include_str!("style.css")),
        ("icon.svg", "image/svg+xml", include_str!("icon.svg")),
        ("app.js", SCRIPT, include_str!("app.js")),
        ("api.js", SCRIPT, include_str!("api.js")),
        ("dom.js", SCRIPT, include_str!("dom.js")),
        ("models.js", SCRIPT, include_str!("models.js")),
        ("player.js", SCRIPT, include_str!("player.js")),
        ("recorder.js", SCRIPT, include_str!("recorder.js")),
        ("recorder-worklet.js", SCRIPT, include_str!("recorder-worklet.js")),
        ("settings.js", SCRIPT, include_str!("settings.js")),
        ("transcript.js", SCRIPT, include_str!("transcript.js")),
        ("upload.js", SCRIPT, include_str!("upload.js")),
        ("waveform.js", SCRIPT, include_str!("waveform.js")),
    ]
    .map(|(name, kind, content)| File { name, kind, content, tag: tag(content) })
    .into()
});

/// `GET /`, which some clients also ask to warm up a connection.
pub(crate) async fn index(headers: HeaderMap, uri: Uri) -> Response {
    answer("index.html", &headers, &uri)
}

/// `GET /page/{name}`: a script, a style, a picture. A name is looked up, never joined to a path.
pub(crate) async fn file(Path(name): Path<String>, headers: HeaderMap, uri: Uri) -> Response {
    answer(&name, &headers, &uri)
}

fn answer(name: &str, headers: &HeaderMap, uri: &Uri) -> Response {
    let Some(file) = FILES.iter().find(|file| file.name == name) else {
        return ApiError::new(ErrorCode::NotFound, format!("there is no route `{}`", uri.path()))
            .into_response();
    };
    let meta = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    ];
    let tag = [(header::ETAG, file.tag.as_str())];
    if is_known(headers, &file.tag) {
        return (StatusCode::NOT_MODIFIED, meta, tag).into_response();
    }
    (meta, tag, [(header::CONTENT_TYPE, file.kind)], file.content).into_response()
}

/// The browser has this very content.
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag)
}

fn tag(content: &str) -> String {
    let digest = Sha256::digest(content);
    let mut tag = String::from("\"");
    for byte in digest.iter().take(12) {
        // Writing to a string does not fail.
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}
