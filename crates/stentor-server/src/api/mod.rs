//! OpenAI's wire types. They never leave this module: handlers get validated values.

pub(crate) mod delivery;
pub(crate) mod lexicon;
pub(crate) mod models;
pub(crate) mod speech;
pub(crate) mod upload;
pub(crate) mod voices;
pub(crate) mod words;
