//! Pulling from a hub on loopback: whole, cut and resumed, refused, offline, and at the same time.
#![expect(clippy::unwrap_used, reason = "helpers of tests panic like the tests themselves")]

mod hub;

use axum::http::StatusCode;
use hub::{COMMIT, FakeHub, noise, sha256};
use std::{fs, path::PathBuf, sync::Mutex};
use stentor_catalog::{
    Catalog, CatalogConfig, CatalogError, HubOptions, ModelsLock, PullEvent, PullProgress, Pulled, pull,
    pull_voices,
};
use stentor_types::{DeviceSpec, ModelId, Precision, VoiceSource};
use tempfile::TempDir;
use tokio::sync::Notify;

/// Two and a half parts of a download.
const WEIGHTS: usize = 20 << 20;
const PART: u64 = 8 << 20;

#[derive(Default)]
struct Log(Mutex<Vec<PullEvent>>);

impl PullProgress for Log {
    fn event(&self, event: &PullEvent) {
        self.0.lock().unwrap().push(event.clone());
    }
}

impl Log {
    fn advanced(&self) -> u64 {
        let events = self.0.lock().unwrap();
        events.iter().map(|event| if let PullEvent::Advance { bytes } = event { *bytes } else { 0 }).sum()
    }
    fn count(&self, what: impl Fn(&PullEvent) -> bool) -> usize {
        self.0.lock().unwrap().iter().filter(|event| what(event)).count()
    }
}

/// Tells when the weights begin to come.
struct StopAt(Notify);

impl PullProgress for StopAt {
    fn event(&self, event: &PullEvent) {
        if matches!(event, PullEvent::Start { file, .. } if file == "model.bin") {
            self.0.notify_one();
        }
    }
}

struct Site {
    hub: FakeHub,
    root: TempDir,
    weights: Vec<u8>,
}

impl Site {
    /// A hub that publishes the model `tiny`: a small configuration, large weights, two voices.
    async fn new() -> Self {
        let site = Self {
            hub: FakeHub::start().await,
            root: tempfile::tempdir().unwrap(),
            weights: noise(WEIGHTS, 7),
        };
        site.publish("tiny", site.weights.clone());
        site.manifest("tiny", "");
        site
    }

    fn publish(&self, id: &str, weights: Vec<u8>) {
        let repository = format!("lab/{id}");
        self.hub.put(&repository, "config.json", format!("{{\"id\":\"{id}\"}}"), false);
        self.hub.put(&repository, "model.bin", weights, true);
        self.hub.put(&repository, "voices/ann.pt", noise(3000, 3), true);
        self.hub.put(&repository, "voices/bob.pt", noise(3000, 4), true);
    }

    fn manifest(&self, id: &str, extra: &str) {
        let text = format!(
            r#"
engine = "kokoro"
title = "Tiny"
licence = "MIT"
languages = ["en-us"]
voice_kinds = ["embedding"]
[source]
hub = "lab/{id}"
[[files]]
role = "config"
path = "config.json"
[[files]]
role = "weights"
path = "model.bin"
{extra}
[voices]
kind = "embedding"
path = "voices/{{name}}.pt"
default = "ann"
[voices.names]
en-us = ["ann", "bob"]
"#
        );
        let directory = self.root.path().join("models");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(format!("{id}.toml")), text).unwrap();
    }

    fn config(&self) -> CatalogConfig {
        CatalogConfig {
            data_dir: self.root.path().join("data"),
            model_dirs: vec![self.root.path().join("models")],
            hf: HubOptions {
                endpoint: Some(self.hub.endpoint.clone()),
                home: Some(self.root.path().join("hf")),
                ..HubOptions::default()
            },
            ..CatalogConfig::default()
        }
    }

    fn offline(&self) -> CatalogConfig {
        let mut config = self.config();
        config.hf.offline = true;
        config
    }

    fn catalog(&self) -> Catalog {
        Catalog::open(self.config()).unwrap()
    }

    fn lock(&self) -> ModelsLock {
        ModelsLock::read(&self.root.path().join("data")).unwrap()
    }

    fn snapshot(&self, file: &str) -> PathBuf {
        self.root.path().join("hf/hub/models--lab--tiny/snapshots").join(COMMIT).join(file)
    }

    /// Everything in the hub cache's store of contents, locks apart.
    fn blobs(&self) -> Vec<String> {
        let Ok(items) = fs::read_dir(self.root.path().join("hf/hub/models--lab--tiny/blobs")) else {
            return Vec::new();
        };
        let paths = items.map(|item| item.unwrap().path());
        let blobs = paths.filter(|path| path.extension().is_none_or(|extension| extension != "lock"));
        blobs.map(|path| path.display().to_string()).collect()
    }

    async fn pull_with(&self, config: CatalogConfig, log: &Log) -> Result<Pulled, CatalogError> {
        let catalog = Catalog::open(config.clone()).unwrap();
        pull(&config, catalog.model(&ModelId::from("tiny")).unwrap(), log).await
    }

    async fn pull(&self) -> Result<Pulled, CatalogError> {
        self.pull_with(self.config(), &Log::default()).await
    }
}

