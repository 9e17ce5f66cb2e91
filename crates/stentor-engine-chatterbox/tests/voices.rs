//! Voices from files: what the reference saved, what is kept between starts, and what a client is told of a bad recording.

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use stentor_engine::{EngineError, Waiter};
use stentor_engine_chatterbox::{
    model::t3::Family,
    voice::{
        Conditionals, Listen, S3GenPrompt, T3Prompt, VoiceFiles, Voices,
        cache::{Disk, Memory},
    },
};
use stentor_nn::{NnError, Watch};
use stentor_types::{AudioFormat, SampleRate, VoiceSource};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// A voice whose values say how much was heard.
fn voice(heard: usize) -> Conditionals {
    Conditionals {
        t3: T3Prompt { speaker: vec![heard as f32; 256], tokens: vec![1, 2, 3] },
        s3gen: S3GenPrompt { tokens: vec![4, 5], mel: vec![0.25; 320], xvector: vec![-1.0; 192] },
    }
}

#[test]
fn conds_pt_is_read_as_the_reference_wrote_it() {
    let close = |a: f32, b: f32| (a - b).abs() < 1e-5;
    let read = Conditionals::open(&golden("conds.pt")).expect("read");
    assert_eq!(read.t3.tokens, (0..150).map(|i| i * 43 % 6561).collect::<Vec<u32>>());
    assert_eq!(read.s3gen.tokens, [0, 1000, 2000, 3000, 4000, 5000]);
    assert_eq!((read.t3.speaker.len(), read.s3gen.xvector.len(), read.s3gen.mel.len()), (256, 192, 960));
    for (i, value) in read.t3.speaker.iter().enumerate() {
        assert!(close(*value, i as f32 * 2.0 / 255.0 - 1.0), "speaker {i}: {value}");
    }
    for (i, value) in read.s3gen.xvector.iter().enumerate() {
        assert!(close(*value, i as f32 / 191.0 + 2.0), "x-vector {i}: {value}");
    }
    // Saved as (80, 12) and viewed as (12, 80).
    for (i, value) in read.s3gen.mel.iter().enumerate() {
        let (frame, bin) = (i / 80, i % 80);
        assert!(close(*value, (bin * 12 + frame) as f32 / 100.0 - 4.0), "frame {frame}, bin {bin}: {value}");
    }
    assert_eq!(Conditionals::open(&golden("conds-cuda.pt")).expect("read"), read);
}

#[test]
fn a_voice_survives_safetensors_and_every_defect_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("voice.safetensors");
    let good = Conditionals::open(&golden("conds.pt")).expect("read");
    let bytes = good.to_safetensors().expect("written");
    fs::write(&path, &bytes).expect("a file");
    assert_eq!(Conditionals::open(&path).expect("read"), good);
    assert_eq!(Conditionals::open_sealed(&path).expect("read"), good);

    let tensors = SafeTensors::deserialize(&bytes).expect("tensors");
    let tensors: Vec<_> = tensors.tensors();
    let told = |changed: Vec<(String, TensorView<'_>)>| {
        let changed = safetensors::serialize(changed, None).expect("written");
        fs::write(&path, changed).expect("a file");
        Conditionals::open(&path).expect_err("a defect").to_string()
    };
    for (name, _) in &tensors {
        let without = tensors.iter().filter(|(other, _)| other != name).cloned().collect();
        let told = told(without);
        assert!(told.contains(&format!("tensor `{name}` is missing")), "{told}");
    }
    let long = (0..300_i64).flat_map(|_| 1_i64.to_le_bytes()).collect::<Vec<u8>>();
    let odd = 7000_i64.to_le_bytes();
    let floats = vec![0xff_u8; 256 * 4];
    for (name, dtype, shape, data, expected) in [
        ("t3.speaker_emb", Dtype::F32, vec![256], &floats[..], "has shape [256] where [1, 256] is needed"),
        (
            "t3.speaker_emb",
            Dtype::F32,
            vec![1, 256],
            &floats[..],
            "`t3.speaker_emb` holds values that are not finite",
        ),
        (
            "gen.prompt_token",
            Dtype::I64,
            vec![1, 1],
            &odd[..],
            "`gen.prompt_token` holds 7000, which is no speech token",
        ),
        (
            "gen.prompt_token",
            Dtype::I64,
            vec![1, 300],
            &long[..],
            "`gen.prompt_feat` has 12 frames for 300 tokens",
        ),
        (
            "gen.prompt_feat",
            Dtype::F32,
            vec![1, 256],
            &floats[..],
            "tensor `gen.prompt_feat` has shape [1, 256]",
        ),
        (
            "t3.cond_prompt_speech_tokens",
            Dtype::F32,
            vec![1, 256],
            &floats[..],
            "holds F32, not whole numbers",
        ),
    ] {
        let view = TensorView::new(dtype, shape, data).expect("a view");
        let mut changed: Vec<_> = tensors.iter().filter(|(other, _)| other != name).cloned().collect();
        changed.push((name.to_owned(), view));
        let told = told(changed);
        assert!(told.contains(expected), "{told}, not {expected}");
    }
}

