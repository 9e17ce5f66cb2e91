//! Language tags.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A language as a lower-case BCP 47 tag: `en-us`, `en-gb`, `fr-fr`, `ja`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Language(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a language tag such as `en-us` or `fr`")]
pub struct ParseLanguageError(String);

impl Language {
    pub fn en_us() -> Self {
        Self("en-us".to_owned())
    }
    pub fn en_gb() -> Self {
        Self("en-gb".to_owned())
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The part before the first hyphen: `en` of `en-gb`.
    pub fn primary(&self) -> &str {
        self.0.split('-').next().unwrap_or_default()
    }
    pub fn is_english(&self) -> bool {
        self.primary() == "en"
    }
    pub fn is_british(&self) -> bool {
        self.0 == "en-gb"
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Language {
    type Err = ParseLanguageError;

    /// Accepts any case and `_` for `-`; a bare `en` becomes `en-us`.
    fn from_str(text: &str) -> Result<Self, ParseLanguageError> {
        let tag = text.trim().to_ascii_lowercase().replace('_', "-");
        let mut parts = tag.split('-');
        let primary_ok = parts
            .next()
            .is_some_and(|p| (2..=3).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_lowercase()));
        let rest_ok =
            parts.all(|p| (1..=8).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_alphanumeric()));
        if !primary_ok || !rest_ok || tag.len() > 35 {
            return Err(ParseLanguageError(text.to_owned()));
        }
        Ok(if tag == "en" { Self::en_us() } else { Self(tag) })
    }
}

impl TryFrom<String> for Language {
    type Error = ParseLanguageError;
    fn try_from(text: String) -> Result<Self, ParseLanguageError> {
        text.parse()
    }
}

impl From<Language> for String {
    fn from(language: Language) -> Self {
        language.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_normalised_and_nonsense_is_refused() {
        assert_eq!("en".parse::<Language>().unwrap(), Language::en_us());
        assert_eq!("EN_gb".parse::<Language>().unwrap(), Language::en_gb());
        assert_eq!("zh-Hans-CN".parse::<Language>().unwrap().primary(), "zh");
        for bad in ["", "e", "english", "en-", "en-us/../x", "1n"] {
            assert!(bad.parse::<Language>().is_err(), "{bad}");
        }
    }
}
