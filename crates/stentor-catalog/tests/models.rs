//! Which model a request means, and what a worker is told to load.
#![expect(clippy::unwrap_used, reason = "helpers of tests panic like the tests themselves")]

use std::fs;
use stentor_catalog::{Catalog, CatalogConfig, CatalogError, OPENAI_VOICES};
use stentor_types::{DeviceSpec, ModelId, Precision, VoiceKind};
use tempfile::TempDir;

fn config(root: &TempDir) -> CatalogConfig {
    CatalogConfig { data_dir: root.path().join("data"), ..CatalogConfig::default() }
}

fn install_kokoro(root: &TempDir) {
    let directory = root.path().join("data/models/kokoro");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("config.json"), "{}").unwrap();
    fs::write(directory.join("kokoro-v1_0.pth"), "weights").unwrap();
}

#[test]
fn the_best_installed_model_is_the_default() {
    let root = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(config(&root)).unwrap();
    let defaults = [None, Some(""), Some("tts-1"), Some("tts-1-hd"), Some("gpt-4o-mini-tts"), Some("TTS-1")];
    for name in defaults.into_iter().chain([Some("gpt-4o-mini-tts-2025-12-15")]) {
        assert_eq!(catalog.resolve_model(name).unwrap().id.as_str(), "builtin", "{name:?}");
    }
    install_kokoro(&root);
    let mut catalog = Catalog::open(config(&root)).unwrap();
    assert_eq!(catalog.resolve_model(Some("tts-1")).unwrap().id.as_str(), "kokoro");
    catalog.set_default(ModelId::from("builtin")).unwrap();
    assert_eq!(catalog.resolve_model(None).unwrap().id.as_str(), "builtin");
    assert!(matches!(
        catalog.set_default(ModelId::from("koko")),
        Err(CatalogError::ModelNotFound { nearest, .. }) if nearest[0] == "kokoro"
    ));
}

#[test]
fn model_ids_match_in_any_case_and_unknown_ones_name_the_nearest() {
    let root = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(config(&root)).unwrap();
    for name in ["kokoro", "Kokoro", "KOKORO"] {
        assert_eq!(catalog.resolve_model(Some(name)).unwrap().id.as_str(), "kokoro");
    }
    for name in ["kokorro", "../kokoro", "models/kokoro.toml", "tts-2", &"k".repeat(10_000), "k\0"] {
        let error = catalog.resolve_model(Some(name)).unwrap_err();
        assert!(matches!(&error, CatalogError::ModelNotFound { nearest, .. } if !nearest.is_empty()));
        assert!(error.to_string().len() < 300 && !error.to_string().contains('\0'));
    }
}

#[test]
fn a_worker_is_handed_files_by_role() {
    let root = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(config(&root)).unwrap();
    let builtin = catalog.model(&ModelId::from("builtin")).unwrap();
    let spec = builtin.load_spec(DeviceSpec::Cpu, Precision::F32, 2).unwrap();
    assert_eq!((spec.engine.as_str(), spec.files.len(), spec.threads), ("kokoro", 0, 2));

    let kokoro = catalog.model(&ModelId::from("kokoro")).unwrap();
    assert!(!kokoro.installed);
    let error = kokoro.load_spec(DeviceSpec::Cpu, Precision::F32, 0).unwrap_err().to_string();
    assert!(error.contains("stentor pull kokoro") && error.contains("kokoro-v1_0.pth"), "{error}");

    install_kokoro(&root);
    let catalog = Catalog::open(config(&root)).unwrap();
    let kokoro = catalog.model(&ModelId::from("kokoro")).unwrap();
    let spec = kokoro.load_spec(DeviceSpec::Cuda(1), Precision::F32, 0).unwrap();
    let directory = root.path().join("data/models/kokoro");
    assert_eq!(spec.files["config"], directory.join("config.json"));
    assert_eq!(spec.files["weights"], directory.join("kokoro-v1_0.pth"));
    assert_eq!(spec.device, DeviceSpec::Cuda(1));
    assert!(spec.cache_dir.unwrap().starts_with(root.path().join("data")));
}

#[test]
fn the_embedded_manifests_are_complete() {
    let root = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(config(&root)).unwrap();
    let ids: Vec<&str> = catalog.models().iter().map(|model| model.id.as_str()).collect();
    let family = [
        "chatterbox",
        "chatterbox-multilingual",
        "chatterbox-multilingual-v2",
        "chatterbox-nano",
        "chatterbox-turbo",
    ];
    assert_eq!(ids, [&["builtin"][..], &family, &["kokoro"]].concat());
    for id in family {
        let model = catalog.model(&ModelId::from(id)).unwrap();
        assert_eq!(model.voice_kinds, [VoiceKind::Preset, VoiceKind::Reference], "{id}");
        assert_eq!((model.engine.as_str(), model.languages[0].as_str()), ("chatterbox", "en-us"), "{id}");
        let roles: Vec<&str> = model.manifest().files.iter().map(|file| file.role.as_str()).collect();
        assert!(["t3", "s3gen", "ve", "conds"].iter().all(|role| roles.contains(role)), "{id}: {roles:?}");
        assert!(model.memory.unwrap() > 2 << 30, "{id}");
    }
    for model in catalog.models() {
        let mapped: Vec<&String> = model.manifest().openai.keys().collect();
        assert_eq!(mapped.len(), OPENAI_VOICES.len(), "{}: {mapped:?}", model.id);
        assert!(model.manifest().voices.default.is_some());
    }
    let kokoro = catalog.model(&ModelId::from("kokoro")).unwrap();
    assert_eq!(kokoro.voice_kinds, [VoiceKind::Embedding, VoiceKind::Blend]);
    let voices = &kokoro.manifest().voices;
    assert_eq!(voices.iter().count(), 54);
    // The first letter of a published name tells the language.
    for (language, name) in voices.iter() {
        let expected = match &name[..1] {
            "a" => "en-us",
            "b" => "en-gb",
            "e" => "es",
            "f" => "fr-fr",
            "h" => "hi",
            "i" => "it",
            "j" => "ja",
            "p" => "pt-br",
            _ => "zh",
        };
        assert_eq!(language.as_str(), expected, "{name}");
    }
}

