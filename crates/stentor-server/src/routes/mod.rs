//! Handlers, one noun per file.

pub(crate) mod body;
mod captions;
pub(crate) mod docs;
pub(crate) mod health;
pub(crate) mod metrics;
pub(crate) mod models;
pub(crate) mod phonemize;
pub(crate) mod reading;
pub(crate) mod speech;
pub(crate) mod sse;
mod stream;
pub(crate) mod voices;
