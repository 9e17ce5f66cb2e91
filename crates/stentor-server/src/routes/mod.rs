//! Handlers, one noun per file.

pub(crate) mod health;
pub(crate) mod models;
pub(crate) mod speech;
pub(crate) mod voices;
