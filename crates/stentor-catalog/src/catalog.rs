//! The catalog: manifests and voices as they were when it was opened or last reloaded.

use crate::{
    CatalogError, FileCheck, Manifest, Model, ModelsLock, OPENAI_VOICES, PublishedKind, ResolvedVoice,
    VoiceEntry,
    digest::Digests,
    embedded,
    fingerprint::fingerprint,
    index::VoiceIndex,
    manifest::is_plain_name,
    names::{self, fold, shown, strip_extension},
    registry::{Found, Registry},
    resolve::Resolver,
    uploads::{self, Uploads},
    verify::check_files,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt, fs,
    path::{Path, PathBuf},
};
use stentor_types::{ModelId, VoiceId, VoiceSource};

/// OpenAI's model ids: each means the default model.
const DEFAULT_ALIASES: [&str; 4] = ["tts-1", "tts-1-hd", "gpt-4o-mini-tts", "gpt-4o-mini-tts-2025-12-15"];

/// Where to look. Of equal names, `voice_dirs` and `model_dirs` beat the data directory, a later directory beats
/// an earlier one, and all beat what is embedded.
#[derive(Debug, Clone, Default)]
pub struct CatalogConfig {
    /// Holds `models.lock`, `models/` (manifests, and files by model id), `voices/`, `uploads/` and `cache/`.
    pub data_dir: PathBuf,
    /// Each must exist.
    pub model_dirs: Vec<PathBuf>,
    /// Each must exist. The working directory's `voices` is the caller's to add.
    pub voice_dirs: Vec<PathBuf>,
    pub hf: HubOptions,
}

/// How the hub is reached. The caller reads the environment.
#[derive(Debug, Clone, Default)]
pub struct HubOptions {
    /// `HF_HUB_OFFLINE`: nothing is ever fetched.
    pub offline: bool,
    /// `HF_ENDPOINT`; the public hub by default.
    pub endpoint: Option<String>,
    /// `HF_HOME`; `<data-dir>/huggingface` by default. Files go to `hub/` in it.
    pub home: Option<PathBuf>,
    /// Bearer token; by default the file `token` in `home`.
    pub token: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Catalog {
    config: CatalogConfig,
    models: Vec<Model>,
    /// Manifests that can't be read, by the id of their model.
    broken: BTreeMap<String, BrokenManifest>,
    default: Option<ModelId>,
    registry: Registry,
    /// Per model: the voices it can use.
    voices: HashMap<ModelId, VoiceIndex>,
    /// Every voice of every model and directory.
    all: VoiceIndex,
    /// What a model of another catalog can use.
    none: VoiceIndex,
    warnings: Vec<String>,
    uploads: Uploads,
    pub(crate) digests: Digests,
}

impl Catalog {
    /// Reads manifests, `models.lock` and voice directories.
    pub fn open(config: CatalogConfig) -> Result<Self, CatalogError> {
        let uploads = Uploads::new(&config.data_dir);
        Self::read(config, uploads)
    }

    /// A catalog under another configuration that knows which uploaded voices are in use in this one.
    pub fn reopen(&self, config: CatalogConfig) -> Result<Self, CatalogError> {
        let same = config.data_dir == self.config.data_dir;
        let uploads = if same { self.uploads.clone() } else { Uploads::new(&config.data_dir) };
        Self::read(config, uploads)
    }

    fn read(config: CatalogConfig, uploads: Uploads) -> Result<Self, CatalogError> {
        let mut warnings = Vec::new();
        let lock = ModelsLock::read(&config.data_dir).unwrap_or_else(|error| {
            warnings.push(format!("{error}; pulled models are not found through it"));
            ModelsLock::default()
        });
        let Manifests { sound, broken } = read_manifests(&config)?;
        warnings.extend(broken.values().map(ToString::to_string));
        let models: Vec<Model> = sound
            .into_iter()
            .map(|(id, manifest)| Model::new(ModelId::new(id), manifest, &config, &lock))
            .collect();
        // An operator's voice beats an uploaded one.
        let own = [uploads::directory(&config.data_dir), config.data_dir.join("voices")];
        let own = own.into_iter().filter(|directory| directory.is_dir());
        let directories: Vec<PathBuf> = own.chain(config.voice_dirs.iter().cloned()).collect();
        let mut registry = Registry::read(&directories)?;
        uploads.mark(&mut registry.voices);
        warnings.extend(registry.warnings.iter().cloned());
        let mut catalog = Self {
            config,
            models,
            broken,
            default: None,
            registry,
            voices: HashMap::new(),
            all: VoiceIndex::default(),
            none: VoiceIndex::default(),
            warnings,
            uploads,
            digests: Digests::default(),
        };
        catalog.index_voices();
        Ok(catalog)
    }

