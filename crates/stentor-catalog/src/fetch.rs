//! What to fetch and how each file is checked: hf-hub brings it, its size and hash are compared with what the
//! manifest, `models.lock` and the hub say, and only then is it recorded.

use crate::{
    CatalogConfig, CatalogError, FileSpec, HubSource, LockedFile, LockedModel, ModelsLock, PullEvent, Pulled,
    attempt::{Failure, Note, PART, Reporter},
    digest::hash_of,
    manifest::is_sha256,
    model::hub_cache,
};
use hf_hub::{
    Cache, Repo, RepoType,
    api::tokio::{Api, ApiBuilder, ApiError, Metadata},
};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};
use stentor_types::ModelId;
use tokio::sync::mpsc;

/// A file of a repository and what the manifest knows of it.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    path: String,
    size: Option<u64>,
    sha256: Option<String>,
}

impl Wanted {
    pub(crate) fn unknown(path: String) -> Self {
        Self { path, size: None, sha256: None }
    }
}

impl From<&FileSpec> for Wanted {
    fn from(file: &FileSpec) -> Self {
        Self { path: file.path.clone(), size: file.size, sha256: file.sha256.clone() }
    }
}

/// What one attempt has to do.
pub(crate) struct Fetch {
    config: CatalogConfig,
    model: ModelId,
    source: HubSource,
    cache: Cache,
    /// Files that earlier attempts have not settled, with their position among all.
    wanted: Vec<(usize, Wanted)>,
    files: usize,
    locked: Option<LockedModel>,
}

impl Fetch {
    pub(crate) fn new(
        config: CatalogConfig,
        model: ModelId,
        source: HubSource,
        wanted: &[Wanted],
        pulled: &Pulled,
    ) -> Result<Self, CatalogError> {
        let lock = ModelsLock::read(&config.data_dir)?;
        // A manifest that pins a commit outweighs what was pulled before.
        let other = |locked: &LockedModel| is_commit(&source.revision) && source.revision != locked.revision;
        let locked = lock.models.get(model.as_str()).filter(|l| l.repository == source.hub && !other(l));
        let settled = |path: &String| pulled.fetched.contains(path) || pulled.present.contains(path);
        let open = wanted.iter().cloned().enumerate().filter(|(_, file)| !settled(&file.path));
        Ok(Self {
            cache: hub_cache(&config),
            locked: locked.cloned(),
            wanted: open.collect(),
            files: wanted.len(),
            config,
            model,
            source,
        })
    }

    /// Returns the commit and the directory with its files.
    pub(crate) async fn run(mut self, notes: mpsc::Sender<Note>) -> Result<(String, PathBuf), Failure> {
        let mut api = None;
        let mut asked_hub = false;
        for (index, wanted) in std::mem::take(&mut self.wanted) {
            let mut fetched = false;
            let size = match self.check_recorded(&wanted, &notes).await? {
                Some(size) => size,
                None if self.config.hf.offline => {
                    let error = CatalogError::Offline { model: self.model.clone(), file: wanted.path };
                    return Err(Failure::Final(error));
                }
                None => {
                    let api = match &api {
                        Some(api) => api,
                        None => api.insert(self.api().map_err(|error| self.failure(&wanted.path, error))?),
                    };
                    asked_hub |= self.locked.is_none();
                    let size;
                    (size, fetched) = self.fetch(api, (index, &wanted), &notes).await?;
                    size
                }
            };
            let done = PullEvent::Done { file: wanted.path, size, fetched };
            let _ = notes.send(Note::Event(done)).await;
        }
        let revision = self.locked.as_ref().map(|locked| locked.revision.clone()).unwrap_or_default();
        if asked_hub {
            // Other programs find the files by the branch's name.
            let written = self.cache.repo(self.repo(&self.source.revision)).create_ref(&revision);
            written.map_err(CatalogError::io(self.cache.path()))?;
        }
        let directory = self.cache.model(self.source.hub.clone()).pointer_path(&revision);
        Ok((revision, directory))
    }

