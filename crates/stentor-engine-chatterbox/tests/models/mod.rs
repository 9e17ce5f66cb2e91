//! Full-width, reduced-depth models with hash weights, written and loaded once for each test program.
//!
//! They draw the stop token now and then: hash weights never would, and every chunk would be as long as its guard allows.

use safetensors::SafeTensors;
use std::{fs, os::unix::fs::FileExt as _, path::Path, sync::OnceLock};
use stentor_engine::Engine;
use stentor_engine_chatterbox::Model;
use stentor_testkit::{
    chatterbox::Depth,
    chatterbox_model::{Variant, write_model},
};
use stentor_types::{DeviceSpec, LoadSpec, ModelId, Precision};

/// Speech tokens that the voice continues: a second, so that a test takes little time.
const PROMPT: usize = 25;
/// T3's token for the end.
const STOP: usize = 6562;
/// Logits of this spread, where those of the other tokens have one, are now and then the greatest of all.
const EAGERNESS: f32 = 2.0;
/// What the models with biases have as the stop token's.
const BIAS: f32 = 5.0;

/// A spec of a model that is written into the build's own temporary folder.
pub(crate) fn written(variant: Variant, name: &str) -> LoadSpec {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).expect("a folder");
    let files = write_model(&folder, variant, Depth::Reduced, PROMPT).expect("a writable folder");
    make_it_end(&files["t3"]);
    LoadSpec {
        model: ModelId::from("m"),
        engine: "chatterbox".to_owned(),
        files,
        device: DeviceSpec::Cpu,
        precision: Precision::F32,
        threads: 1,
        cache_dir: None,
    }
}

/// Makes the stop token likelier, in T3's file.
fn make_it_end(t3: &Path) {
    let bytes = fs::read(t3).expect("a file");
    let (header, metadata) = SafeTensors::read_metadata(&bytes).expect("safetensors");
    let file = fs::File::options().write(true).open(t3).expect("a writable file");
    let change = |name: &str, to: &dyn Fn(f32) -> f32| {
        let Some(tensor) = metadata.info(name) else { return false };
        let row = tensor.shape[1..].iter().product::<usize>() * size_of::<f32>();
        let at = size_of::<u64>() + header + tensor.data_offsets.0 + STOP * row;
        let values = bytes[at..at + row].as_chunks().0.iter();
        let changed: Vec<u8> =
            values.flat_map(|value| to(f32::from_le_bytes(*value)).to_le_bytes()).collect();
        file.write_all_at(&changed, at as u64).expect("a writable file");
        true
    };
    let done =
        change("speech_head.bias", &|_| BIAS) || change("speech_head.weight", &|weight| EAGERNESS * weight);
    assert!(done, "the head");
}

fn once(cell: &OnceLock<Model>, variant: Variant, name: &str) -> Box<dyn Engine> {
    let load = || Model::load(&written(variant, name)).expect("a model that loads");
    cell.get_or_init(load).engine()
}

pub(crate) fn english() -> Box<dyn Engine> {
    static MODEL: OnceLock<Model> = OnceLock::new();
    once(&MODEL, Variant::English, "engine-english")
}

pub(crate) fn multilingual() -> Box<dyn Engine> {
    static MODEL: OnceLock<Model> = OnceLock::new();
    once(&MODEL, Variant::Multilingual, "engine-multilingual")
}

pub(crate) fn turbo() -> Box<dyn Engine> {
    static MODEL: OnceLock<Model> = OnceLock::new();
    once(&MODEL, Variant::Turbo, "engine-turbo")
}

pub(crate) fn nano() -> Box<dyn Engine> {
    static MODEL: OnceLock<Model> = OnceLock::new();
    once(&MODEL, Variant::Nano, "engine-nano")
}