#[tokio::test]
async fn a_whole_model_is_fetched_recorded_and_found_again_offline() {
    let site = Site::new().await;
    let log = Log::default();
    let pulled = site.pull_with(site.config(), &log).await.unwrap();
    assert_eq!(pulled.revision, COMMIT);
    assert_eq!(pulled.fetched, ["config.json", "model.bin", "voices/ann.pt", "voices/bob.pt"]);
    assert_eq!(pulled.files(), 4);
    assert_eq!(log.advanced(), pulled.bytes);
    assert_eq!(log.count(|event| matches!(event, PullEvent::Done { fetched: true, .. })), 4);

    let locked = &site.lock().models["tiny"];
    assert_eq!((locked.repository.as_str(), locked.revision.as_str()), ("lab/tiny", COMMIT));
    assert_eq!(locked.files["model.bin"].size, WEIGHTS as u64);
    assert_eq!(locked.files["model.bin"].sha256, sha256(&site.weights));
    assert_eq!(locked.files.len(), 4);

    // Another process, without the network, finds and may load what was pulled.
    let catalog = Catalog::open(site.offline()).unwrap();
    let model = catalog.resolve_model(Some("tiny")).unwrap();
    let spec = model.load_spec(DeviceSpec::Cpu, Precision::F32, 0).unwrap();
    assert_eq!(fs::read(&spec.files["weights"]).unwrap(), site.weights);
    let voice = catalog.resolve_voice(model, Some("bob")).unwrap();
    let VoiceSource::Embedding { path } = voice.source else { panic!("not a style file") };
    assert_eq!(fs::read(path).unwrap(), noise(3000, 4));

    // A second pull finds everything in place and asks nobody.
    let before = site.hub.requests();
    let again = site.pull_with(site.offline(), &Log::default()).await.unwrap();
    assert_eq!((again.fetched.len(), again.present.len()), (0, 4));
    assert_eq!(again.revision, COMMIT);
    assert_eq!(site.hub.requests(), before);
}

#[tokio::test]
async fn the_branch_leads_other_programs_to_the_commit() {
    let site = Site::new().await;
    site.pull().await.unwrap();
    let reference = site.root.path().join("hf/hub/models--lab--tiny/refs/main");
    assert_eq!(fs::read_to_string(reference).unwrap(), COMMIT);
    // And the other way round: what another program pulled is found without our lock.
    fs::remove_file(site.root.path().join("data/models.lock")).unwrap();
    assert!(site.catalog().model(&ModelId::from("tiny")).unwrap().installed);
}

#[tokio::test]
async fn a_cut_connection_is_resumed_within_one_pull() {
    let site = Site::new().await;
    site.hub.cut_at(WEIGHTS as u64 / 2, 1);
    let log = Log::default();
    site.pull_with(site.config(), &log).await.unwrap();
    assert_eq!(fs::read(site.snapshot("model.bin")).unwrap(), site.weights);
    assert_eq!(log.count(|event| matches!(event, PullEvent::Retry { .. })), 1);
    let ranges = site.hub.ranges("model.bin");
    assert_eq!(ranges.iter().filter(|(start, _)| *start == 0).count(), 1, "{ranges:?}");
    assert_eq!(ranges.iter().filter(|(start, _)| *start == PART).count(), 2, "{ranges:?}");
}

#[tokio::test]
async fn a_pull_that_failed_half_way_is_resumed_by_the_next() {
    let site = Site::new().await;
    site.hub.cut_at(WEIGHTS as u64 / 2, usize::MAX);
    let error = site.pull().await.unwrap_err();
    assert!(matches!(&error, CatalogError::Hub { file, .. } if file == "model.bin"), "{error}");
    assert!(!site.catalog().model(&ModelId::from("tiny")).unwrap().installed);
    assert!(!site.lock().models["tiny"].files.contains_key("model.bin"));

    site.hub.cut_at(0, 0);
    let before = site.hub.ranges("model.bin").len();
    let pulled = site.pull().await.unwrap();
    assert_eq!(pulled.present, ["config.json"]);
    assert_eq!(fs::read(site.snapshot("model.bin")).unwrap(), site.weights);
    let resumed = &site.hub.ranges("model.bin")[before..];
    assert_eq!(resumed[0].0, PART, "{resumed:?}");
    assert!(resumed.iter().all(|(start, _)| *start >= PART), "{resumed:?}");
}

