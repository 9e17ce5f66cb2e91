//! Whether a model's files are what was pulled, or what its manifest says.

use crate::{CatalogConfig, CatalogError, Model, ModelsLock, digest::hash_of};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// A file of a model and what is known of its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileCheck {
    pub path: PathBuf,
    /// Bytes; zero when it can't be looked at.
    pub size: u64,
    /// The content was compared with a known hash.
    pub hashed: bool,
    /// What is wrong with it.
    pub fault: Option<String>,
}

#[derive(Debug, Default)]
struct Expected {
    size: Option<u64>,
    sha256: Option<String>,
}

/// Looks at the files of an installed model; of an embedded one there are none. `hash`: read them whole.
pub(crate) fn check_files(
    config: &CatalogConfig,
    model: &Model,
    hash: bool,
) -> Result<Vec<FileCheck>, CatalogError> {
    let Some(directory) = model.directory() else { return Ok(Vec::new()) };
    let expected = expectations(config, model)?;
    Ok(expected.into_iter().map(|(name, expected)| check(&directory.join(name), &expected, hash)).collect())
}

/// By path: what the manifest says, and where the model was pulled, what the hub said then.
fn expectations(config: &CatalogConfig, model: &Model) -> Result<BTreeMap<String, Expected>, CatalogError> {
    let mut all: BTreeMap<String, Expected> = BTreeMap::new();
    for file in &model.manifest().files {
        all.insert(file.path.clone(), Expected { size: file.size, sha256: file.sha256.clone() });
    }
    let lock = ModelsLock::read(&config.data_dir)?;
    let locked = lock.models.get(model.id.as_str()).filter(|locked| model.revision() == locked.revision);
    for (path, file) in locked.into_iter().flat_map(|locked| &locked.files) {
        let expected = all.entry(path.clone()).or_default();
        expected.size.get_or_insert(file.size);
        expected.sha256.get_or_insert_with(|| file.sha256.clone());
    }
    Ok(all)
}

fn check(path: &Path, expected: &Expected, hash: bool) -> FileCheck {
    let mut check = FileCheck { path: path.to_owned(), size: 0, hashed: false, fault: None };
    check.fault = fault(path, expected, hash, &mut check).unwrap_or_else(|error| {
        Some(match error.kind() {
            io::ErrorKind::NotFound => "it is missing".to_owned(),
            _ => error.to_string(),
        })
    });
    check
}

fn fault(path: &Path, expected: &Expected, hash: bool, check: &mut FileCheck) -> io::Result<Option<String>> {
    check.size = fs::metadata(path)?.len();
    if let Some(size) = expected.size.filter(|size| *size != check.size) {
        return Ok(Some(format!("it has {} bytes instead of {size}", check.size)));
    }
    let file = File::open(path)?;
    let Some(sha256) = expected.sha256.as_deref().filter(|_| hash) else { return Ok(None) };
    let actual = hash_of(file)?;
    check.hashed = true;
    Ok((actual != sha256).then(|| format!("its sha256 is {actual} instead of {sha256}")))
}
