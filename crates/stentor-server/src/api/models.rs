//! The wire form of `GET /v1/models`.

use serde::Serialize;
use stentor_catalog::Model;

#[derive(Debug, Serialize)]
pub struct ModelObject<'a> {
    pub id: &'a str,
    pub object: &'static str,
    /// OpenAI's clients want a Unix time; a model of ours has no meaningful one.
    pub created: u64,
    pub owned_by: &'static str,
    pub name: &'a str,
    pub licence: &'a str,
    pub languages: Vec<&'a str>,
    /// Its files are here, so that it can speak.
    pub installed: bool,
}

impl<'a> From<&'a Model> for ModelObject<'a> {
    fn from(model: &'a Model) -> Self {
        Self {
            id: model.id.as_str(),
            object: "model",
            created: 0,
            owned_by: "stentor",
            name: &model.name,
            licence: &model.licence,
            languages: model.languages.iter().map(stentor_types::Language::as_str).collect(),
            installed: model.installed,
        }
    }
}

#[derive(Debug, Serialize)]
pub struct ModelList<'a> {
    pub object: &'static str,
    pub data: Vec<ModelObject<'a>>,
}