#[test]
fn directories_add_and_replace_manifests() {
    let root = tempfile::tempdir().unwrap();
    for (directory, id, title) in [
        ("data/models", "mine", "data"),
        ("a", "mine", "a"),
        ("a", "other", "a"),
        ("b", "mine", "b"),
        ("b", "kokoro", "b"),
    ] {
        let directory = root.path().join(directory);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(format!("{id}.toml")), manifest(title)).unwrap();
    }
    let model_dirs = vec![root.path().join("a"), root.path().join("b")];
    let catalog = Catalog::open(CatalogConfig { model_dirs, ..config(&root) }).unwrap();
    let titles: Vec<(&str, &str)> =
        catalog.models().iter().map(|model| (model.id.as_str(), model.name.as_str())).collect();
    let titles: Vec<_> = titles.into_iter().filter(|(id, _)| !id.starts_with("chatterbox")).collect();
    assert_eq!(
        titles,
        [("builtin", "Stentor's built-in voice"), ("kokoro", "b"), ("mine", "b"), ("other", "a")]
    );
    // Without any voice such a model says so.
    let mine = catalog.model(&ModelId::from("mine")).unwrap();
    assert!(matches!(catalog.resolve_voice(mine, None), Err(CatalogError::NoVoices { .. })));

    fs::write(root.path().join("b/mine.toml"), manifest("b") + "colour = 1\n").unwrap();
    let model_dirs = vec![root.path().join("b")];
    let catalog = Catalog::open(CatalogConfig { model_dirs, ..config(&root) }).unwrap();
    let error = catalog.broken_manifest("mine").unwrap().to_string();
    assert!(error.contains("mine.toml") && error.contains("colour"), "{error}");
}

/// A manifest that takes recordings and has no voice of its own.
fn manifest(title: &str) -> String {
    format!(
        "engine = \"e\"\ntitle = \"{title}\"\nlicence = \"MIT\"\nlanguages = [\"de\"]\nvoice_kinds = [\"reference\"]\n"
    )
}

#[test]
fn a_broken_manifest_costs_its_own_model_only() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("m");
    fs::create_dir_all(&directory).unwrap();
    let voiced = |title| {
        manifest(title).replace("reference", "preset")
            + "[voices]\ndefault = \"one\"\n[voices.names]\nde = [\"one\"]\n"
    };
    fs::write(directory.join("mine.toml"), voiced("m")).unwrap();
    fs::write(directory.join("bad.toml"), "engine = \"a\"\nengine = \"b\"\n").unwrap();
    let model_dirs = vec![directory.clone()];
    let mut catalog = Catalog::open(CatalogConfig { model_dirs, ..config(&root) }).unwrap();
    let [warning] = catalog.warnings() else { panic!("{:?}", catalog.warnings()) };
    assert!(
        warning.contains("bad.toml") && warning.contains("left out") && !warning.contains('\n'),
        "{warning}"
    );
    assert!(catalog.resolve_model(Some("bad")).is_err());
    assert_eq!(catalog.resolve_model(Some("mine")).unwrap().name, "m");

    // While somebody edits it, the model stays as it was; then it is as the file says.
    fs::write(directory.join("mine.toml"), "engine = ").unwrap();
    catalog.reload().unwrap();
    assert_eq!(catalog.resolve_model(Some("mine")).unwrap().name, "m");
    assert!(!catalog.voices(catalog.resolve_model(Some("mine")).unwrap()).is_empty());
    fs::write(directory.join("mine.toml"), voiced("n")).unwrap();
    fs::remove_file(directory.join("bad.toml")).unwrap();
    catalog.reload().unwrap();
    assert_eq!(catalog.resolve_model(Some("mine")).unwrap().name, "n");
    assert!(catalog.warnings().is_empty(), "{:?}", catalog.warnings());
}

#[test]
fn a_broken_lock_is_a_warning_and_the_rest_works() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("data")).unwrap();
    fs::write(root.path().join("data/models.lock"), "[models.kokoro]\ncolour = 1\n").unwrap();
    let catalog = Catalog::open(config(&root)).unwrap();
    assert!(catalog.warnings()[0].contains("models.lock") && catalog.warnings()[0].contains("colour"));
    assert_eq!(catalog.resolve_model(None).unwrap().id.as_str(), "builtin");
}
