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
const EAGERNESS: f32 = 8.0;

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

/// Makes the weights of the stop token's logit larger, in T3's file.
fn make_it_end(t3: &Path) {
    let bytes = fs::read(t3).expect("a file");
    let (header, metadata) = SafeTensors::read_metadata(&bytes).expect("safetensors");
    let tensor = metadata.info("speech_head.weight").expect("the head");
    let row = tensor.shape[1] * size_of::<f32>();
    let at = size_of::<u64>() + header + tensor.data_offsets.0 + STOP * row;
    let weights = bytes[at..at + row].as_chunks().0.iter();
    let row: Vec<u8> =
        weights.flat_map(|weight| (EAGERNESS * f32::from_le_bytes(*weight)).to_le_bytes()).collect();
    let file = fs::File::options().write(true).open(t3).expect("a writable file");
    file.write_all_at(&row, at as u64).expect("a writable file");
}

fn once(cell: &OnceLock<Model>, variant: Variant, name: &str) -> Box<dyn Engine> {
    let load = || Model::load(&written(variant, name)).expect("a model that loads");
    cell.get_or_init(load).engine()
}

pub(crate) fn english() -> Box<dyn Engine> {
    static MODEL: OnceLock<Model> = OnceLock::new();
    once(&MODEL, Variant::English, "engine-english")
}

pub(crate) fn nano() -> Box<dyn Engine> {
    static MODEL: OnceLock<Model> = OnceLock::new();
    once(&MODEL, Variant::Nano, "engine-nano")
}
