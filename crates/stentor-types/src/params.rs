//! Engine parameters: an engine declares what it understands, the server checks values against that.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Validated engine parameters of one request, by name.
pub type Params = BTreeMap<String, ParamValue>;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ParamValue {
    Bool(bool),
    Integer(i64),
    Number(f64),
    Text(String),
}

/// The type and range of a parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ParamKind {
    Bool { default: bool },
    Integer { min: i64, max: i64, default: i64 },
    Number { min: f64, max: f64, default: f64 },
    Text { default: String },
}

/// One parameter that an engine understands beyond the common ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParamSpec {
    pub name: String,
    pub kind: ParamKind,
    /// What it is from a text's second chunk on, where that is not what it is by default: nobody waits for the first sound there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub later: Option<ParamValue>,
    pub description: String,
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ParamError {
    #[error("`{name}` must be {expected}")]
    Type { name: String, expected: &'static str },
    #[error("`{name}` must be between {min} and {max}")]
    Range { name: String, min: f64, max: f64 },
}

impl ParamSpec {
    /// Checks type and range; an integer is accepted where a number is asked for.
    pub fn check(&self, value: ParamValue) -> Result<ParamValue, ParamError> {
        let name = || self.name.clone();
        match (&self.kind, value) {
            (ParamKind::Bool { .. }, value @ ParamValue::Bool(_))
            | (ParamKind::Text { .. }, value @ ParamValue::Text(_)) => Ok(value),
            (&ParamKind::Integer { min, max, .. }, ParamValue::Integer(value)) => {
                if (min..=max).contains(&value) {
                    return Ok(ParamValue::Integer(value));
                }
                Err(ParamError::Range { name: name(), min: min as f64, max: max as f64 })
            }
            (&ParamKind::Number { min, max, .. }, ParamValue::Number(value)) => {
                in_range(name, value, min, max)
            }
            (&ParamKind::Number { min, max, .. }, ParamValue::Integer(value)) => {
                in_range(name, value as f64, min, max)
            }
            (kind, _) => Err(ParamError::Type { name: name(), expected: kind.expected() }),
        }
    }
}

fn in_range(name: impl Fn() -> String, value: f64, min: f64, max: f64) -> Result<ParamValue, ParamError> {
    if (min..=max).contains(&value) {
        return Ok(ParamValue::Number(value));
    }
    Err(ParamError::Range { name: name(), min, max })
}

impl ParamKind {
    fn expected(&self) -> &'static str {
        match self {
            Self::Bool { .. } => "true or false",
            Self::Integer { .. } => "an integer",
            Self::Number { .. } => "a number",
            Self::Text { .. } => "a string",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_held_to_type_and_range() {
        let kind = ParamKind::Number { min: 0.0, max: 2.0, default: 1.0 };
        let spec = ParamSpec { name: "t".into(), kind, later: None, description: String::new() };
        assert_eq!(spec.check(ParamValue::Integer(2)), Ok(ParamValue::Number(2.0)));
        assert!(matches!(spec.check(ParamValue::Number(2.5)), Err(ParamError::Range { .. })));
        assert!(matches!(spec.check(ParamValue::Number(f64::NAN)), Err(ParamError::Range { .. })));
        assert!(matches!(spec.check(ParamValue::Bool(true)), Err(ParamError::Type { .. })));
    }
}
