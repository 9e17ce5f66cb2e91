//! From a client's voice string to a voice: the first rule that matches wins, and nothing here touches a path.
//!
//! Exact id; exact file name; alias; the stem (one known extension removed) exactly, then in any case and Unicode
//! composition; the name that listings show; OpenAI's names. A string that is no voice by these rules may be a blend of voices.

use crate::{
    CatalogError, Hold, Model, OPENAI_VOICES, VoiceEntry,
    index::VoiceIndex,
    names::{self, NAME_LIMIT, fold, shown, strip_extension},
};
use std::collections::BTreeMap;
use stentor_types::{Language, VoiceKind, VoiceSource};

/// Longer strings are not read as blends.
const BLEND_LIMIT: usize = 1024;
const BLEND_PARTS: usize = 16;

/// A voice that the model can use.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedVoice {
    /// The same for every spelling of the same voice; for a blend its parts by id, `a(2)+b`.
    pub id: String,
    pub source: VoiceSource,
    /// The voice's first language; of a blend that of its first part.
    pub language: Option<Language>,
    /// To be kept while the voice is in use, so that the files of one that is deleted meanwhile stay.
    pub holds: Vec<Hold>,
}

impl From<&VoiceEntry> for ResolvedVoice {
    fn from(entry: &VoiceEntry) -> Self {
        Self {
            id: entry.id.as_str().to_owned(),
            source: entry.source.clone(),
            language: entry.languages.first().cloned(),
            holds: entry.hold.iter().cloned().collect(),
        }
    }
}

pub(crate) type Aliases = BTreeMap<String, Vec<String>>;

/// What one model's voices are looked up in.
pub(crate) struct Resolver<'a> {
    pub(crate) model: &'a Model,
    /// Voices that the model can use.
    pub(crate) usable: &'a VoiceIndex,
    /// Voices that it cannot, for a better error; the text says why.
    pub(crate) unusable: &'a VoiceIndex,
    pub(crate) why_not: &'a dyn Fn(&VoiceEntry) -> CatalogError,
    pub(crate) aliases: &'a Aliases,
}

impl<'a> Resolver<'a> {
    pub(crate) fn resolve(&self, requested: Option<&str>) -> Result<ResolvedVoice, CatalogError> {
        let Some(name) = requested.filter(|name| !name.is_empty()) else {
            return self.default_voice().map(ResolvedVoice::from);
        };
        match self.one(name) {
            Err(error) => match blend_parts(name).map(|parts| self.blend(name, &parts)) {
                // A voice of just this name exists: why it cannot be used says more than what is wrong with a part.
                Some(Err(of_part)) if matches!(error, CatalogError::VoiceNotFound { .. }) => Err(of_part),
                Some(Ok(blend)) => Ok(blend),
                _ => Err(error),
            },
            found => found.map(ResolvedVoice::from),
        }
    }