#[tokio::test]
async fn wrong_contents_are_refused_and_leave_nothing() {
    let site = Site::new().await;
    // The hub's own word on the hash.
    site.hub.lie_about("lab/tiny", "model.bin");
    let error = site.pull().await.unwrap_err();
    assert!(matches!(&error, CatalogError::Hash { what: "its sha256", .. }), "{error}");
    assert!(error.to_string().contains("model.bin") && error.to_string().contains(&"0".repeat(64)));
    assert!(!site.snapshot("model.bin").exists());
    assert_eq!(site.blobs().len(), 1, "only config.json stays: {:?}", site.blobs());
    assert!(!site.lock().models["tiny"].files.contains_key("model.bin"));
    assert!(!site.catalog().model(&ModelId::from("tiny")).unwrap().installed);

    // The manifest's word, on hash and size.
    site.hub.put("lab/tiny", "model.bin", site.weights.clone(), true);
    for (extra, what) in
        [(format!("sha256 = \"{}\"", "a".repeat(64)), "its sha256"), ("size = 5".to_owned(), "its size")]
    {
        site.manifest("tiny", &extra);
        let error = site.pull().await.unwrap_err();
        assert!(matches!(&error, CatalogError::Hash { what: found, .. } if *found == what), "{error}");
        assert!(!site.snapshot("model.bin").exists());
    }

    // With the right ones it comes.
    site.manifest("tiny", &format!("size = {WEIGHTS}\nsha256 = \"{}\"", sha256(&site.weights)));
    assert!(site.pull().await.unwrap().fetched.contains(&"model.bin".to_owned()));
}

#[tokio::test]
async fn a_file_that_was_damaged_on_disk_is_fetched_again() {
    let site = Site::new().await;
    site.pull().await.unwrap();
    let mut damaged = site.weights.clone();
    damaged[WEIGHTS / 3] ^= 1;
    fs::write(site.snapshot("model.bin"), &damaged).unwrap();
    let pulled = site.pull().await.unwrap();
    assert_eq!(pulled.fetched, ["model.bin"]);
    assert_eq!(fs::read(site.snapshot("model.bin")).unwrap(), site.weights);

    // A blob that somebody deleted leaves a link to nothing.
    fs::remove_file(fs::canonicalize(site.snapshot("voices/ann.pt")).unwrap()).unwrap();
    assert_eq!(site.pull().await.unwrap().fetched, ["voices/ann.pt"]);
}

#[tokio::test]
async fn offline_asks_nobody_and_says_why() {
    let site = Site::new().await;
    let error = site.pull_with(site.offline(), &Log::default()).await.unwrap_err();
    assert!(matches!(error, CatalogError::Offline { .. }), "{error:?}");
    assert!(error.to_string().contains("HF_HUB_OFFLINE"));
    assert_eq!(site.hub.requests(), 0);
}

#[tokio::test]
async fn a_missing_file_and_refusals_are_told_apart() {
    let site = Site::new().await;
    site.hub.remove("lab/tiny", "voices/bob.pt");
    let error = site.pull().await.unwrap_err().to_string();
    assert!(
        error.contains("voices/bob.pt") && error.contains("404") && error.contains("lab/tiny"),
        "{error}"
    );
    // What came before it stays.
    assert!(site.catalog().model(&ModelId::from("tiny")).unwrap().installed);

    let site = Site::new().await;
    site.hub.answer(Some(StatusCode::UNAUTHORIZED));
    let error = site.pull().await.unwrap_err().to_string();
    assert!(error.contains("token") && error.contains("401"), "{error}");
    assert_eq!(site.hub.requests(), 1);
    // Server trouble is worth another try.
    site.hub.answer(Some(StatusCode::BAD_GATEWAY));
    let error = site.pull().await.unwrap_err().to_string();
    assert!(error.contains("502"), "{error}");
    assert_eq!(site.hub.requests(), 1 + 4);
}

#[tokio::test]
async fn nobody_listening_is_a_clear_error() {
    let site = Site::new().await;
    let mut config = site.config();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    config.hf.endpoint = Some(format!("http://{free}"));
    let error = site.pull_with(config, &Log::default()).await.unwrap_err().to_string();
    assert!(error.contains("config.json") && error.contains("refused"), "{error}");
}

