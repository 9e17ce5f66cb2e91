//! Handlers, one noun per file.

pub(crate) mod body;
mod captions;
pub(crate) mod health;
pub(crate) mod metrics;
pub(crate) mod models;
pub(crate) mod phonemize;
mod reading;
pub(crate) mod speech;
mod sse;
mod stream;
pub(crate) mod voices;