    /// The manifest's default voice; where it is not on disk, the first that is.
    fn default_voice(&self) -> Result<&'a VoiceEntry, CatalogError> {
        let voices = &self.model.manifest().voices;
        let entry = voices.default.as_deref().and_then(|name| self.usable.exact(name));
        if let Some(entry) = entry.or_else(|| self.usable.entries().first()) {
            return Ok(entry);
        }
        self.model.check_installed()?;
        Err(CatalogError::NoVoices { model: self.model.id.clone() })
    }

    fn one(&self, name: &str) -> Result<&'a VoiceEntry, CatalogError> {
        if name.len() <= NAME_LIMIT {
            if let Some(entry) = self.find(self.usable, name) {
                return Ok(entry);
            }
            if let Some(result) = self.openai(name) {
                return result;
            }
            if let Some(entry) = self.find(self.unusable, name) {
                return Err((self.why_not)(entry));
            }
        }
        Err(self.unknown(name))
    }

    fn find<'i>(&self, index: &'i VoiceIndex, name: &str) -> Option<&'i VoiceEntry> {
        let alias = || {
            let targets = self.aliases.get(name)?;
            targets.iter().find_map(|target| {
                index.exact(target).or_else(|| index.stem(target)).or_else(|| index.named(target))
            })
        };
        index.exact(name).or_else(alias).or_else(|| index.stem(name)).or_else(|| index.named(name))
    }

    fn openai(&self, name: &str) -> Option<Result<&'a VoiceEntry, CatalogError>> {
        let name = fold(strip_extension(name));
        if !OPENAI_VOICES.contains(&name.as_str()) {
            return None;
        }
        let own = self.model.manifest().openai.get(&name).and_then(|own| self.usable.exact(own));
        Some(own.map_or_else(|| self.default_voice(), Ok))
    }

    fn unknown(&self, name: &str) -> CatalogError {
        let ids = self.usable.entries().iter().map(|entry| entry.id.as_str());
        let aliases = self.aliases.keys().map(String::as_str);
        let aliases = aliases.filter(|alias| self.find(self.usable, alias).is_some());
        CatalogError::VoiceNotFound { name: shown(name), nearest: names::nearest(name, ids.chain(aliases)) }
    }

    fn blend(&self, blend: &str, parts: &[&str]) -> Result<ResolvedVoice, CatalogError> {
        let wrong =
            |part: &str, reason| CatalogError::Blend { blend: shown(blend), part: shown(part), reason };
        if parts.len() > BLEND_PARTS {
            return Err(wrong(parts[BLEND_PARTS], "is one part too many"));
        }
        let mut voices: Vec<(&VoiceEntry, f32)> = Vec::with_capacity(parts.len());
        for part in parts {
            let (name, weight) = split_weight(part).map_err(|reason| wrong(part, reason))?;
            voices.push((self.one(name)?, weight));
        }
        if let [(entry, _)] = voices[..] {
            return Ok(entry.into());
        }
        if !self.model.voice_kinds.contains(&VoiceKind::Blend) {
            let hint = "it cannot blend voices".to_owned();
            let model = self.model.id.clone();
            return Err(CatalogError::VoiceNotSupported { voice: shown(blend), model, hint });
        }
        let id = voices.iter().map(|(entry, weight)| weighted(entry.id.as_str(), *weight));
        Ok(ResolvedVoice {
            id: id.collect::<Vec<_>>().join("+"),
            language: voices.iter().find_map(|(entry, _)| entry.languages.first().cloned()),
            holds: voices.iter().filter_map(|(entry, _)| entry.hold.clone()).collect(),
            source: VoiceSource::Blend {
                parts: voices.iter().map(|(entry, weight)| (entry.source.clone(), *weight)).collect(),
            },
        })
    }
}

fn weighted(id: &str, weight: f32) -> String {
    // Exact: only a weight that was left out or written as 1 is left out.
    if weight.to_bits() == 1.0_f32.to_bits() { id.to_owned() } else { format!("{id}({weight})") }
}

/// The parts of `a(2)+b(1)`, `a,b` or `a(2)`; `None` when the string has no blend's form.
fn blend_parts(name: &str) -> Option<Vec<&str>> {
    let formed = name.contains(['+', ',']) || (name.ends_with(')') && name.contains('('));
    (formed && name.len() <= BLEND_LIMIT).then(|| name.split(['+', ',']).map(str::trim).collect())
}

fn split_weight(part: &str) -> Result<(&str, f32), &'static str> {
    let (name, weight) = match part.strip_suffix(')').and_then(|part| part.rsplit_once('(')) {
        None => (part, 1.0),
        Some((name, weight)) => {
            let weight = weight.trim().parse::<f32>().map_err(|_| "has a weight that is not a number")?;
            (name.trim_end(), weight)
        }
    };
    if name.is_empty() {
        return Err("names no voice");
    }
    if !(weight.is_finite() && weight > 0.0 && weight <= 1000.0) {
        return Err("needs a weight above 0 and at most 1000");
    }
    Ok((name, weight))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blends_are_told_from_plain_names() {
        assert_eq!(blend_parts("af_bella(2)+af_sky(1)"), Some(vec!["af_bella(2)", "af_sky(1)"]));
        assert_eq!(blend_parts("a, b"), Some(vec!["a", "b"]));
        assert_eq!(blend_parts("a(2)"), Some(vec!["a(2)"]));
        assert_eq!(blend_parts("Emily.wav"), None);
        assert_eq!(blend_parts(&"a,".repeat(10_000)), None);
    }

    #[test]
    fn weights_are_positive_numbers() {
        assert_eq!(split_weight("a(0.5)"), Ok(("a", 0.5)));
        assert_eq!(split_weight("a"), Ok(("a", 1.0)));
        for bad in ["a(0)", "a(-1)", "a(x)", "a(NaN)", "a(inf)", "a()", "", "(2)"] {
            assert!(split_weight(bad).is_err(), "{bad}");
        }
    }
}