#[test]
fn memory_keeps_the_voices_used_last_within_its_bytes() {
    let size = voice(0).bytes();
    let mut memory = Memory::new(size * 3);
    for heard in 0..3 {
        memory.put(heard.to_string(), Arc::new(voice(heard)));
    }
    assert!(memory.get("0").is_some());
    memory.put("3".to_owned(), Arc::new(voice(3)));
    assert!(memory.get("1").is_none(), "used longest ago");
    assert_eq!(memory.get("0").as_deref(), Some(&voice(0)));
    let mut tiny = Memory::new(1);
    tiny.put("a".to_owned(), Arc::new(voice(1)));
    assert!(tiny.get("a").is_some(), "the latest is kept whatever its size");
}

#[test]
fn disk_keeps_the_voices_used_last_and_passes_over_damaged_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let size = voice(0).to_safetensors().expect("written").len() as u64;
    let disk = Disk::new(folder.path().join("voices"), 3 * size + 10);
    let pause = || std::thread::sleep(std::time::Duration::from_millis(20));
    for heard in 0..3 {
        disk.put(&heard.to_string(), &voice(heard)).expect("kept");
        pause();
    }
    assert_eq!(disk.get("0"), Some(voice(0)));
    pause();
    disk.put("3", &voice(3)).expect("kept");
    assert_eq!(disk.get("1"), None, "used longest ago");
    assert!(disk.get("0").is_some() && disk.get("2").is_some());
    // One bit of a value changes, and half of the file goes: neither is believed.
    let path = folder.path().join("voices/2.safetensors");
    let mut bytes = fs::read(&path).expect("a file");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, &bytes).expect("a file");
    assert_eq!(disk.get("2"), None);
    fs::write(&path, &bytes[..last / 2]).expect("a file");
    assert_eq!(disk.get("2"), None);
    disk.put("2", &voice(9)).expect("kept");
    assert_eq!(disk.get("2"), Some(voice(9)));
}

/// Listens without a network and counts how often.
struct Ear(Arc<AtomicUsize>);

impl Listen for Ear {
    fn listen(
        &self,
        samples: &[f32],
        rate: u32,
        _: Family,
        watch: &dyn Watch,
    ) -> Result<Conditionals, NnError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        for _ in 0..10 {
            if !watch.tick() {
                return Err(NnError::Stopped);
            }
        }
        Ok(voice(samples.len() / rate as usize))
    }
}

struct Studio {
    folder: tempfile::TempDir,
    heard: Arc<AtomicUsize>,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Studio {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["ve.safetensors", "s3gen.safetensors"] {
            fs::write(folder.path().join(name), name).expect("a file");
        }
        Self { folder, heard: Arc::default(), lines: Arc::default() }
    }

