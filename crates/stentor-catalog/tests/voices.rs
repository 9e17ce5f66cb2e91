//! What a client may write for a voice, and what it gets: one row per spelling.
#![expect(clippy::unwrap_used, reason = "helpers of tests panic like the tests themselves")]

use std::{
    fs,
    path::{Path, PathBuf},
};
use stentor_catalog::{Catalog, CatalogConfig, CatalogError, Model};
use stentor_types::{ModelId, VoiceSource};
use tempfile::TempDir;

/// A model that takes every kind of voice, so that all rules can be seen at once.
const STUDIO: &str = r#"
engine = "studio"
title = "Takes recordings and style files"
licence = "MIT"
languages = ["en-us"]
voice_kinds = ["preset", "embedding", "reference", "blend"]
[voices]
default = "house"
[voices.names]
en-us = ["house", "slot"]
[openai]
nova = "slot"
"#;

/// A house with a data directory, a voices directory and whatever a test puts there.
struct House {
    root: TempDir,
}

impl House {
    fn new() -> Self {
        let house = Self { root: tempfile::tempdir().unwrap() };
        house.put("models/studio.toml", STUDIO);
        fs::create_dir(house.path("voices")).unwrap();
        house
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.root.path().join(relative)
    }

    fn put(&self, relative: &str, content: &str) -> &Self {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    fn voices(&self, names: &[&str]) -> &Self {
        for name in names {
            self.put(&format!("voices/{name}"), "voice");
        }
        self
    }

    fn kokoro(&self, voices: &[&str]) -> &Self {
        for file in ["config.json", "kokoro-v1_0.pth"] {
            self.put(&format!("data/models/kokoro/{file}"), "{}");
        }
        for voice in voices {
            self.put(&format!("data/models/kokoro/voices/{voice}.pt"), "style");
        }
        self
    }

    fn config(&self) -> CatalogConfig {
        CatalogConfig {
            data_dir: self.path("data"),
            model_dirs: vec![self.path("models")],
            voice_dirs: vec![self.path("voices")],
            ..CatalogConfig::default()
        }
    }

    fn open(&self) -> Catalog {
        Catalog::open(self.config()).unwrap()
    }
}

fn model<'a>(catalog: &'a Catalog, id: &str) -> &'a Model {
    catalog.model(&ModelId::from(id)).unwrap()
}

/// The outcome in one short string: the id, or the error's kind and what it is about.
fn outcome(catalog: &Catalog, id: &str, requested: Option<&str>) -> String {
    match catalog.resolve_voice(model(catalog, id), requested) {
        Ok(voice) => voice.id,
        Err(CatalogError::VoiceNotFound { name, .. }) => format!("unknown {name}"),
        Err(CatalogError::VoiceNotSupported { voice, .. }) => format!("unsupported {voice}"),
        Err(CatalogError::NotInstalled { missing, .. }) => format!("pull {}", missing.join(" ")),
        Err(CatalogError::Blend { part, .. }) => format!("bad part {part}"),
        Err(other) => format!("{other:?}"),
    }
}

