//! The one error type of the HTTP plane: what the client may read, and separately what the log must have.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use std::borrow::Cow;
use stentor_catalog::CatalogError;
use stentor_supervisor::{AdmitError, SpeechError, UnloadError};

/// Status of a request whose client left before the head of the answer was sent.
pub(crate) const CLIENT_LEFT: u16 = 499;

/// Machine-readable reasons, as in `error.code`. `docs/ERRORS.md` explains each one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    InvalidJson,
    InvalidValue,
    MissingField,
    InputNotSpeakable,
    InputTooLarge,
    BodyTooLarge,
    LanguageNotSupported,
    VoiceNotFound,
    VoiceNotSupported,
    ModelNotFound,
    ModelNotInstalled,
    NotFound,
    MethodNotAllowed,
    BodyTimeout,
    /// For log and metrics; there is nobody to read it.
    ClientLeft,
    ModelBusy,
    QueueFull,
    DeadlineUnreachable,
    DeadlinePassed,
    ModelUnavailable,
    ChunkQuarantined,
    SynthesisFailed,
    UnsupportedMediaType,
    InvalidApiKey,
    Forbidden,
    VoiceExists,
    TooManyVoices,
    RateLimitExceeded,
    StorageFailed,
    Internal,
}

impl ErrorCode {
    pub const ALL: [Self; 30] = [
        Self::InvalidJson,
        Self::InvalidValue,
        Self::MissingField,
        Self::InputNotSpeakable,
        Self::InputTooLarge,
        Self::BodyTooLarge,
        Self::LanguageNotSupported,
        Self::VoiceNotFound,
        Self::VoiceNotSupported,
        Self::ModelNotFound,
        Self::ModelNotInstalled,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::BodyTimeout,
        Self::ClientLeft,
        Self::ModelBusy,
        Self::QueueFull,
        Self::DeadlineUnreachable,
        Self::DeadlinePassed,
        Self::ModelUnavailable,
        Self::ChunkQuarantined,
        Self::SynthesisFailed,
        Self::UnsupportedMediaType,
        Self::InvalidApiKey,
        Self::Forbidden,
        Self::VoiceExists,
        Self::TooManyVoices,
        Self::RateLimitExceeded,
        Self::StorageFailed,
        Self::Internal,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::InvalidValue => "invalid_value",
            Self::MissingField => "missing_field",
            Self::InputNotSpeakable => "input_not_speakable",
            Self::InputTooLarge => "input_too_large",
            Self::BodyTooLarge => "body_too_large",
            Self::LanguageNotSupported => "language_not_supported",
            Self::VoiceNotFound => "voice_not_found",
            Self::VoiceNotSupported => "voice_not_supported",
            Self::ModelNotFound => "model_not_found",
            Self::ModelNotInstalled => "model_not_installed",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::BodyTimeout => "body_timeout",
            Self::ClientLeft => "client_left",
            Self::ModelBusy => "model_busy",
            Self::QueueFull => "queue_full",
            Self::DeadlineUnreachable => "deadline_unreachable",
            Self::DeadlinePassed => "deadline_passed",
            Self::ModelUnavailable => "model_unavailable",
            Self::ChunkQuarantined => "chunk_quarantined",
            Self::SynthesisFailed => "synthesis_failed",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::InvalidApiKey => "invalid_api_key",
            Self::Forbidden => "forbidden",
            Self::VoiceExists => "voice_exists",
            Self::TooManyVoices => "too_many_voices",
            Self::RateLimitExceeded => "rate_limit_exceeded",
            Self::StorageFailed => "storage_failed",
            Self::Internal => "internal_error",
        }
    }

    pub fn status(self) -> StatusCode {
        match self {
            Self::InvalidJson
            | Self::InvalidValue
            | Self::MissingField
            | Self::InputNotSpeakable
            | Self::LanguageNotSupported
            | Self::VoiceNotFound
            | Self::VoiceNotSupported => StatusCode::BAD_REQUEST,
            Self::InputTooLarge | Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ModelNotFound | Self::ModelNotInstalled | Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            // A number that proxies use and no standard names.
            Self::ClientLeft => StatusCode::from_u16(CLIENT_LEFT).unwrap_or(StatusCode::BAD_REQUEST),
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::InvalidApiKey => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::ModelBusy | Self::VoiceExists | Self::TooManyVoices => StatusCode::CONFLICT,
            Self::QueueFull | Self::DeadlineUnreachable | Self::RateLimitExceeded => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::DeadlinePassed | Self::ModelUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::ChunkQuarantined | Self::SynthesisFailed | Self::StorageFailed | Self::Internal => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    /// OpenAI's coarse `error.type`.
    pub fn kind(self) -> &'static str {
        match self.status() {
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        }
    }
}

