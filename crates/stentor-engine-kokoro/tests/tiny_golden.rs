//! Files that `torch.save` wrote, of a tiny model and its voices, read by the loader and spoken: what
//! `reference/README.md` calls `tiny`. Small enough to be the first golden that looks at a change.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use candle_core::{DType, Device, Tensor};
use std::{collections::BTreeMap, fs, path::PathBuf};
use stentor_engine::{CancelFlag, ChunkRequest, StepCounter, WholeChunk};
use stentor_engine_kokoro::{
    Config, Voice, load_engine,
    model::{Excitation, Kokoro, Style},
};
use stentor_g2p::Phonemes;
use stentor_nn::{Unwatched, Weights};
use stentor_testkit::{hash_weights, pth};
use stentor_types::{
    ChunkId, DeviceSpec, Language, LoadSpec, ModelId, Params, Precision, Speed, SpokenText, VoiceSource,
};

const HARMONICS: usize = 9;
const PHONEMES: &str = "hˈɛlO, wˈɜɹld!";

fn golden(file: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/golden", file].iter().collect()
}

fn config() -> Config {
    Config::parse(&fs::read_to_string(golden("tiny-config.json")).unwrap()).unwrap()
}

fn weights(path: &std::path::Path) -> Weights {
    Weights::open(path, &Device::Cpu).unwrap()
}

fn integers(tensor: &Tensor) -> Vec<u32> {
    tensor.to_dtype(DType::U32).unwrap().to_vec1().unwrap()
}

/// Durations and samples of the tiny model.
fn speak(
    ids: &[u32],
    row: &[f32],
    excitation: impl Fn(usize) -> Excitation<'static>,
) -> (Vec<usize>, Vec<f32>) {
    let config = config();
    let model = Kokoro::load(&weights(&golden("tiny.pth")), &config, &Device::Cpu).unwrap();
    let style = Style::new(row, &Device::Cpu).unwrap();
    let plan = model.plan(ids, &style, 1.0, &Unwatched).unwrap();
    let samples = plan.durations.iter().sum::<usize>() * config.samples_per_frame();
    let curves = model.curves(&plan, &Unwatched).unwrap();
    let audio = model.render(&plan, &curves, excitation(samples), &Unwatched).unwrap();
    (plan.durations, audio)
}

#[test]
fn a_checkpoint_of_torch_save_speaks_as_the_reference_does() {
    let expected = candle_core::safetensors::load(golden("tiny.safetensors"), &Device::Cpu).unwrap();
    let ids = integers(&expected["ids"]);
    let voice = Voice::open(&golden("tiny-voice.pt"), &config()).unwrap();
    let noise = |samples| Excitation::Noise(hash_weights::noise(samples * HARMONICS).leak());
    let (durations, audio) = speak(&ids, voice.row(PHONEMES.chars().count()), noise);
    let durations: Vec<u32> = durations.into_iter().map(|frames| frames as u32).collect();
    assert_eq!(durations, integers(&expected["durations"]), "durations of tiny");
    let expected = expected["audio"].to_vec1::<f32>().unwrap();
    assert_eq!(audio.len(), expected.len());
    let error = audio.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("audio {error:.2e}");
    assert!(error < 1e-3, "audio of tiny is off by {error}");
}

#[test]
fn voices_of_torch_save_keep_their_rows_and_their_offset() {
    let config = config();
    let (voice, shifted) = (
        Voice::open(&golden("tiny-voice.pt"), &config),
        Voice::open(&golden("tiny-legacy-voice.pt"), &config),
    );
    let (voice, shifted) = (voice.unwrap(), shifted.unwrap());
    for phonemes in [1, 2, 14, 509, 510] {
        assert_eq!(voice.row(phonemes), hash_weights::voice_row(phonemes - 1, config.voice_dim()));
        // A view of a longer storage, from its second row.
        assert_eq!(shifted.row(phonemes), hash_weights::voice_row(phonemes, config.voice_dim()));
    }
}

#[test]
fn the_voice_row_counts_phonemes_that_the_model_does_not_know() {
    let spec = LoadSpec {
        model: ModelId::from("tiny"),
        engine: "kokoro".to_owned(),
        files: BTreeMap::from([
            ("config".to_owned(), golden("tiny-config.json")),
            ("weights".to_owned(), golden("tiny.pth")),
        ]),
        device: DeviceSpec::Cpu,
        precision: Precision::F32,
        threads: 1,
        cache_dir: None,
    };
    let mut engine = load_engine(&spec).unwrap();
    let voice = engine.load_voice(&VoiceSource::Embedding { path: golden("tiny-voice.pt") }).unwrap();
    let request = ChunkRequest {
        id: ChunkId(1),
        text: SpokenText { text: "Hello, world!".to_owned(), spans: Vec::new() },
        language: Language::en_us(),
        voice,
        speed: Speed::NORMAL,
        seed: 5,
        params: Params::new(),
        cancel: CancelFlag::default(),
        progress: StepCounter::default(),
    };
    let phonemes = Phonemes { text: format!("{PHONEMES}###"), ..Phonemes::default() };
    let output = engine.speak(&phonemes, &request).unwrap();

    let expected = candle_core::safetensors::load(golden("tiny.safetensors"), &Device::Cpu).unwrap();
    let row = hash_weights::voice_row(PHONEMES.chars().count() + 3 - 1, config().voice_dim());
    let (_, audio) = speak(&integers(&expected["ids"]), &row, |_| Excitation::Seeded(5));
    assert_eq!(output.samples, audio);
}

#[test]
fn the_test_writer_of_checkpoints_writes_what_torch_writes() {
    let torch = weights(&golden("tiny.pth"));
    let shapes: Vec<(&str, Vec<usize>)> =
        torch.names().map(|name| (name, torch.root().shape(name).unwrap())).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("written.pth");
    pth::write_checkpoint(&path, &shapes, hash_weights::tensor).unwrap();
    let written = weights(&path);
    assert!(shapes.len() > 300 && written.names().eq(torch.names()));
    for (name, shape) in &shapes {
        let values = torch.root().values(name, shape).unwrap();
        assert_eq!(values, hash_weights::tensor(name, shape), "{name} as torch saved it");
        assert_eq!(values, written.root().values(name, shape).unwrap(), "{name} as written here");
    }

    let voice = folder.path().join("voice.pt");
    pth::write_voice(&voice, 510, config().voice_dim()).unwrap();
    assert_eq!(
        Voice::open(&voice, &config()).unwrap(),
        Voice::open(&golden("tiny-voice.pt"), &config()).unwrap()
    );
}