    /// Reads everything again; on an error the catalog stays as it was.
    pub fn reload(&mut self) -> Result<(), CatalogError> {
        let mut fresh = self.reopen(self.config.clone())?;
        // A manifest that is being edited does not take its model away.
        let kept = self
            .models
            .iter()
            .filter(|model| fresh.broken.contains_key(model.id.as_str()) && fresh.model(&model.id).is_none());
        let kept: Vec<Model> = kept.cloned().collect();
        if !kept.is_empty() {
            fresh.models.extend(kept);
            fresh.models.sort_by(|a, b| a.id.cmp(&b.id));
            fresh.index_voices();
        }
        fresh.default = self.default.take().filter(|id| fresh.model(id).is_some());
        fresh.digests = self.digests.clone();
        *self = fresh;
        Ok(())
    }

    pub fn config(&self) -> &CatalogConfig {
        &self.config
    }

    /// All models by id, installed or not.
    pub fn models(&self) -> &[Model] {
        &self.models
    }

    pub fn model(&self, id: &ModelId) -> Option<&Model> {
        self.models.iter().find(|model| model.id == *id)
    }

    /// What is wrong with the manifest of the model `id`, if that is why it is not here as its file says.
    pub fn broken_manifest(&self, id: &str) -> Option<CatalogError> {
        let BrokenManifest { file, message } = self.broken.get(id)?.clone();
        Some(CatalogError::Manifest { file, message })
    }

    /// Makes `id` the model that requests without one of our ids get.
    pub fn set_default(&mut self, id: ModelId) -> Result<(), CatalogError> {
        if self.model(&id).is_none() {
            return Err(self.unknown_model(id.as_str()));
        }
        self.default = Some(id);
        Ok(())
    }

    /// The model set by [`Catalog::set_default`], else the installed one with the highest rank.
    pub fn default_model(&self) -> Result<&Model, CatalogError> {
        let set = self.default.as_ref().and_then(|id| self.model(id));
        let best = || self.models.iter().filter(|model| model.installed).max_by_key(|m| m.manifest().rank);
        set.or_else(best).ok_or_else(|| self.unknown_model("default"))
    }

    /// `None`, the empty string and OpenAI's model ids mean the default; ours match exactly, then in any case.
    pub fn resolve_model(&self, requested: Option<&str>) -> Result<&Model, CatalogError> {
        let Some(name) = requested.filter(|name| !name.is_empty()) else { return self.default_model() };
        if let Some(model) = self.models.iter().find(|model| model.id.as_str() == name) {
            return Ok(model);
        }
        let folded = fold(name);
        if DEFAULT_ALIASES.contains(&folded.as_str()) {
            return self.default_model();
        }
        let model = self.models.iter().find(|model| fold(model.id.as_str()) == folded);
        model.ok_or_else(|| self.unknown_model(name))
    }

    fn unknown_model(&self, name: &str) -> CatalogError {
        let ids = self.models.iter().map(|model| model.id.as_str());
        CatalogError::ModelNotFound { name: shown(name), nearest: names::nearest(name, ids) }
    }

    /// The voices that `model` can use now: published ones that are on disk, then those of directories.
    pub fn voices(&self, model: &Model) -> Vec<&VoiceEntry> {
        self.index(model).entries().iter().collect()
    }

    /// A voice of any model or directory by its exact id, usable or not.
    pub fn voice(&self, id: &str) -> Option<&VoiceEntry> {
        self.all.exact(id).filter(|entry| entry.id.as_str() == id)
    }

    /// The models that can use this voice now.
    pub fn models_for<'a>(&'a self, voice: &'a VoiceEntry) -> impl Iterator<Item = &'a Model> {
        let uses = |model: &&Model| self.index(model).exact(voice.id.as_str()) == Some(voice);
        self.models.iter().filter(move |model| model.installed && uses(model))
    }

    /// Whether a request that names a voice like this could mean one that exists, for any model.
    pub fn is_voice_name(&self, name: &str) -> bool {
        let folded = fold(strip_extension(name));
        let known = || self.all.exact(name).or_else(|| self.all.stem(name)).or_else(|| self.all.named(name));
        OPENAI_VOICES.contains(&folded.as_str())
            || self.registry.aliases.keys().any(|alias| fold(alias) == fold(name))
            || known().is_some()
    }

