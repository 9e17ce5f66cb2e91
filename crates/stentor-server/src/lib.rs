//! The HTTP plane: OpenAI's wire types, validation, handlers, errors and middleware.
//!
//! Nothing here synthesizes: a handler validates, resolves names, is admitted, and then forwards what a worker
//! process sends. [`synthesis`] is that path without HTTP, so that the command line speaks through the same code.

pub mod access;
mod api;
mod base64;
pub mod captions;
pub mod encoded;
pub mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod metrics;
mod middleware;
mod openapi;
mod page;
mod readiness;
mod router;
mod routes;
mod settings;
pub mod state;
pub mod synthesis;
mod terms;
mod voice_store;
pub mod wyoming;

pub use error::{ApiError, ErrorCode};
pub use metrics::Metrics;
pub use openapi::document;
pub use readiness::{Readiness, is_out};
pub use router::router;
pub use settings::{Limits, ModelSettings, Settings};
pub use state::{App, AppState, Parts};
pub use terms::Terms;
