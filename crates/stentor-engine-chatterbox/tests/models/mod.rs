//! Full-width, reduced-depth models with hash weights, written and loaded once for each test program.

use std::{path::Path, sync::OnceLock};
use stentor_engine::Engine;
use stentor_engine_chatterbox::Model;
use stentor_testkit::{
    chatterbox::Depth,
    chatterbox_model::{Variant, write_model},
};
use stentor_types::{DeviceSpec, LoadSpec, ModelId, Precision};

/// Speech tokens that the voice continues: a second, so that a test takes little time.
const PROMPT: usize = 25;

/// A spec of a model that is written into the build's own temporary folder.
pub(crate) fn written(variant: Variant, name: &str) -> LoadSpec {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    LoadSpec {
        model: ModelId::from("m"),
        engine: "chatterbox".to_owned(),
        files: write_model(&folder, variant, Depth::Reduced, PROMPT).expect("a writable folder"),
        device: DeviceSpec::Cpu,
        precision: Precision::F32,
        threads: 1,
        cache_dir: None,
    }
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