    /// Where clients' voices are kept.
    pub fn uploads(&self) -> &Uploads {
        &self.uploads
    }

    /// The voices that clients have uploaded, also those that no model can use now.
    pub fn uploaded(&self) -> impl Iterator<Item = &VoiceEntry> {
        self.registry.voices.iter().map(|found| &found.entry).filter(|entry| entry.hold.is_some())
    }

    /// What clients are shown that take a voice for a string: its id, or of an uploaded voice, whose id says nothing, its
    /// name, if that means this voice and no other for `model`.
    pub fn shown_name<'a>(&self, model: &Model, voice: &'a VoiceEntry) -> &'a str {
        let id = voice.id.as_str();
        let means_it = || self.resolve_voice(model, Some(&voice.name)).is_ok_and(|found| found.id == id);
        if voice.hold.is_some() && means_it() { &voice.name } else { id }
    }

    /// Deletes an uploaded voice by its exact id; it is gone with the next [`Catalog::reload`].
    pub fn delete_upload(&self, id: &str) -> Result<(), CatalogError> {
        match self.voice(id) {
            Some(entry) => uploads::delete(entry),
            None => Err(CatalogError::VoiceNotFound { name: shown(id), nearest: Vec::new() }),
        }
    }

    /// The files that are voices, of every model and directory, also those that no model can use now.
    pub fn voice_files(&self) -> BTreeSet<&Path> {
        let sources = self.all.entries().iter().map(|entry| &entry.source);
        let files = sources.filter_map(|source| match source {
            VoiceSource::Embedding { path } | VoiceSource::Reference { path, .. } => Some(path.as_path()),
            VoiceSource::Preset { .. } | VoiceSource::Blend { .. } => None,
        });
        // A published voice that was not pulled has no path.
        files.filter(|path| !path.as_os_str().is_empty()).collect()
    }

    fn index(&self, model: &Model) -> &VoiceIndex {
        self.voices.get(&model.id).unwrap_or(&self.none)
    }

    /// Looks a request's voice string up; `None` and the empty string mean the model's default voice.
    pub fn resolve_voice(
        &self,
        model: &Model,
        requested: Option<&str>,
    ) -> Result<ResolvedVoice, CatalogError> {
        let resolver = Resolver {
            model,
            usable: self.index(model),
            unusable: &self.all,
            why_not: &|entry| self.why_not(model, entry),
            aliases: &self.registry.aliases,
        };
        resolver.resolve(requested)
    }

    /// Of the voice's content: changes when one of its files does. Reads files, so call it off the async threads;
    /// what was read once is remembered until the file's size or time changes.
    pub fn voice_digest(&self, source: &VoiceSource) -> Result<String, CatalogError> {
        self.digests.of(source)
    }

    /// Compares a model's files with what was pulled or with what the manifest says: sizes, and with `hash` the whole
    /// content. Empty when the model is embedded or not installed. Reads files.
    pub fn check_files(&self, model: &Model, hash: bool) -> Result<Vec<FileCheck>, CatalogError> {
        check_files(&self.config, model, hash)
    }

    /// What the directories of manifests and voices look like: names, sizes and times. Two equal values mean that
    /// [`Catalog::reload`] would change nothing. Reads directories.
    pub fn fingerprint(&self) -> u64 {
        fingerprint(&self.config)
    }

    /// What keeps `model` from using a voice that exists.
    fn why_not(&self, model: &Model, entry: &VoiceEntry) -> CatalogError {
        let name = entry.id.as_str();
        let publishes = |model: &&Model| model.manifest().voices.iter().any(|(_, own)| own == name);
        if publishes(&model)
            && let Some(path) = model.manifest().voices.file(name)
        {
            let voice = Some(shown(name));
            let (missing, published) = (vec![path], model.manifest().source.is_some());
            return CatalogError::NotInstalled { model: model.id.clone(), voice, missing, published };
        }
        let hint = match (self.models.iter().find(publishes), &entry.source) {
            (Some(owner), _) => format!("it belongs to model `{}`", owner.id),
            (None, VoiceSource::Reference { .. }) => {
                "it is a recording, which this model cannot clone".into()
            }
            (None, _) => "it is a style file, which this model does not read".to_owned(),
        };
        CatalogError::VoiceNotSupported { voice: shown(name), model: model.id.clone(), hint }
    }

    /// Things that work but that somebody should look at: colliding names, ignored links, dead aliases.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn index_voices(&mut self) {
        let registry = &self.registry.voices;
        let mut all: Vec<Found> = registry.clone();
        for model in &self.models {
            let usable: Vec<&Found> =
                registry.iter().filter(|f| model.voice_kinds.contains(&f.entry.source.kind())).collect();
            let mut found = Vec::new();
            for (published, on_disk) in published_voices(model) {
                if let Some(own) = usable.iter().find(|own| own.stem == published.stem) {
                    let file = own.entry.file_name.as_deref().unwrap_or(&own.stem);
                    let warning = format!("voice `{file}` hides {}'s own `{}`", model.id, published.stem);
                    self.warnings.push(warning);
                } else if on_disk {
                    found.push(published.clone());
                }
                all.push(published);
            }
            found.extend(usable.into_iter().cloned());
            self.voices.insert(model.id.clone(), VoiceIndex::new(found.into_iter()));
        }
        self.all = VoiceIndex::new(all.into_iter());
        for (alias, targets) in &self.registry.aliases {
            let known = |to: &String| {
                self.all.exact(to).or_else(|| self.all.stem(to)).or_else(|| self.all.named(to)).is_some()
            };
            if !targets.iter().any(known) {
                self.warnings.push(format!("alias `{alias}`: there is no voice `{}`", targets.join("`, `")));
            }
        }
    }
}