    fn voices(&self, family: Family) -> Voices {
        let (heard, lines) = (self.heard.clone(), self.lines.clone());
        let files = VoiceFiles {
            voice_encoder: self.folder.path().join("ve.safetensors"),
            s3gen: self.folder.path().join("s3gen.safetensors"),
            conds: Some(golden("conds.pt")),
        };
        let open =
            Box::new(
                move |_: &VoiceFiles, _: &dyn Watch| Ok(Box::new(Ear(heard.clone())) as Box<dyn Listen>),
            );
        let note = move |line: &str| lines.lock().expect("no panic").push(line.to_owned());
        Voices::new(family, files, Some(&self.folder.path().join("cache")), open).with_report(Box::new(note))
    }

    fn record(&self, name: &str, seconds: f64, level: f32) -> VoiceSource {
        let samples =
            (0..(seconds * 24_000.0) as usize).map(|i| level * (i as f32 * 0.1).sin()).collect::<Vec<_>>();
        let mut bytes = Vec::new();
        let mut encoder =
            stentor_audio::encoder(AudioFormat::Wav, SampleRate(24_000), Some(samples.len() as u64))
                .expect("an encoder");
        encoder.encode(&samples, &mut bytes).expect("encoded");
        encoder.finish(&mut bytes).expect("finished");
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).expect("a file");
        VoiceSource::Reference { path, transcript: None }
    }

    fn heard(&self) -> usize {
        self.heard.load(Ordering::Relaxed)
    }

    fn lines(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().expect("no panic"))
    }
}

#[test]
fn a_recording_is_listened_to_once_per_content_weights_and_family() {
    let studio = Studio::new();
    let emily = studio.record("Emily.wav", 6.0, 0.5);
    let voices = studio.voices(Family::English);
    let progress = Waiter::default();
    assert_eq!(*voices.load(&emily, &progress).expect("a voice"), voice(6));
    assert!(progress.progress.get() >= 10, "work is seen as progress");
    voices.load(&emily, &progress).expect("a voice");
    assert_eq!(studio.heard(), 1, "in memory");
    let again = studio.voices(Family::English);
    assert_eq!(*again.load(&emily, &progress).expect("a voice"), voice(6));
    assert_eq!(studio.heard(), 1, "on disk");
    studio.voices(Family::Turbo).load(&emily, &progress).expect("a voice");
    assert_eq!(studio.heard(), 2, "another family");
    studio.record("Emily.wav", 7.0, 0.5);
    assert_eq!(*again.load(&emily, &progress).expect("a voice"), voice(7));
    assert_eq!(studio.heard(), 3, "another recording under the same name");
    fs::write(studio.folder.path().join("s3gen.safetensors"), "other weights").expect("a file");
    studio.voices(Family::English).load(&emily, &progress).expect("a voice");
    assert_eq!(studio.heard(), 4, "other weights");
}

#[test]
fn a_recording_that_nobody_waits_for_is_not_listened_to_and_the_next_who_does_gets_all_of_it() {
    let studio = Studio::new();
    let emily = studio.record("Emily.wav", 6.0, 0.5);
    let gone = Waiter::default();
    gone.cancel.cancel();
    let voices = studio.voices(Family::English);
    assert_eq!(voices.load(&emily, &gone), Err(EngineError::Cancelled));
    assert_eq!((studio.heard(), gone.progress.get()), (0, 0));
    // Who leaves while the networks listen, leaves nothing half made behind.
    let files = VoiceFiles { voice_encoder: "ve".into(), s3gen: "s3gen".into(), conds: None };
    let (heard, leaving) = (studio.heard.clone(), Waiter::default());
    let flag = leaving.cancel.clone();
    let open = Box::new(move |_: &VoiceFiles, _: &dyn Watch| {
        flag.cancel();
        Ok(Box::new(Ear(heard.clone())) as Box<dyn Listen>)
    });
    let voices = Voices::new(Family::English, files, Some(studio.folder.path()), open);
    assert_eq!(voices.load(&emily, &leaving), Err(EngineError::Cancelled));
    assert_eq!(studio.heard(), 1);
    assert_eq!(voices.load(&emily, &Waiter::default()).as_deref(), Ok(&voice(6)));
    assert_eq!(studio.heard(), 2);
}

