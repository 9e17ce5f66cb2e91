//! A model: its manifest and where its files lie on this machine.

use crate::{
    CatalogError, Manifest,
    catalog::CatalogConfig,
    lock::{LockedModel, ModelsLock},
};
use hf_hub::{Cache, Repo, RepoType};
use std::path::{Path, PathBuf};
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
    data_dir: PathBuf,
}

impl Model {
    pub(crate) fn new(id: ModelId, manifest: Manifest, config: &CatalogConfig, lock: &ModelsLock) -> Self {
        let directory = find_directory(&id, &manifest, config, lock);
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
    pub fn revision(&self) -> String {
        String::new()
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
        Err(CatalogError::NotInstalled { model: self.id.clone(), voice: None, missing })
    }

    /// A published file on disk.
    pub(crate) fn file(&self, path: &str) -> Option<PathBuf> {
        self.directory.as_ref().map(|directory| directory.join(path)).filter(|path| path.is_file())
    }
}

/// The first of these that holds every file of the manifest: a directory that somebody filled by hand, the
/// commit in `models.lock`, the commit to which the hub cache's ref points (pulled by other programs).
fn find_directory(
    id: &ModelId,
    manifest: &Manifest,
    config: &CatalogConfig,
    lock: &ModelsLock,
) -> Option<PathBuf> {
    let complete = |directory: &PathBuf| {
        let mut files = manifest.files.iter();
        !manifest.files.is_empty() && files.all(|file| directory.join(&file.path).is_file())
    };
    let plain = config.data_dir.join("models").join(id.as_str());
    if complete(&plain) {
        return Some(plain);
    }
    let source = manifest.source.as_ref()?;
    let cache = hub_cache(config);
    let locked = lock.models.get(id.as_str()).filter(|locked| locked.repository == source.hub);
    let locked = locked.map(|locked| snapshot(&cache, &source.hub, locked));
    if let Some(directory) = locked.filter(complete) {
        return Some(directory);
    }
    let first = manifest.files.first()?;
    let repo = Repo::with_revision(source.hub.clone(), RepoType::Model, source.revision.clone());
    let file = cache.repo(repo).get(&first.path)?;
    let depth = Path::new(&first.path).components().count();
    file.ancestors().nth(depth).map(Path::to_path_buf).filter(complete)
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
