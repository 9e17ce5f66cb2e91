//! OpenAI's wire types. They never leave this module: handlers get validated values.

pub mod models;
pub mod speech;
pub mod voices;
