//! Handlers, one noun per file.

mod body;
pub(crate) mod health;
pub(crate) mod metrics;
pub(crate) mod models;
pub(crate) mod phonemize;
mod reading;
pub(crate) mod speech;
mod stream;
pub(crate) mod voices;
