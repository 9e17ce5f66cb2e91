//! The field `lexicon` of a request: entries as in `lexicon.toml`, for this text only.

use crate::{ApiError, ErrorCode};
use serde_json::Value;
use std::sync::Arc;
use stentor_text::lexicon::{Lexicon, RawEntry};

/// Entries in a request; what is always needed belongs into the server's own lexicon.
pub(crate) const MAX_ENTRIES: usize = 200;

/// Reads the field; an error says which entry is wrong, counted from zero as in JSON.
pub(super) fn read(value: Option<Value>) -> Result<Option<Arc<Lexicon>>, ApiError> {
    let entries = match value {
        None => return Ok(None),
        Some(Value::Array(entries)) => entries,
        Some(_) => return Err(invalid("`lexicon` must be a list of entries")),
    };
    if entries.len() > MAX_ENTRIES {
        return Err(invalid(format!("`lexicon` has more than {MAX_ENTRIES} entries")));
    }
    let mut raw = Vec::with_capacity(entries.len());
    for (index, entry) in entries.into_iter().enumerate() {
        // serde would take a list for an entry, too.
        let Value::Object(mut fields) = entry else {
            return Err(invalid(format!("`lexicon[{index}]` must be an object")));
        };
        fields.retain(|_, value| !value.is_null());
        let entry: RawEntry = serde_json::from_value(Value::Object(fields)).map_err(|e| wrong(index, &e))?;
        raw.push(entry);
    }
    let lexicon = Lexicon::from_raw(raw).map_err(|(index, error)| wrong(index, &error))?;
    Ok(Some(Arc::new(lexicon)))
}

fn wrong(index: usize, error: &dyn std::error::Error) -> ApiError {
    invalid(format!("`lexicon[{index}]`: {error}"))
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::field(ErrorCode::InvalidValue, "lexicon", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn entries_are_read_and_a_bad_one_is_named() {
        let good = json!([{"word": "SQL", "replace": "sequel"}, {"word": "Nguyen", "ipa": "wɪn", "case": "exact", "language": "en"}]);
        assert_eq!(read(Some(good)).unwrap().unwrap().entries().len(), 2);
        let null = json!([{"word": "x", "replace": "y", "case": null, "language": null, "ipa": null}]);
        assert_eq!(read(Some(null)).unwrap().unwrap().entries()[0].case().name(), "any");
        assert!(read(None).unwrap().is_none());
        let rows = [
            (json!({}), "must be a list"),
            (json!(vec![json!({"word": "a", "replace": "b"}); 201]), "more than 200 entries"),
            (json!([{"word": "a", "replace": "b"}, 7]), "`lexicon[1]`"),
            (json!([{"word": "a"}]), "needs `replace` or `ipa`"),
            (json!([{"word": null, "replace": "b"}]), "missing field `word`"),
            (json!([{"word": "a", "say": "b"}]), "unknown field `say`"),
            (json!([{"word": "a", "replace": "b", "case": "upper"}]), "unknown variant `upper`"),
            (json!([["a", "b"]]), "`lexicon[0]` must be an object"),
            (
                json!([{"word": "a", "replace": "b"}, {"word": "A", "replace": "c"}]),
                "`lexicon[1]`: `A` stands there twice",
            ),
        ];
        for (value, message) in rows {
            let error = read(Some(value.clone())).unwrap_err();
            assert!(error.message.contains(message), "{value}: {}", error.message);
            assert_eq!(error.param.as_deref(), Some("lexicon"));
        }
    }
}
