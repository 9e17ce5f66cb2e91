//! OpenAI's wire types. They never leave this module: handlers get validated values.

mod lexicon;
pub(crate) mod models;
pub(crate) mod speech;
pub(crate) mod voices;
