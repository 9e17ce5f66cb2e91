//! OpenAI's wire types. They never leave this module: handlers get validated values.

pub(crate) mod delivery;
pub(crate) mod lexicon;
pub(crate) mod models;
pub(crate) mod speech;
pub(crate) mod upload;
pub(crate) mod voices;
pub(crate) mod words;

use crate::{ApiError, ErrorCode};
use serde_json::{Map, Value};

/// A body that must be a JSON object. Read as one first, because serde takes a list for a struct, too.
pub(crate) fn object(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|e| ApiError::new(ErrorCode::InvalidJson, format!("the body is not valid JSON: {e}")))?;
    match value {
        Value::Object(fields) => Ok(fields),
        _ => Err(ApiError::new(ErrorCode::InvalidJson, "the body must be a JSON object")),
    }
}
