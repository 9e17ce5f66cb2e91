//! A model: its manifest and where its files lie on this machine.

use crate::{
    CatalogError, Manifest,
    catalog::CatalogConfig,
    digest::{add, hex},
    lock::{LockedModel, ModelsLock},
};
use hf_hub::{Cache, Repo, RepoType};
use sha2::{Digest as _, Sha256};
use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};
use stentor_types::{DeviceSpec, Language, LoadSpec, ModelId, Precision, VoiceKind};

/// A model that a manifest describes, installed or not.
#[derive(Debug, Clone)]
pub struct Model {
    pub id: ModelId,
    /// In the worker's registry.
    pub engine: String,
    /// For people.
    pub name: String,
    pub description: String,
    /// SPDX expression.
    pub licence: String,
    pub notices: Vec<String>,
    pub languages: Vec<Language>,
    pub voice_kinds: Vec<VoiceKind>,
    /// Bytes, a planning figure.
    pub memory: Option<u64>,
    /// Every file that it needs in order to load is on disk.
    pub installed: bool,
    manifest: Manifest,
    directory: Option<PathBuf>,
    revision: String,
    data_dir: PathBuf,
}

impl Model {
    pub(crate) fn new(id: ModelId, manifest: Manifest, config: &CatalogConfig, lock: &ModelsLock) -> Self {
        let place = find_directory(&id, &manifest, config, lock);
        let revision = place.as_ref().map(|place| revision(place, &manifest)).unwrap_or_default();
        let directory = place.map(|place| place.directory);
        Self {
            engine: manifest.engine.clone(),
            name: manifest.title.clone(),
            description: manifest.description.clone(),
            licence: manifest.licence.clone(),
            notices: manifest.notices.clone(),
            languages: manifest.languages.clone(),
            voice_kinds: manifest.voice_kinds.clone(),
            memory: manifest.memory_mib.map(|mib| mib * 1024 * 1024),
            installed: manifest.files.is_empty() || directory.is_some(),
            directory,
            revision,
            data_dir: config.data_dir.clone(),
            manifest,
            id,
        }
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The directory that holds the model's files; `None` when embedded or not installed.
    pub fn directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// Names the model's content: the commit it was pulled from, or the sizes and times of files put there by hand;
    /// empty for an embedded model, which changes with the program only.
    ///
    /// As it was when the catalog was read.
    pub fn revision(&self) -> String {
        self.revision.clone()
    }

    /// What a worker needs to load the model. `threads` zero means one per core.
    pub fn load_spec(
        &self,
        device: DeviceSpec,
        precision: Precision,
        threads: usize,
    ) -> Result<LoadSpec, CatalogError> {
        self.check_installed()?;
        let files = self.manifest.files.iter();
        Ok(LoadSpec {
            model: self.id.clone(),
            engine: self.engine.clone(),
            files: self
                .directory
                .iter()
                .flat_map(|directory| {
                    files.clone().map(move |file| (file.role.clone(), directory.join(&file.path)))
                })
                .collect(),
            device,
            precision,
            threads,
            cache_dir: Some(self.data_dir.join("cache").join(self.id.as_str())),
        })
    }

    pub(crate) fn check_installed(&self) -> Result<(), CatalogError> {
        if self.installed {
            return Ok(());
        }
        let missing = self.manifest.files.iter().map(|file| file.path.clone()).collect();
        let published = self.manifest.source.is_some();
        Err(CatalogError::NotInstalled { model: self.id.clone(), voice: None, missing, published })
    }

    /// A published file on disk.
    pub(crate) fn file(&self, path: &str) -> Option<PathBuf> {
        self.directory.as_ref().map(|directory| directory.join(path)).filter(|path| path.is_file())
    }
}

/// Where a model's files are, and the commit that `models.lock` says they are of.
struct Place {
    directory: PathBuf,
    commit: Option<String>,
}

/// The first of these that holds every file of the manifest: a directory that somebody filled by hand, the
/// commit in `models.lock`, the commit to which the hub cache's ref points (pulled by other programs).
fn find_directory(
    id: &ModelId,
    manifest: &Manifest,
    config: &CatalogConfig,
    lock: &ModelsLock,
) -> Option<Place> {
    let complete = |directory: &PathBuf| {
        let mut files = manifest.files.iter();
        !manifest.files.is_empty() && files.all(|file| directory.join(&file.path).is_file())
    };
    let plain = config.data_dir.join("models").join(id.as_str());
    if complete(&plain) {
        return Some(Place { directory: plain, commit: None });
    }
    let source = manifest.source.as_ref()?;
    let cache = hub_cache(config);
    if let Some(locked) = lock.models.get(id.as_str()).filter(|locked| locked.repository == source.hub) {
        let directory = snapshot(&cache, &source.hub, locked);
        if complete(&directory) {
            return Some(Place { directory, commit: Some(locked.revision.clone()) });
        }
    }
    let first = manifest.files.first()?;
    let repo = Repo::with_revision(source.hub.clone(), RepoType::Model, source.revision.clone());
    let file = cache.repo(repo).get(&first.path)?;
    let depth = Path::new(&first.path).components().count();
    let directory = file.ancestors().nth(depth).map(Path::to_path_buf).filter(complete)?;
    Some(Place { directory, commit: None })
}

/// The commit, else a hash of what the files look like: hashing gigabytes at every start would take too long.
fn revision(place: &Place, manifest: &Manifest) -> String {
    if let Some(commit) = &place.commit {
        return commit.clone();
    }
    let mut hash = Sha256::new();
    for file in &manifest.files {
        add(&mut hash, file.role.as_bytes());
        add(&mut hash, file.path.as_bytes());
        // A file that can't be looked at won't be loaded either.
        if let Ok(metadata) = fs::metadata(place.directory.join(&file.path)) {
            for number in [metadata.len() as i64, metadata.mtime(), metadata.mtime_nsec()] {
                hash.update(number.to_le_bytes());
            }
        }
    }
    format!("files:{}", hex(hash))
}

/// Where the commit's files lie in the hub cache.
fn snapshot(cache: &Cache, hub: &str, locked: &LockedModel) -> PathBuf {
    cache.model(hub.to_owned()).pointer_path(&locked.revision)
}

/// The hub cache: `<HF_HOME>/hub`, by default under the data directory.
pub(crate) fn hub_cache(config: &CatalogConfig) -> Cache {
    let home = config.hf.home.clone().unwrap_or_else(|| config.data_dir.join("huggingface"));
    Cache::new(home.join("hub"))
}