/// The voices that a model's manifest lists, and whether each can be used now.
fn published_voices(model: &Model) -> impl Iterator<Item = (Found, bool)> {
    let voices = &model.manifest().voices;
    voices.iter().map(|(language, name)| {
        let published = voices.file(name).unwrap_or_default();
        let (source, file_name, on_disk) = match voices.kind {
            PublishedKind::Preset => (VoiceSource::Preset { name: name.to_owned() }, None, model.installed),
            PublishedKind::Embedding => {
                let path = model.file(&published);
                let file_name = Path::new(&published).file_name().and_then(|name| name.to_str());
                let on_disk = path.is_some();
                let source = VoiceSource::Embedding { path: path.unwrap_or_default() };
                (source, file_name.map(str::to_owned), on_disk)
            }
        };
        let entry = VoiceEntry {
            id: VoiceId::new(name),
            name: name.to_owned(),
            file_name,
            languages: vec![language.clone()],
            source,
            licence: Some(model.licence.clone()),
            created_at: None,
            hold: None,
        };
        (Found { stem: name.to_owned(), entry }, on_disk)
    })
}

/// A manifest that is left out.
#[derive(Debug, Clone)]
struct BrokenManifest {
    file: String,
    message: String,
}

impl fmt::Display for BrokenManifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A parser's message has lines and a drawing; a log has one line.
        let message = self.message.split_whitespace().collect::<Vec<_>>().join(" ");
        write!(f, "{}: {message}; this manifest is left out", self.file)
    }
}

#[derive(Default)]
struct Manifests {
    sound: BTreeMap<String, Manifest>,
    broken: BTreeMap<String, BrokenManifest>,
}

/// A mistake in one manifest costs that model and no other.
fn read_manifests(config: &CatalogConfig) -> Result<Manifests, CatalogError> {
    let mut manifests = Manifests::default();
    for (id, text) in embedded::MANIFESTS {
        manifests.sound.insert(id.to_owned(), Manifest::parse(&format!("models/{id}.toml"), text)?);
    }
    let own = Some(config.data_dir.join("models")).filter(|directory| directory.is_dir());
    for directory in own.iter().chain(&config.model_dirs) {
        for item in fs::read_dir(directory).map_err(CatalogError::io(directory))? {
            let path = item.map_err(CatalogError::io(directory))?.path();
            if path.extension().is_some_and(|extension| extension == "toml") && path.is_file() {
                manifests.read(&path);
            }
        }
    }
    Ok(manifests)
}

impl Manifests {
    fn read(&mut self, path: &Path) {
        let file = path.display().to_string();
        let id = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let parsed = if is_plain_name(&id) {
            let text = fs::read_to_string(path).map_err(|error| error.to_string());
            text.and_then(|text| Manifest::parse(&file, &text).map_err(message_of))
        } else {
            Err("a manifest's name is the model's id: letters, digits, `-`, `_`, `.`".to_owned())
        };
        match parsed {
            Ok(manifest) => {
                self.broken.remove(&id);
                self.sound.insert(id, manifest);
            }
            Err(message) => drop(self.broken.insert(id, BrokenManifest { file, message })),
        }
    }
}

fn message_of(error: CatalogError) -> String {
    match error {
        CatalogError::Manifest { message, .. } => message,
        other => other.to_string(),
    }
}