/// What went wrong, for the client (`message`) and for the log (`detail`).
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    pub code: ErrorCode,
    pub message: String,
    /// The request field at fault.
    pub param: Option<Cow<'static, str>>,
    /// Never sent to the client.
    pub detail: Option<String>,
    pub retry_after_s: Option<u32>,
    /// Whether the same request sent again fails the same way, so that SDKs do not retry it.
    pub lasting: bool,
}

impl ApiError {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), param: None, detail: None, retry_after_s: None, lasting: false }
    }

    /// An error in one request field.
    pub fn field(code: ErrorCode, param: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..Self::new(code, message) }
    }

    /// The model can't speak, whatever the request is: another one could.
    pub(crate) fn is_models_fault(&self) -> bool {
        matches!(self.code, ErrorCode::ModelUnavailable | ErrorCode::ModelNotInstalled)
    }

    /// One line. What is wrong with a model has been logged where it was found; that a request met it is no failure
    /// of its own.
    pub(crate) fn log(&self) {
        let (code, detail) = (self.code.name(), self.detail.as_deref().unwrap_or_default());
        let message = one_line(&self.message);
        if self.is_failure() {
            tracing::error!(code, detail, "{message}");
        } else {
            tracing::info!(code, "{message}");
        }
    }

    /// Something broke while this very request was served; not busy, not late, not waiting for a model.
    pub(crate) fn is_failure(&self) -> bool {
        {
            use ErrorCode::{ChunkQuarantined, Internal, StorageFailed, SynthesisFailed};
            matches!(self.code, ChunkQuarantined | SynthesisFailed | StorageFailed | Internal)
        }
    }

    /// OpenAI's error object.
    pub(crate) fn wire(&self) -> Value {
        json!({
            "message": self.message,
            "type": self.code.kind(),
            "param": self.param,
            "code": self.code.name(),
        })
    }

    /// A bug; the same request would most likely meet it again.
    pub fn internal(detail: impl Into<String>) -> Self {
        let message = "the server failed; its log has the details under this request id";
        Self { detail: Some(detail.into()), lasting: true, ..Self::new(ErrorCode::Internal, message) }
    }
}