fn check(catalog: &Catalog, rows: &[(&str, &str, &str)]) {
    let wrong: Vec<String> = rows
        .iter()
        .map(|(model, asked, expected)| (outcome(catalog, model, Some(asked)), model, asked, expected))
        .filter(|(got, _, _, expected)| got != *expected)
        .map(|(got, model, asked, expected)| format!("{model}: {asked:?} gave {got}, expected {expected}"))
        .collect();
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

const NFC: &str = "Zo\u{eb}";
const NFD: &str = "Zoe\u{308}";

/// Model, what the client writes, what comes of it.
const ROWS: &[(&str, &str, &str)] = &[
    // Exact id, exact file name, alias.
    ("studio", "Emily", "Emily"),
    ("studio", "Emily.wav", "Emily"),
    ("studio", "house", "house"),
    ("studio", "narrator", "Emily"),
    ("studio", "Narrator", "unknown Narrator"),
    ("studio", "anyone", "mr.smith"),
    ("studio", "Axel", "Axel"),
    ("studio", "Axel.FLAC", "Axel"),
    // One known extension is removed, whichever it is; then case and composition do not matter.
    ("studio", "Emily.mp3", "Emily"),
    ("studio", "emily", "Emily"),
    ("studio", "emily.WAV", "Emily"),
    ("studio", "EMILY.mp3", "Emily"),
    ("studio", "Emily.safetensors", "Emily"),
    ("studio", "axel.flac", "Axel"),
    ("studio", "Emily.txt", "unknown Emily.txt"),
    ("studio", "Emily.wav.wav", "unknown Emily.wav.wav"),
    ("studio", " Emily", "unknown  Emily"),
    ("studio", "Emil", "unknown Emil"),
    ("studio", NFC, NFC),
    ("studio", NFD, NFC),
    ("studio", "ZOE\u{308}.mp3", NFC),
    ("studio", "mr.smith", "mr.smith"),
    ("studio", "mr.smith.wav", "mr.smith"),
    ("studio", "Mr.Smith.opus", "mr.smith"),
    ("studio", "mr", "unknown mr"),
    ("studio", "tape.wav", "tape.wav"),
    ("studio", "tape.wav.mp3", "tape.wav"),
    ("studio", "tape", "unknown tape"),
    // Two files with one stem, or with stems that differ in case only.
    ("studio", "twin", "twin.mp3"),
    ("studio", "twin.wav", "twin.wav"),
    ("studio", "twin.flac", "twin.mp3"),
    ("studio", "TWIN", "twin.mp3"),
    ("studio", "Case", "Case"),
    ("studio", "case", "case"),
    ("studio", "CASE", "Case"),
    ("studio", "slot", "slot"),
    ("studio", "Slot", "SLOT"),
    // A folder is the voice of its name; its file has none of its own.
    ("studio", "Ada", "Ada"),
    ("studio", "ada.wav", "Ada"),
    ("studio", "take3.wav", "unknown take3.wav"),
    // OpenAI's names come last: a voice or an alias of that name goes before them.
    ("studio", "nova", "slot"),
    ("studio", "Nova.mp3", "slot"),
    ("studio", "verse", "house"),
    ("studio", "echo", "echo"),
    ("studio", "alloy", "Axel"),
    ("kokoro", "alloy", "af_alloy"),
    ("kokoro", "echo", "af_heart"),
    ("kokoro", "marin", "af_heart"),
    ("builtin", "alloy", "slt"),
    ("builtin", "onyx", "rms"),
    ("builtin", "ALLOY", "slt"),
    ("builtin", "male", "rms"),
    ("kokoro", "female", "af_heart"),
    // What a model cannot use is refused with a reason, what is nowhere is unknown.
    ("kokoro", "soft", "soft"),
    ("kokoro", "Emily", "unsupported Emily"),
    ("kokoro", "emily.mp3", "unsupported Emily"),
    ("kokoro", "narrator", "unsupported Emily"),
    ("kokoro", "slt", "unsupported slt"),
    ("builtin", "af_heart", "unsupported af_heart"),
    ("builtin", "soft.pt", "unsupported soft"),
    ("kokoro", "af_sky", "pull voices/af_sky.pt"),
    ("kokoro", "AF_HEART.pt", "af_heart"),
    ("kokoro", "af_heart.wav", "af_heart"),
    ("studio", "notes", "unknown notes"),
    ("studio", ".secret", "unknown .secret"),
    ("studio", ".secret.wav", "unknown .secret.wav"),
    ("studio", "secret", "unknown secret"),
    // Paths are names like any other.
    ("studio", "../voices/Emily.wav", "unknown ../voices/Emily.wav"),
    ("studio", "../../etc/passwd", "unknown ../../etc/passwd"),
    ("studio", "/etc/passwd", "unknown /etc/passwd"),
    ("studio", "./Emily", "unknown ./Emily"),
    ("studio", "Ada/take3.wav", "unknown Ada/take3.wav"),
    ("studio", "C:\\Emily.wav", "unknown C:\\Emily.wav"),
    ("studio", "Emily\0.wav", "unknown Emily\u{fffd}.wav"),
    ("studio", "..", "unknown .."),
    ("studio", ".wav", "unknown .wav"),
    // Blends; each part is a name like any other, and a real voice goes before.
    ("kokoro", "af_bella(2)+am_adam(1)", "af_bella(2)+am_adam"),
    ("kokoro", "af_bella,am_adam", "af_bella+am_adam"),
    ("kokoro", "AF_Bella.pt(0.5) + alloy", "af_bella(0.5)+af_alloy"),
    ("kokoro", "af_bella(2)", "af_bella"),
    ("builtin", "slt+rms(3)", "slt+rms(3)"),
    ("studio", "warm+dry", "warm+dry"),
    ("studio", "WARM+dry.mp3", "warm+dry"),
    ("kokoro", "warm+dry", "unsupported warm+dry"),
    ("kokoro", "WARM+dry.wav", "unsupported warm+dry"),
    ("builtin", "slt,rms", "slt+rms"),
    ("kokoro", "af_bella+nobody", "unknown nobody"),
    ("kokoro", "af_bella+Emily", "unsupported Emily"),
    ("kokoro", "af_bella(x)+am_adam", "bad part af_bella(x)"),
    ("kokoro", "af_bella(-1)+am_adam", "bad part af_bella(-1)"),
    ("kokoro", "af_bella++am_adam", "bad part "),
    ("kokoro", "../a,/etc/passwd", "unknown ../a"),
];

#[test]
fn a_voice_is_found_under_every_name_people_write() {
    let house = House::new();
    house.kokoro(&["af_heart", "af_bella", "am_adam", "af_alloy"]).voices(&[
        "Emily.wav",
        "Axel.FLAC",
        "mr.smith.wav",
        "tape.wav.wav",
        "twin.wav",
        "twin.mp3",
        "Case.wav",
        "case.mp3",
        "SLOT.wav",
        "echo.wav",
        "soft.pt",
        "warm+dry.wav",
        "slt,rms.wav",
        ".secret.wav",
        "notes.txt",
        &format!("{NFD}.ogg"),
        "Ada/voice.toml",
        "Ada/take3.wav",
    ]);
    house.put("voices/Ada/voice.toml", "name = \"Ada L.\"\nlanguages = [\"en-gb\"]\n");
    house.put(
        "voices/voices.toml",
        "[aliases]\nnarrator = \"Emily\"\nalloy = \"Axel\"\nAxel = \"Emily\"\nanyone = [\"nobody\", \"mr.smith.mp3\"]\n",
    );
    check(&house.open(), ROWS);
}

#[test]
fn no_voice_and_the_empty_voice_mean_the_default() {
    let house = House::new();
    house.kokoro(&["af_bella", "bf_emma"]);
    let catalog = house.open();
    for requested in [None, Some("")] {
        assert_eq!(outcome(&catalog, "builtin", requested), "rms");
        assert_eq!(outcome(&catalog, "studio", requested), "house");
        // The default is not on disk: the first that is.
        assert_eq!(outcome(&catalog, "kokoro", requested), "bf_emma");
    }
}

#[test]
fn long_names_are_unknown_and_short_in_the_error() {
    let house = House::new();
    house.voices(&["Emily.wav"]);
    let catalog = house.open();
    for long in ["x".repeat(10_000), "a,".repeat(5_000), "Emily+".repeat(2_000), "\u{308}".repeat(5_000)] {
        let error = catalog.resolve_voice(model(&catalog, "studio"), Some(&long)).unwrap_err();
        assert!(matches!(error, CatalogError::VoiceNotFound { .. }), "{error:?}");
        assert!(error.to_string().len() < 500, "{error}");
    }
    let many = vec!["Emily"; 17].join("+");
    assert_eq!(outcome(&catalog, "studio", Some(&many)), "bad part Emily");
}

#[test]
fn sources_are_what_the_engines_need() {
    let house = House::new();
    house.kokoro(&["af_heart", "bf_emma"]).voices(&["Emily.wav", "soft.pt"]);
    house.put(
        "voices/voices.toml",
        "[voices.Emily]\nname = \"Emily S.\"\nlanguages = [\"en-GB\"]\nlicence = \"CC0-1.0\"\ntranscript = \"Hello.\"\n",
    );
    let catalog = house.open();
    let resolve = |id: &str, name: &str| catalog.resolve_voice(model(&catalog, id), Some(name)).unwrap();
    let real = |path: &str| fs::canonicalize(house.path(path)).unwrap();

    assert_eq!(resolve("builtin", "alloy").source, VoiceSource::Preset { name: "slt".into() });
    let emily = resolve("studio", "emily.mp3");
    let transcript = Some("Hello.".to_owned());
    assert_eq!(emily.source, VoiceSource::Reference { path: real("voices/Emily.wav"), transcript });
    assert_eq!(emily.language.unwrap().as_str(), "en-gb");
    let emma = resolve("kokoro", "bf_emma");
    assert_eq!(
        emma.source,
        VoiceSource::Embedding { path: house.path("data/models/kokoro/voices/bf_emma.pt") }
    );
    assert_eq!(emma.language.unwrap().as_str(), "en-gb");
    let VoiceSource::Blend { parts } = resolve("kokoro", "bf_emma(2)+soft.bin").source else {
        panic!("not a blend")
    };
    assert_eq!(parts[0], (emma.source, 2.0));
    assert_eq!(parts[1], (VoiceSource::Embedding { path: real("voices/soft.pt") }, 1.0));

    let listed = catalog.voices(model(&catalog, "studio"));
    let entry = listed.iter().find(|entry| entry.id.as_str() == "Emily").unwrap();
    assert_eq!((entry.name.as_str(), entry.licence.as_deref()), ("Emily S.", Some("CC0-1.0")));
    assert_eq!(entry.file_name.as_deref(), Some("Emily.wav"));
}

#[test]
fn listings_hold_what_the_model_can_use_and_nothing_else() {
    let house = House::new();
    house.kokoro(&["af_heart", "bf_emma"]).voices(&["Emily.wav", "twin.pt", "twin.bin", ".x.pt"]);
    let catalog = house.open();
    let ids = |id: &str| -> Vec<String> {
        catalog.voices(model(&catalog, id)).iter().map(|entry| entry.id.as_str().to_owned()).collect()
    };
    assert_eq!(ids("builtin"), ["rms", "slt"]);
    assert_eq!(ids("kokoro"), ["bf_emma", "af_heart", "twin.bin", "twin.pt"]);
    assert_eq!(ids("studio"), ["house", "slot", "Emily", "twin.bin", "twin.pt"]);
}

#[test]
fn a_model_that_clones_speaks_with_every_recording_and_with_its_default() {
    let house = House::new();
    for file in ["t3_cfg.safetensors", "s3gen.safetensors", "ve.safetensors", "conds.pt", "tokenizer.json"] {
        house.put(&format!("data/models/chatterbox/{file}"), "x");
    }
    house.voices(&["Emily.wav", "Axel.M4A", "a.webm", "b.caf", "c.aiff", "d.aac", "e.oga", "style.pt"]);
    house.put("voices/voices.toml", "[voices.Emily]\nlanguages = [\"en-gb\"]\ntranscript = \"Hello.\"\n");
    let catalog = house.open();
    let chatterbox = model(&catalog, "chatterbox");
    let ids: Vec<&str> = catalog.voices(chatterbox).iter().map(|entry| entry.id.as_str()).collect();
    assert_eq!(ids, ["default", "Axel", "Emily", "a", "b", "c", "d", "e"], "no style file");
    let emily = VoiceSource::Reference {
        path: fs::canonicalize(house.path("voices/Emily.wav")).unwrap(),
        transcript: Some("Hello.".to_owned()),
    };
    for spelling in ["Emily", "Emily.wav", "emily", "EMILY.mp3"] {
        let voice = catalog.resolve_voice(chatterbox, Some(spelling)).unwrap();
        assert_eq!(voice.source, emily, "{spelling}");
        assert_eq!(voice.language.unwrap().as_str(), "en-gb");
    }
    let default = VoiceSource::Preset { name: "default".to_owned() };
    for spelling in [None, Some(""), Some("default"), Some("alloy"), Some("nova.wav")] {
        assert_eq!(catalog.resolve_voice(chatterbox, spelling).unwrap().source, default, "{spelling:?}");
    }
    let refused = catalog.resolve_voice(chatterbox, Some("style")).unwrap_err().to_string();
    assert!(refused.contains("a style file, which this model does not read"), "{refused}");
    let refused = catalog.resolve_voice(model(&catalog, "builtin"), Some("Emily")).unwrap_err().to_string();
    assert!(refused.contains("a recording, which this model cannot clone"), "{refused}");
}

#[test]
fn every_openai_voice_speaks_with_every_model() {
    let house = House::new();
    house.kokoro(&["af_heart"]);
    let catalog = house.open();
    for id in ["builtin", "kokoro", "studio"] {
        for name in stentor_catalog::OPENAI_VOICES {
            let voice = catalog.resolve_voice(model(&catalog, id), Some(name));
            assert!(voice.is_ok(), "{id} {name}: {voice:?}");
        }
    }
}

#[test]
fn unknown_names_come_with_the_nearest() {
    let house = House::new();
    house.kokoro(&["af_heart", "af_bella", "am_adam", "bf_emma", "bm_george", "am_michael", "am_onyx"]);
    let catalog = house.open();
    let error = catalog.resolve_voice(model(&catalog, "kokoro"), Some("af_hart.wav")).unwrap_err();
    let CatalogError::VoiceNotFound { nearest, .. } = &error else { panic!("{error:?}") };
    assert_eq!(nearest[0], "af_heart");
    assert_eq!(nearest.len(), 5);
    assert!(error.to_string().contains("af_heart"));
}

#[test]
fn things_to_look_at_are_warnings() {
    let house = House::new();
    house.voices(&["twin.wav", "twin.mp3", "rms.wav", "house.wav"]);
    house.put("outside.wav", "voice").put("data/voices/rms.wav", "voice").put("empty/x", "");
    house.put("voices/two/voice.toml", "").put("voices/two/a.wav", "").put("voices/two/b.wav", "");
    house.put("voices/voices.toml", "[aliases]\ndead = \"nobody\"\n[voices.ghost]\nlicence = \"MIT\"\n");
    link(&house.path("outside.wav"), &house.path("voices/stolen.wav"));
    link(&house.path("voices/twin.wav"), &house.path("voices/inside.wav"));
    link(&house.path("empty"), &house.path("voices/dir"));
    let catalog = house.open();
    for named in [
        "`twin` means twin.mp3",
        "stolen.wav: leads out",
        "dir: leads out",
        "alias `dead`",
        "no voice `ghost`",
        "two: a voice folder",
        "`rms.wav` in",
        "`house.wav` hides studio's own `house`",
    ] {
        let found = catalog.warnings().iter().filter(|warning| warning.contains(named)).count();
        assert_eq!(found, 1, "{named}: {:#?}", catalog.warnings());
    }
    assert_eq!(outcome(&catalog, "studio", Some("stolen")), "unknown stolen");
    assert_eq!(outcome(&catalog, "studio", Some("inside")), "inside");
    // The directory given by hand beats the data directory.
    let VoiceSource::Reference { path, .. } =
        catalog.resolve_voice(model(&catalog, "studio"), Some("rms")).unwrap().source
    else {
        panic!("not a recording")
    };
    assert_eq!(path, fs::canonicalize(house.path("voices/rms.wav")).unwrap());
}

#[test]
fn odd_files_and_folders_are_ignored_with_one_clear_warning_each() {
    let house = House::new();
    house.voices(&["Emily.wav"]).put("voices/hollow.wav", "").put("voices/bare/notes.txt", "none");
    house.put("voices/loose/take.wav", "voice").put("voices/blank/voice.toml", "");
    house.put("voices/blank/take.wav", "").put("voices/mute/voice.toml", "");
    house.put("voices/maze/voice.toml/take.wav", "voice");
    link(&house.path("gone.wav"), &house.path("voices/gone.wav"));
    let catalog = house.open();
    for (named, why) in [
        ("hollow.wav", "is empty"),
        ("bare", "holds a voice.toml"),
        ("loose", "holds a voice.toml"),
        ("maze", "holds a voice.toml"),
        ("blank", "is empty"),
        ("mute", "exactly one voice file"),
        ("gone.wav", "leads nowhere"),
    ] {
        let about: Vec<&String> = catalog.warnings().iter().filter(|w| w.contains(named)).collect();
        assert!(matches!(about[..], [one] if one.contains(why)), "{named}: {about:?}");
    }
    assert_eq!(catalog.warnings().len(), 7, "{:#?}", catalog.warnings());
    let listed = catalog.voices(model(&catalog, "studio"));
    let ids: Vec<&str> = listed.iter().map(|entry| entry.id.as_str()).collect();
    assert_eq!(ids, ["house", "slot", "Emily"]);
}

#[test]
fn a_published_voice_that_was_not_pulled_is_named_with_the_way_out() {
    let house = House::new();
    house.kokoro(&["af_heart"]);
    let catalog = house.open();
    let error = catalog.resolve_voice(model(&catalog, "kokoro"), Some("af_bella")).unwrap_err().to_string();
    assert!(error.contains("voice `af_bella`") && error.contains("`stentor pull kokoro`"), "{error}");
}

#[test]
fn a_clean_house_has_no_warnings() {
    let house = House::new();
    house.voices(&["Emily.wav"]);
    assert_eq!(house.open().warnings(), [""; 0]);
}

#[test]
fn reload_sees_new_voices_and_keeps_the_old_state_on_an_error() {
    let house = House::new();
    let mut catalog = house.open();
    catalog.set_default(ModelId::from("studio")).unwrap();
    assert_eq!(outcome(&catalog, "studio", Some("Emily")), "unknown Emily");
    house.voices(&["Emily.wav"]);
    catalog.reload().unwrap();
    assert_eq!(outcome(&catalog, "studio", Some("Emily")), "Emily");
    assert_eq!(catalog.default_model().unwrap().id.as_str(), "studio");

    house.put("voices/voices.toml", "[voices.Emily]\nlicense = \"MIT\"\n");
    let error = catalog.reload().unwrap_err().to_string();
    assert!(error.contains("voices.toml") && error.contains("license"), "{error}");
    assert_eq!(outcome(&catalog, "studio", Some("Emily")), "Emily");

    fs::remove_dir_all(house.path("voices")).unwrap();
    assert!(matches!(catalog.reload(), Err(CatalogError::Io { .. })));
}

#[cfg(unix)]
fn link(to: &Path, at: &Path) {
    std::os::unix::fs::symlink(to, at).unwrap();
}
