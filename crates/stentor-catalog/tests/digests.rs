//! What tells one content from another: digests of voices, revisions of models, the look of the directories.
#![expect(clippy::unwrap_used, reason = "helpers of tests panic like the tests themselves")]

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};
use stentor_catalog::{Catalog, CatalogConfig, CatalogError, Model};
use stentor_types::{ModelId, VoiceSource};
use tempfile::TempDir;

const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for directory in ["voices", "models"] {
            fs::create_dir(place.path(directory)).unwrap();
        }
        place
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.0.path().join(relative)
    }

    fn put(&self, relative: &str, content: &str) -> PathBuf {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn open(&self) -> Catalog {
        Catalog::open(CatalogConfig {
            data_dir: self.path("data"),
            model_dirs: vec![self.path("models")],
            voice_dirs: vec![self.path("voices")],
            ..CatalogConfig::default()
        })
        .unwrap()
    }

    /// Kokoro's files as a pull leaves them, with hashes of `{}` and `abc`; the manifest's own hash is another.
    fn pulled(&self) -> PathBuf {
        let snapshot = format!("data/huggingface/hub/models--o--m/snapshots/{COMMIT}");
        self.put(
            "models/mine.toml",
            "engine = \"e\"\ntitle = \"t\"\nlicence = \"MIT\"\nlanguages = [\"de\"]\nvoice_kinds = [\"reference\"]\n\
             [source]\nhub = \"o/m\"\n[[files]]\nrole = \"weights\"\npath = \"w.pth\"\n",
        );
        self.put(&format!("{snapshot}/w.pth"), "abc");
        self.put(&format!("{snapshot}/voices/v.pt"), "abc");
        let file = |path| format!("[models.mine.files.\"{path}\"]\nsize = 3\nsha256 = \"{ABC}\"\n");
        self.put(
            "data/models.lock",
            &format!(
                "[models.mine]\nrepository = \"o/m\"\nrevision = \"{COMMIT}\"\n{}{}",
                file("w.pth"),
                file("voices/v.pt")
            ),
        );
        self.path(&snapshot)
    }
}

fn embedding(path: &Path) -> VoiceSource {
    VoiceSource::Embedding { path: path.to_owned() }
}

fn model<'a>(catalog: &'a Catalog, id: &str) -> &'a Model {
    catalog.model(&ModelId::from(id)).unwrap()
}

fn set_time(path: &Path, seconds: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn a_digest_follows_the_content() {
    let place = Place::new();
    let catalog = place.open();
    let path = place.put("voices/a.pt", "abc");
    let digest = |source: &VoiceSource| catalog.voice_digest(source).unwrap();
    assert_eq!(digest(&embedding(&path)), ABC);
    assert_eq!(digest(&embedding(&place.put("voices/b.pt", "abc"))), ABC, "the name does not matter");
    fs::write(&path, "abcd").unwrap();
    let other = digest(&embedding(&path));
    assert_ne!(other, ABC);
    // Another file of the same size, moved there with the time of the one before.
    set_time(&path, 1_000);
    let before = digest(&embedding(&path));
    let new = place.put("voices/.new", "dcba");
    set_time(&new, 1_000);
    fs::rename(new, &path).unwrap();
    assert_ne!(digest(&embedding(&path)), before);
    assert_eq!(digest(&VoiceSource::Preset { name: "rms".to_owned() }), "preset:rms");
}

#[test]
fn a_blend_depends_on_its_parts_their_weights_and_their_order_and_a_recording_on_its_transcript() {
    let place = Place::new();
    let catalog = place.open();
    let [a, b] = ["a", "b"].map(|name| embedding(&place.put(&format!("voices/{name}.pt"), name)));
    let blend = |parts: &[(&VoiceSource, f32)]| {
        let parts = parts.iter().map(|(part, weight)| ((*part).clone(), *weight)).collect();
        catalog.voice_digest(&VoiceSource::Blend { parts }).unwrap()
    };
    let recording = |transcript: Option<&str>| {
        let path = place.path("voices/a.pt");
        let transcript = transcript.map(str::to_owned);
        catalog.voice_digest(&VoiceSource::Reference { path, transcript }).unwrap()
    };
    let mut all = vec![
        blend(&[(&a, 1.0), (&b, 1.0)]),
        blend(&[(&a, 2.0), (&b, 1.0)]),
        blend(&[(&b, 1.0), (&a, 1.0)]),
        blend(&[(&a, 1.0), (&a, 1.0)]),
        recording(None),
        recording(Some("Hello.")),
        recording(Some("Bye.")),
    ];
    assert_eq!(blend(&[(&a, 1.0), (&b, 1.0)]), all[0]);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 7);
}