#[tokio::test]
async fn a_commit_that_is_a_path_is_refused() {
    let site = Site::new().await;
    site.hub.name_commit("../../../../../escaped");
    let error = site.pull().await.unwrap_err();
    assert!(error.to_string().contains("commit"), "{error}");
    assert!(!site.root.path().join("escaped").exists() && site.blobs().is_empty());
}

#[tokio::test]
async fn only_the_voices_asked_for_are_fetched() {
    let site = Site::new().await;
    let (catalog, config) = (site.catalog(), site.config());
    let model = catalog.model(&ModelId::from("tiny")).unwrap();
    let error = pull_voices(&config, model, &["anne".to_owned()], &()).await.unwrap_err();
    assert!(matches!(error, CatalogError::VoiceNotFound { nearest, .. } if nearest[0] == "ann"));
    let pulled = pull_voices(&config, model, &["bob".to_owned()], &()).await.unwrap();
    assert_eq!(pulled.fetched, ["config.json", "model.bin", "voices/bob.pt"]);

    let catalog = site.catalog();
    let model = catalog.model(&ModelId::from("tiny")).unwrap();
    assert_eq!(catalog.resolve_voice(model, None).unwrap().id, "bob");
    let error = catalog.resolve_voice(model, Some("ann")).unwrap_err();
    assert!(error.to_string().contains("stentor pull tiny"), "{error}");
    // The rest comes later, from the same commit.
    assert_eq!(site.pull().await.unwrap().fetched, ["voices/ann.pt"]);
}

#[tokio::test]
async fn two_pulls_at_once_fetch_once() {
    let site = Site::new().await;
    let (one, two) = (Log::default(), Log::default());
    let (first, second) =
        tokio::join!(site.pull_with(site.config(), &one), site.pull_with(site.config(), &two));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.fetched.len() + second.fetched.len(), 4);
    assert_eq!(one.count(|e| *e == PullEvent::Waiting) + two.count(|e| *e == PullEvent::Waiting), 1);
    assert_eq!(fs::read(site.snapshot("model.bin")).unwrap(), site.weights);
    assert_eq!(site.hub.ranges("model.bin").len(), 3);
}

#[tokio::test]
async fn a_pull_that_is_dropped_frees_the_way() {
    let site = Site::new().await;
    let config = site.config();
    let catalog = site.catalog();
    let model = catalog.model(&ModelId::from("tiny")).unwrap();
    let stop = StopAt(Notify::new());
    tokio::select! {
        result = pull(&config, model, &stop) => panic!("it was not dropped: {result:?}"),
        () = stop.0.notified() => {}
    }
    site.pull().await.unwrap();
    assert_eq!(fs::read(site.snapshot("model.bin")).unwrap(), site.weights);
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_named() {
    let site = Site::new().await;
    let file = site.root.path().join("file");
    fs::write(&file, "").unwrap();
    let mut config = site.config();
    config.hf.home = Some(file.clone());
    let error = site.pull_with(config, &Log::default()).await.unwrap_err();
    assert!(matches!(&error, CatalogError::Io { path, .. } if path.starts_with(&file)), "{error:?}");
    assert!(site.lock().models.is_empty());
}

#[tokio::test]
async fn two_models_keep_their_own_records() {
    let site = Site::new().await;
    site.manifest("other", "");
    site.publish("other", noise(100_000, 9));
    let (config, catalog) = (site.config(), site.catalog());
    for id in ["tiny", "other"] {
        pull(&config, catalog.model(&ModelId::from(id)).unwrap(), &()).await.unwrap();
    }
    let lock = site.lock();
    assert_eq!(lock.models["tiny"].files["model.bin"].sha256, sha256(&site.weights));
    assert_eq!(lock.models["other"].files["model.bin"].sha256, sha256(&noise(100_000, 9)));
    let catalog = site.catalog();
    let spec = |id: &str| {
        catalog.model(&ModelId::from(id)).unwrap().load_spec(DeviceSpec::Cpu, Precision::F32, 0).unwrap()
    };
    assert_ne!(spec("tiny").files["config"], spec("other").files["config"]);
    assert_eq!(fs::read_to_string(&spec("other").files["config"]).unwrap(), "{\"id\":\"other\"}");
}

#[tokio::test]
async fn the_embedded_model_has_nothing_to_pull() {
    let site = Site::new().await;
    let catalog = site.catalog();
    let builtin = catalog.model(&ModelId::from("builtin")).unwrap();
    let error = pull(&site.config(), builtin, &()).await.unwrap_err();
    assert!(matches!(error, CatalogError::NothingToPull { .. }));
    assert_eq!(site.hub.requests(), 0);
}
