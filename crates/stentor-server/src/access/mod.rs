//! Who may ask: keys, how much each may ask for, what is shown to those without one, and pages of other origins.
//!
//! Every route wants a key once there are keys, except those named here: a route that somebody adds is closed until it is
//! opened. Without keys everybody may ask.

mod keys;
mod meters;
mod origins;

pub use keys::{ApiKey, HashMistake};
pub(crate) use meters::Meters;
pub(crate) use origins::cors;

use crate::{
    ApiError, AppState, ErrorCode,
    routes::{body, models::allowed},
    terms::bearer,
};
use axum::{
    body::{Body, HttpBody},
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, HeaderValue, Method, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use meters::Pass;
use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// How long a refused client may go on sending; one that is cut off while it sends does not read why.
const LAST_BYTES: Duration = Duration::from_secs(5);

/// What the operator decides about it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Access {
    /// None means that nobody needs one.
    pub keys: Vec<ApiKey>,
    pub public_lists: PublicLists,
    /// Of each key that has no number of its own; `None`: as many as they like.
    pub requests_per_minute: Option<u32>,
    /// Requests under way at once, likewise.
    pub concurrent: Option<u32>,
    /// Pages of these origins may use the server: `https://host:port`, or `*` for all.
    pub cors_origins: Vec<String>,
}

/// What lists of models and voices show to those without a key, where keys are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PublicLists {
    /// Nothing; they are answered 401.
    Closed,
    /// What can be asked for, and not what people called their voices. Clients such as Open WebUI send no key here.
    #[default]
    Ids,
    Full,
}

impl PublicLists {
    /// As the configuration spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "none",
            Self::Ids => "ids",
            Self::Full => "full",
        }
    }
}

/// How much a list may show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Ids,
    Full,
}

impl FromRequestParts<AppState> for Scope {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().copied().unwrap_or(Self::Full))
    }
}

/// Lets a request pass, or answers why not.
pub(crate) async fn guard(State(app): State<AppState>, mut request: Request, next: Next) -> Response {
    match judge(&app, request.method(), request.uri().path(), request.headers()) {
        Ok(Verdict::Pass) => next.run(request).await,
        Ok(Verdict::Lists(scope)) => {
            request.extensions_mut().insert(scope);
            next.run(request).await
        }
        Ok(Verdict::Metered(pass)) => {
            next.run(request).await.map(|inner| Body::new(Metered { inner, _pass: pass }))
        }
        Err(error) => {
            let allowed = allowed(request.uri().path());
            // Who waits to be asked for the body is not asked.
            if !request.headers().contains_key(header::EXPECT) {
                let _ = body::read(request.into_body(), 0, LAST_BYTES).await;
            }
            if error.code == ErrorCode::RateLimitExceeded {
                app.metrics.rejected(error.code.name());
            }
            // Else the router would say what the whole route takes.
            let mut response = error.into_response();
            if let Some(allowed) = allowed {
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
            }
            response
        }
    }
}

enum Verdict {
    Pass,
    Lists(Scope),
    Metered(Pass),
}

fn judge(app: &AppState, method: &Method, path: &str, headers: &HeaderMap) -> Result<Verdict, ApiError> {
    let settings = app.settings();
    let access = &settings.access;
    origins::refuse_foreign(access, method, path, headers)?;
    let reads = matches!(*method, Method::GET | Method::HEAD);
    if access.keys.is_empty() || is_open(path) {
        return Ok(Verdict::Pass);
    }
    let Some(presented) = bearer(headers) else {
        let scope = match access.public_lists {
            PublicLists::Ids => Some(Scope::Ids),
            PublicLists::Full => Some(Scope::Full),
            PublicLists::Closed => None,
        };
        let scope = scope.filter(|scope| reads && is_list(path, *scope));
        return scope.map(Verdict::Lists).ok_or_else(|| {
            refused("this server wants a key: `Authorization: Bearer <key>`, and the request has none")
        });
    };
    let key =
        keys::find(&access.keys, presented).ok_or_else(|| refused("the key is not one of this server's"))?;
    if reads {
        // Looking costs nothing.
        return Ok(Verdict::Pass);
    }
    app.meters.enter(access, key).map(Verdict::Metered)
}

fn refused(message: &str) -> ApiError {
    ApiError::new(ErrorCode::InvalidApiKey, message)
}

/// What answers without a key: probes, metrics, and pages, which hold nothing of anybody's.
fn is_open(path: &str) -> bool {
    const PATHS: [&str; 8] =
        ["/", "/livez", "/healthz", "/readyz", "/health", "/metrics", "/openapi.json", "/favicon.ico"];
    const FOLDERS: [&str; 3] = ["/docs", "/page/", "/assets/"];
    PATHS.contains(&path) || FOLDERS.iter().any(|folder| path.starts_with(folder))
}

/// One model or voice shows more than its id.
fn is_list(path: &str, scope: Scope) -> bool {
    const LISTS: [&str; 7] = [
        "/v1/models",
        "/models",
        "/v1/audio/models",
        "/v1/audio/voices",
        "/v1/voices",
        "/audio/models",
        "/audio/voices",
    ];
    let details = ["/v1/models/", "/v1/audio/voices/", "/audio/voices/"];
    LISTS.contains(&path) || (scope == Scope::Full && details.iter().any(|prefix| path.starts_with(prefix)))
}

/// A response that counts as under way until its last byte is out or its client has left.
struct Metered {
    inner: Body,
    _pass: Pass,
}

impl HttpBody for Metered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_closed_unless_it_is_named() {
        for path in
            ["/", "/livez", "/readyz", "/health", "/healthz", "/metrics", "/docs", "/docs/a.js", "/page/a.js"]
        {
            assert!(is_open(path), "{path}");
        }
        for path in
            ["/v1/audio/speech", "/v1/models", "/v1/audio/phonemize", "/audio/speech", "//livez", "/x", ""]
        {
            assert!(!is_open(path), "{path}");
        }
    }

    #[test]
    fn lists_are_what_clients_without_a_key_ask_for() {
        for path in ["/v1/models", "/models", "/v1/audio/models", "/v1/audio/voices", "/audio/voices"] {
            assert!(is_list(path, Scope::Ids), "{path}");
        }
        for path in ["/v1/models/fake", "/v1/audio/voices/voice_1", "/audio/voices/voice_1"] {
            assert!(!is_list(path, Scope::Ids) && is_list(path, Scope::Full), "{path}");
        }
        assert!(!is_list("/v1/audio/speech", Scope::Full));
    }
}