    fn repo(&self, revision: &str) -> Repo {
        Repo::with_revision(self.source.hub.clone(), RepoType::Model, revision.to_owned())
    }

    fn api(&self) -> Result<Api, ApiError> {
        let mut builder = ApiBuilder::from_cache(self.cache.clone())
            .with_progress(false)
            .with_chunk_size(Some(PART))
            .with_user_agent("stentor", env!("CARGO_PKG_VERSION"));
        if let Some(endpoint) = &self.config.hf.endpoint {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
        }
        if let Some(token) = &self.config.hf.token {
            builder = builder.with_token(Some(token.clone()));
        }
        builder.build()
    }

    /// The size of a file that is on disk just as `models.lock` and the manifest have it.
    async fn check_recorded(
        &self,
        wanted: &Wanted,
        notes: &mpsc::Sender<Note>,
    ) -> Result<Option<u64>, CatalogError> {
        let Some(locked) = &self.locked else { return Ok(None) };
        let Some(recorded) = locked.files.get(&wanted.path) else { return Ok(None) };
        let other_hash = wanted.sha256.as_ref().is_some_and(|hash| *hash != recorded.sha256);
        let path = self.pointer(&locked.revision, &wanted.path);
        if other_hash || fs::metadata(&path).map_or(0, |data| data.len()) != recorded.size {
            return Ok(None);
        }
        let _ = notes.send(Note::Event(PullEvent::Verify { file: wanted.path.clone() })).await;
        let right = sha256_of(&path).map_err(CatalogError::io(&path))? == recorded.sha256;
        Ok(right.then_some(recorded.size))
    }

    fn pointer(&self, commit: &str, file: &str) -> PathBuf {
        self.cache.model(self.source.hub.clone()).pointer_path(commit).join(file)
    }