#[test]
fn what_is_to_be_known_of_a_recording_is_reported_once() {
    let studio = Studio::new();
    let long = studio.record("Long.wav", 40.0, 0.5);
    let voices = studio.voices(Family::English);
    assert_eq!(*voices.load(&long, &Waiter::default()).expect("a voice"), voice(30));
    let told = "voice `Long` (Long.wav): only its first 30 s are used (it lasts 40 s)";
    assert_eq!(studio.lines(), [told]);
    voices.load(&long, &Waiter::default()).expect("a voice");
    assert_eq!(studio.lines(), [""; 0]);
    // Each start says it once.
    studio.voices(Family::English).load(&long, &Waiter::default()).expect("a voice");
    assert_eq!(studio.lines(), [told]);
}

#[test]
fn a_client_is_told_which_voice_is_unfit_and_why_and_no_folder() {
    let studio = Studio::new();
    let short = studio.record("Short.wav", 0.6, 0.5);
    let five = studio.record("Five.wav", 5.0, 0.5);
    let silent = studio.record("Silent.wav", 6.0, 0.0);
    let path = studio.folder.path().join("Text.mp3");
    fs::write(&path, "no sound at all, but a text that is long enough to be looked at. ".repeat(9))
        .expect("a file");
    let text = VoiceSource::Reference { path, transcript: None };
    let path = studio.folder.path().join("style.safetensors");
    fs::write(&path, "x".repeat(99)).expect("a file");
    let style = VoiceSource::Embedding { path };
    let blend = VoiceSource::Blend { parts: vec![(five.clone(), 1.0)] };
    let preset = |name: &str| VoiceSource::Preset { name: name.to_owned() };
    for (source, family, told) in [
        (
            &short,
            Family::English,
            "voice `Short` (Short.wav): it is too short: it lasts 0.6 s, at least 1 s are needed",
        ),
        (
            &five,
            Family::Turbo,
            "voice `Five` (Five.wav): it is too short: it lasts 5.0 s, more than 5 s are needed",
        ),
        (&silent, Family::English, "voice `Silent` (Silent.wav): it is silent: only 0.0 s of the 6.0 s"),
        (&text, Family::English, "voice `Text` (Text.mp3): it is no audio file of a known kind"),
        (&style, Family::English, "voice `style` (style.safetensors): style.safetensors: "),
        (&blend, Family::English, "this model cannot blend voices"),
        (&preset("af_heart"), Family::English, "the model has no voice `af_heart`"),
    ] {
        let outcome = studio.voices(family).load(source, &Waiter::default());
        let Err(EngineError::Rejected(found)) = outcome else { panic!("{told}: {outcome:?}") };
        assert!(found.starts_with(told), "`{found}`, not `{told}`");
        assert!(!found.contains(&*studio.folder.path().to_string_lossy()), "{found}");
    }
    let english = studio.voices(Family::English);
    english.load(&five, &Waiter::default()).expect("long enough for English");
    let default = english.load(&preset("default"), &Waiter::default()).expect("conds.pt");
    assert_eq!(default.s3gen.tokens.len(), 6);
    english.verify().expect("all files are there");
}

#[test]
fn the_published_manifests_ask_for_recordings_as_long_as_the_engine_does() {
    let studio = Studio::new();
    let five = studio.record("Five.wav", 5.0, 0.5);
    for (manifest, family) in [
        (include_str!("../../../models/chatterbox.toml"), Family::English),
        (include_str!("../../../models/chatterbox-multilingual.toml"), Family::Multilingual),
        (include_str!("../../../models/chatterbox-multilingual-v2.toml"), Family::Multilingual),
        (include_str!("../../../models/chatterbox-turbo.toml"), Family::Turbo),
        (include_str!("../../../models/chatterbox-nano.toml"), Family::Turbo),
    ] {
        let takes_five = studio.voices(family).load(&five, &Waiter::default()).is_ok();
        assert_eq!(!takes_five, manifest.contains("\nrecording_over_secs = 5.0\n"), "{manifest}");
    }
}
