//! Handlers, one noun per file.

pub(crate) mod body;
pub(crate) mod health;
pub(crate) mod metrics;
pub(crate) mod models;
pub(crate) mod speech;
mod stream;
pub(crate) mod voices;
