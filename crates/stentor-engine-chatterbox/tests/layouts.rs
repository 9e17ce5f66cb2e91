//! The files that each manifest of the family names load under their published names, and speak what the manifest promises.

use serde::Deserialize;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};
use stentor_engine::{CancelFlag, ChunkRequest, Engine, StepCounter, Waiter};
use stentor_engine_chatterbox::Model;
use stentor_testkit::chatterbox::{Depth, Part, write};
use stentor_types::{
    ChunkId, DeviceSpec, Language, LoadSpec, ModelId, Params, Precision, Speed, SpokenText, VoiceSource,
};

#[derive(Deserialize)]
struct Manifest {
    languages: Vec<Language>,
    source: Source,
    files: Vec<Entry>,
}

#[derive(Deserialize)]
struct Source {
    hub: String,
}

#[derive(Deserialize)]
struct Entry {
    role: String,
    path: String,
}

impl Manifest {
    fn open(id: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../models/{id}.toml"));
        toml::from_str(&fs::read_to_string(path).expect("a manifest")).expect("a manifest")
    }

    fn path(&self, role: &str) -> &str {
        &self.files.iter().find(|file| file.role == role).expect("the role").path
    }
}

/// The T3 and the S3Gen of each manifest.
const FAMILY: [(&str, Part, Part); 5] = [
    ("chatterbox", Part::T3English, Part::S3Gen),
    ("chatterbox-multilingual", Part::T3Multilingual, Part::S3Gen),
    ("chatterbox-multilingual-v2", Part::T3Multilingual, Part::S3Gen),
    ("chatterbox-turbo", Part::T3Turbo, Part::S3GenMeanflow),
    ("chatterbox-nano", Part::T3Nano, Part::S3GenMeanflow),
];

/// A small file in the published format of a role that is no network, in the engine's `tests` folder.
fn small(role: &str, t3: Part) -> &'static str {
    match (role, t3) {
        ("conds", _) => "golden/conds.pt",
        ("tokenizer", Part::T3English) => "data/text/english.json",
        ("tokenizer", _) => "data/text/multilingual.json",
        ("cangjie", _) => "data/text/cangjie.json",
        ("vocab", _) => "data/text/gpt2/vocab.json",
        ("merges", _) => "data/text/gpt2/merges.txt",
        ("added_tokens", _) => "data/text/gpt2/added_tokens.json",
        (other, _) => panic!("no test file for the role {other}"),
    }
}

/// Two networks differ neither in weights nor in their container if this is the same.
type Kind = (Part, String);

/// Writes a network, or takes what was written for another manifest.
fn network(written: &mut Vec<(Kind, PathBuf)>, part: Part, path: &Path) {
    let kind = (part, path.extension().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default());
    if let Some((_, same)) = written.iter().find(|(known, _)| *known == kind) {
        fs::hard_link(same, path).expect("a writable folder");
    } else {
        write(path, part, Depth::Reduced).expect("a writable folder");
        written.push((kind, path.to_owned()));
    }
}

fn load(manifest: &Manifest, folder: &Path) -> Model {
    let files = manifest.files.iter().map(|file| (file.role.clone(), folder.join(&file.path))).collect();
    let spec = LoadSpec {
        model: ModelId::from("m"),
        engine: "chatterbox".to_owned(),
        files,
        device: DeviceSpec::Cpu,
        precision: Precision::F32,
        threads: 1,
        cache_dir: None,
    };
    Model::load(&spec).expect("a model that loads")
}

/// Every language of the manifest is taken, with the voice of its `conds`; one that is not is refused.
fn check_languages(engine: &mut dyn Engine, manifest: &Manifest) {
    let voice = VoiceSource::Preset { name: "default".to_owned() };
    let voice = engine.load_voice(&voice, &Waiter::default()).expect("the published voice");
    let mut admit = |language: &Language| {
        let request = ChunkRequest {
            id: ChunkId(1),
            text: SpokenText { text: "4 \u{4f60}\u{597d} 2".to_owned(), spans: Vec::new() },
            language: language.clone(),
            voice,
            speed: Speed::NORMAL,
            seed: 1,
            params: Params::new(),
            cancel: CancelFlag::default(),
            progress: StepCounter::default(),
        };
        let taken = engine.admit(request);
        engine.cancel(ChunkId(1));
        taken
    };
    for language in &manifest.languages {
        admit(language).unwrap_or_else(|error| panic!("{language}: {error}"));
    }
    admit(&"ta".parse().expect("a language")).expect_err("Tamil is nobody's");
}

#[test]
fn every_manifest_names_files_that_load_and_languages_that_are_spoken() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let mut written = Vec::new();
    for (id, t3, s3gen) in FAMILY {
        let manifest = Manifest::open(id);
        let folder = folder.path().join(id);
        fs::create_dir(&folder).expect("a folder");
        for file in &manifest.files {
            let path = folder.join(&file.path);
            match file.role.as_str() {
                "t3" => network(&mut written, t3, &path),
                "s3gen" => network(&mut written, s3gen, &path),
                "ve" => network(&mut written, Part::VoiceEncoder, &path),
                role => {
                    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
                    fs::copy(tests.join(small(role, t3)), path).expect("a file");
                }
            }
        }
        let mut engine = load(&manifest, &folder).engine();
        check_languages(engine.as_mut(), &manifest);
    }
}

#[test]
fn the_two_multilingual_versions_differ_in_their_t3_alone() {
    let newer = Manifest::open("chatterbox-multilingual");
    let older = Manifest::open("chatterbox-multilingual-v2");
    assert_eq!(newer.source.hub, older.source.hub);
    assert_eq!(newer.languages, older.languages);
    assert_eq!(
        (newer.path("t3"), older.path("t3")),
        ("t3_mtl23ls_v3.safetensors", "t3_mtl23ls_v2.safetensors")
    );
    let rest = |manifest: &Manifest| -> BTreeSet<(String, String)> {
        let files = manifest.files.iter().filter(|file| file.role != "t3");
        files.map(|file| (file.role.clone(), file.path.clone())).collect()
    };
    assert_eq!(rest(&newer), rest(&older));
    assert_eq!(newer.path("tokenizer"), "grapheme_mtl_merged_expanded_v1.json");
}
