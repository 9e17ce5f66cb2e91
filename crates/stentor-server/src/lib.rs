//! The HTTP plane: OpenAI's wire types, validation, handlers, errors and middleware.
//!
//! Nothing here synthesizes: a handler validates, resolves names, is admitted, and then forwards what a worker
//! process sends. [`synthesis`] is that path without HTTP, so that the command line speaks through the same code.

mod api;
pub mod encoded;
pub mod error;
mod middleware;
mod router;
mod routes;
pub mod state;
pub mod synthesis;

pub use error::{ApiError, ErrorCode};
pub use router::router;
pub use state::{App, AppState, Limits, Readiness};