#[test]
fn a_voice_that_vanished_is_an_error_that_says_so() {
    let place = Place::new();
    let catalog = place.open();
    let path = place.put("voices/a.pt", "abc");
    catalog.voice_digest(&embedding(&path)).unwrap();
    fs::remove_file(&path).unwrap();
    let parts = vec![(embedding(&path), 1.0)];
    for source in [embedding(&path), VoiceSource::Blend { parts }] {
        let error = catalog.voice_digest(&source).unwrap_err();
        assert!(matches!(&error, CatalogError::VoiceGone { .. }), "{error:?}");
        assert!(error.to_string().contains("a.pt is no longer there"), "{error}");
    }
}

#[test]
fn a_revision_is_the_commit_or_the_look_of_the_files() {
    let place = Place::new();
    place.pulled();
    let mut catalog = place.open();
    assert_eq!(model(&catalog, "mine").revision(), COMMIT);
    assert_eq!(model(&catalog, "builtin").revision(), "");
    // Files put there by hand beat the pulled ones.
    let own = place.put("data/models/mine/w.pth", "abc");
    set_time(&own, 1_000);
    let mut seen = vec![COMMIT.to_owned()];
    let mut revision = |catalog: &mut Catalog| {
        catalog.reload().unwrap();
        let revision = model(catalog, "mine").revision();
        let new = !seen.contains(&revision);
        seen.push(revision);
        new
    };
    assert!(revision(&mut catalog));
    assert!(!revision(&mut catalog), "nothing was changed");
    set_time(&own, 2_000);
    assert!(revision(&mut catalog));
    fs::write(&own, "abcd").unwrap();
    set_time(&own, 2_000);
    assert!(revision(&mut catalog));
}

#[test]
fn every_change_in_the_directories_is_seen_and_nothing_else() {
    let place = Place::new();
    place.put("voices/Emily.wav", "abc");
    place.put("voices/Max/voice.toml", "");
    place.put("voices/Max/max.wav", "abc");
    place.put("data/models/mine/w.pth", "abc");
    let catalog = place.open();
    let mut last = catalog.fingerprint();
    assert_eq!(catalog.fingerprint(), last);
    assert_eq!(place.open().fingerprint(), last, "another program sees the same");
    let mut changed = |what: &str| {
        let now = catalog.fingerprint();
        assert_ne!(std::mem::replace(&mut last, now), now, "{what}");
    };
    place.put("voices/Emily.wav", "abcd");
    changed("another size");
    set_time(&place.path("voices/Emily.wav"), 1_000);
    changed("another time");
    fs::rename(place.path("voices/Emily.wav"), place.path("voices/Emma.wav")).unwrap();
    changed("another name");
    place.put("voices/voices.toml", "[aliases]\nE = \"Emma\"\n");
    changed("voices.toml");
    place.put("voices/Max/max.wav", "abcde");
    changed("a file of a folder");
    place.put("voices/Max/voice.toml", "name = \"M\"\n");
    changed("voice.toml of a folder");
    place.put("models/new.toml", "");
    changed("a manifest");
    place.put("data/models/mine/w.pth", "abcde");
    changed("a model's file");
    place.put("data/voices/v.pt", "");
    changed("the first voice of the data directory");
    place.put("data/models.lock", "");
    changed("a pull");
    fs::remove_dir_all(place.path("voices")).unwrap();
    changed("a directory that is gone");
    place.put("data/cache/x", "abc");
    assert_eq!(catalog.fingerprint(), last, "caches do not matter");
}

#[test]
fn files_are_held_against_what_was_pulled() {
    let place = Place::new();
    let snapshot = place.pulled();
    let faults = |hash: bool| {
        let catalog = place.open();
        let checks = catalog.check_files(model(&catalog, "mine"), hash).unwrap();
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        checks.into_iter().map(|check| (name(&check.path), check.hashed, check.fault)).collect::<Vec<_>>()
    };
    let sound = |hashed| vec![("v.pt".to_owned(), hashed, None), ("w.pth".to_owned(), hashed, None)];
    assert_eq!(faults(true), sound(true));
    fs::write(snapshot.join("w.pth"), "abx").unwrap();
    assert_eq!(faults(false), sound(false), "the size is right");
    let [_, (_, true, Some(fault))] = &faults(true)[..] else { panic!("{:?}", faults(true)) };
    assert!(fault.contains("sha256") && fault.contains(ABC), "{fault}");
    fs::write(snapshot.join("w.pth"), "ab").unwrap();
    fs::remove_file(snapshot.join("voices/v.pt")).unwrap();
    let [(_, _, Some(missing)), (_, _, Some(short))] = &faults(false)[..] else { panic!("no fault") };
    assert!(missing.contains("missing") && short.contains("2 bytes instead of 3"), "{missing} {short}");
    let catalog = place.open();
    assert_eq!(catalog.check_files(model(&catalog, "builtin"), true).unwrap(), []);
}