/// A message may quote what a client sent, which must neither begin a line of the log nor move a terminal's cursor.
pub(crate) fn one_line(message: &str) -> Cow<'_, str> {
    if !message.contains(char::is_control) {
        return Cow::Borrowed(message);
    }
    let spelled = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(message.chars().map(spelled).collect())
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.code.status();
        self.log();
        let mut response = (status, Json(json!({ "error": self.wire() }))).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_s {
            let seconds = seconds.clamp(1, 60);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            headers.insert("retry-after-ms", HeaderValue::from(seconds * 1000));
        }
        if self.code == ErrorCode::InvalidApiKey {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.lasting {
            headers.insert("x-should-retry", HeaderValue::from_static("false"));
        }
        if self.code == ErrorCode::BodyTimeout {
            // The rest of the body is not waited for.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<CatalogError> for ApiError {
    fn from(error: CatalogError) -> Self {
        let (code, param) = match &error {
            CatalogError::ModelNotFound { .. } => (ErrorCode::ModelNotFound, "model"),
            CatalogError::NotInstalled { voice: None, .. } => (ErrorCode::ModelNotInstalled, "model"),
            CatalogError::NotInstalled { .. }
            | CatalogError::VoiceNotFound { .. }
            | CatalogError::Blend { .. }
            | CatalogError::NoVoices { .. } => (ErrorCode::VoiceNotFound, "voice"),
            CatalogError::VoiceNotSupported { .. } => (ErrorCode::VoiceNotSupported, "voice"),
            CatalogError::NotUploaded { .. } => (ErrorCode::Forbidden, "voice"),
            CatalogError::VoiceGone { .. } => {
                let message = "the file of this voice is gone";
                let detail = Some(error.to_string());
                return Self { detail, ..Self::field(ErrorCode::VoiceNotFound, "voice", message) };
            }
            _ => return Self::internal(error.to_string()),
        };
        Self::field(code, param, error.to_string())
    }
}

impl From<AdmitError> for ApiError {
    fn from(error: AdmitError) -> Self {
        let (code, retry_after_s) = match &error {
            AdmitError::Busy { retry_after_s } => (ErrorCode::QueueFull, Some(*retry_after_s)),
            AdmitError::Late { retry_after_s, .. } => (ErrorCode::DeadlineUnreachable, Some(*retry_after_s)),
            AdmitError::ShuttingDown => (ErrorCode::ModelUnavailable, Some(10)),
            AdmitError::UnknownModel(_) => return Self::internal(error.to_string()),
        };
        Self { retry_after_s, ..Self::new(code, error.to_string()) }
    }
}

impl From<UnloadError> for ApiError {
    fn from(error: UnloadError) -> Self {
        match error {
            UnloadError::Busy => Self::new(ErrorCode::ModelBusy, error.to_string()),
            UnloadError::UnknownModel(_) => Self::field(ErrorCode::ModelNotFound, "model", error.to_string()),
        }
    }
}

impl From<SpeechError> for ApiError {
    fn from(error: SpeechError) -> Self {
        let detail = Some(error.to_string());
        match error {
            SpeechError::Rejected(message) => Self::field(ErrorCode::InvalidValue, "input", message),
            SpeechError::VoiceRejected(message) => Self::field(ErrorCode::InvalidValue, "voice", message),
            SpeechError::UnknownModel(_) => Self::internal(error.to_string()),
            SpeechError::Quarantined(_) => {
                let message = "this text crashed the speech engine twice and was given up";
                Self { detail, lasting: true, ..Self::new(ErrorCode::ChunkQuarantined, message) }
            }
            SpeechError::Failed(_) => {
                let message = "the speech engine failed on this text";
                Self { detail, lasting: true, ..Self::new(ErrorCode::SynthesisFailed, message) }
            }
            SpeechError::Late { waited_s } => {
                // Nobody knows better than the queue: who comes back after as long finds it shorter.
                let retry_after_s = Some(waited_s.clamp(1, 60));
                Self { retry_after_s, ..Self::new(ErrorCode::DeadlinePassed, error.to_string()) }
            }
            SpeechError::Unavailable { reason, retry_after_s } => {
                let message = format!("the model can't speak now: {reason}");
                let retry_after_s = Some(retry_after_s);
                Self { detail, retry_after_s, ..Self::new(ErrorCode::ModelUnavailable, message) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bug_is_not_met_three_times_by_one_request() {
        let response = ApiError::internal("a bug").into_response();
        assert_eq!(response.headers()["x-should-retry"], "false");
        let busy = AdmitError::Busy { retry_after_s: 3 };
        let response = ApiError::from(busy).into_response();
        assert_eq!(response.headers().get("x-should-retry"), None);
        assert_eq!(response.headers()["retry-after"], "3");
    }

    #[test]
    fn every_code_is_explained_in_the_error_page() {
        let page = include_str!("../../../docs/ERRORS.md");
        for code in ErrorCode::ALL {
            let heading = format!("| `{}` | {} |", code.name(), code.status().as_u16());
            assert!(page.contains(&heading), "docs/ERRORS.md lacks a row `{heading}`");
        }
        let rows = page.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(rows, ErrorCode::ALL.len(), "docs/ERRORS.md has a row for a code that does not exist");
    }
}
