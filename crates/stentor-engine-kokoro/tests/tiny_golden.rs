//! Files that `torch.save` wrote, of a tiny model and its voices, read by the loader and spoken: what
//! `reference/README.md` calls `tiny`. Small enough to be the first golden that looks at a change.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and shows its figures"
)]

#[expect(dead_code, reason = "other tests use the other goldens")]
mod golden_checks;

use candle_core::Device;
use golden_checks::{
    On, golden, golden_path, ids,
    tiny::{self, PHONEMES, config},
};
use std::collections::BTreeMap;
use stentor_engine::{CancelFlag, ChunkRequest, StepCounter, WholeChunk};
use stentor_engine_kokoro::{Voice, load_engine, model::Excitation};
use stentor_g2p::Phonemes;
use stentor_nn::Weights;
use stentor_testkit::{hash_weights, pth};
use stentor_types::{
    ChunkId, DeviceSpec, Language, LoadSpec, ModelId, Params, Precision, Speed, SpokenText, VoiceSource,
};

fn weights(path: &std::path::Path) -> Weights {
    Weights::open(path, &Device::Cpu).unwrap()
}

#[test]
fn a_checkpoint_of_torch_save_speaks_as_the_reference_does() {
    tiny::check(&On::cpu());
}

#[test]
fn voices_of_torch_save_keep_their_rows_and_their_offset() {
    let config = config();
    let (voice, shifted) = (
        Voice::open(&golden_path("tiny-voice.pt"), &config),
        Voice::open(&golden_path("tiny-legacy-voice.pt"), &config),
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
            ("config".to_owned(), golden_path("tiny-config.json")),
            ("weights".to_owned(), golden_path("tiny.pth")),
        ]),
        device: DeviceSpec::Cpu,
        precision: Precision::F32,
        threads: 1,
        cache_dir: None,
    };
    let mut engine = load_engine(&spec).unwrap();
    let voice = engine.load_voice(&VoiceSource::Embedding { path: golden_path("tiny-voice.pt") }).unwrap();
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

    let expected = golden("tiny.safetensors");
    let row = hash_weights::voice_row(PHONEMES.chars().count() + 3 - 1, config().voice_dim());
    let (_, audio) = tiny::speak(&On::cpu(), &ids(&expected), &row, |_| Excitation::Seeded(5));
    assert_eq!(output.samples, audio);
}

#[test]
fn the_test_writer_of_checkpoints_writes_what_torch_writes() {
    let torch = weights(&golden_path("tiny.pth"));
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
        Voice::open(&golden_path("tiny-voice.pt"), &config()).unwrap()
    );
}