    /// Gets one file, checks and records it; returns its size and whether it came over the network.
    async fn fetch(
        &mut self,
        api: &Api,
        (index, wanted): (usize, &Wanted),
        notes: &mpsc::Sender<Note>,
    ) -> Result<(u64, bool), Failure> {
        let file = &wanted.path;
        // After the first file the commit is known, so that all files are of one state of the repository.
        let revision = self.locked.as_ref().map_or(&self.source.revision, |locked| &locked.revision).clone();
        let url = api.repo(self.repo(&revision)).url(file);
        let remote = api.metadata(&url).await.map_err(|error| self.failure(file, error))?;
        let commit = remote.commit_hash().to_owned();
        self.check_names(file, &remote)?;
        let path = self.pointer(&commit, file);
        let mut fetched = false;
        loop {
            if !path.is_file() {
                let reporter = Reporter::new(notes.clone(), (index, self.files));
                let download = api.repo(self.repo(&commit)).download_with_progress(file, reporter).await;
                download.map_err(|error| self.failure(file, error))?;
                fetched = true;
            }
            let _ = notes.send(Note::Event(PullEvent::Verify { file: file.clone() })).await;
            match self.verify(wanted, &remote, &path) {
                Ok(found) => {
                    let size = found.size;
                    self.record(file, &commit, found)?;
                    return Ok((size, fetched));
                }
                Err(error @ CatalogError::Hash { .. }) => {
                    remove_with_blob(&path).map_err(CatalogError::io(&path))?;
                    // What was on disk before may be damaged; what has just come is what the hub has.
                    if fetched {
                        return Err(error.into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Commit and etag become parts of paths: they must be plain.
    fn check_names(&self, file: &str, remote: &Metadata) -> Result<(), CatalogError> {
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric());
        if plain(remote.commit_hash()) && plain(remote.etag()) {
            return Ok(());
        }
        Err(self.error(file, "the hub's answer names no proper commit or etag".to_owned()))
    }

    fn verify(&self, wanted: &Wanted, remote: &Metadata, path: &Path) -> Result<LockedFile, CatalogError> {
        let wrong = |what, expected: String, actual: String| CatalogError::Hash {
            file: wanted.path.clone(),
            what,
            expected,
            actual,
        };
        let size = fs::metadata(path).map_err(CatalogError::io(path))?.len();
        let recorded = self.locked.as_ref().filter(|locked| locked.revision == remote.commit_hash());
        let recorded = recorded.and_then(|locked| locked.files.get(&wanted.path));
        let sizes = [wanted.size, recorded.map(|file| file.size), Some(remote.size() as u64)];
        if let Some(expected) = sizes.into_iter().flatten().find(|&expected| expected != size) {
            return Err(wrong("its size", expected.to_string(), size.to_string()));
        }
        let sha256 = sha256_of(path).map_err(CatalogError::io(path))?;
        let etag = Some(remote.etag()).filter(|etag| is_sha256(etag));
        let hashes = [wanted.sha256.as_deref(), recorded.map(|file| file.sha256.as_str()), etag];
        if let Some(expected) = hashes.into_iter().flatten().find(|&expected| expected != sha256) {
            return Err(wrong("its sha256", expected.to_owned(), sha256));
        }
        Ok(LockedFile { size, sha256 })
    }

    fn record(&mut self, file: &str, commit: &str, found: LockedFile) -> Result<(), CatalogError> {
        let fresh = || LockedModel {
            repository: self.source.hub.clone(),
            revision: commit.to_owned(),
            ..LockedModel::default()
        };
        let mut locked = self.locked.take().filter(|l| l.revision == commit).unwrap_or_else(fresh);
        locked.files.insert(file.to_owned(), found);
        ModelsLock::update(&self.config.data_dir, |lock| {
            lock.models.insert(self.model.as_str().to_owned(), locked.clone());
        })?;
        self.locked = Some(locked);
        Ok(())
    }

    fn error(&self, file: &str, message: String) -> CatalogError {
        CatalogError::Hub { repository: self.source.hub.clone(), file: file.to_owned(), message }
    }

    /// Sorts hf-hub's errors by whether trying again may help.
    fn failure(&self, file: &str, error: ApiError) -> Failure {
        let request = match error {
            ApiError::IoError(source) => {
                return Failure::Final(CatalogError::io(self.cache.path())(source));
            }
            ApiError::RequestError(request) => request,
            ApiError::LockAcquisition(_) => {
                return Failure::Passing(self.error(file, "another program is fetching it".to_owned()));
            }
            other => return Failure::Final(self.error(file, other.to_string())),
        };
        let Some(status) = request.status() else {
            return Failure::Passing(self.error(file, with_causes(&request)));
        };
        let message = match status.as_u16() {
            401 | 403 => format!("the hub refuses it (HTTP {status}): it needs a token that may read it"),
            404 => format!("there is no such file at revision `{}` (HTTP {status})", self.revision()),
            _ => format!("the hub answers HTTP {status}"),
        };
        let passing = status.is_server_error() || status.as_u16() == 429;
        let error = self.error(file, message);
        if passing { Failure::Passing(error) } else { Failure::Final(error) }
    }

    fn revision(&self) -> &str {
        self.locked.as_ref().map_or(&self.source.revision, |locked| &locked.revision)
    }
}

fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|b| b.is_ascii_hexdigit())
}

/// An error and what caused it, down to the one that says what happened.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// Removes a file of a snapshot and the blob behind it.
fn remove_with_blob(path: &Path) -> io::Result<()> {
    let blob = fs::canonicalize(path)?;
    fs::remove_file(path)?;
    // Where links are not to be had, the file itself was the blob.
    if blob.exists() { fs::remove_file(blob) } else { Ok(()) }
}

/// Lower-case hex.
fn sha256_of(path: &Path) -> io::Result<String> {
    hash_of(File::open(path)?)
}
