//! The built-in model keeps the engine contract.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use stentor_types::{DeviceSpec, LoadSpec, ModelId, Precision};

fn builtin() -> Box<dyn stentor_engine::Engine> {
    let spec = LoadSpec {
        model: ModelId::from("builtin"),
        engine: "kokoro".to_owned(),
        files: std::collections::BTreeMap::new(),
        device: DeviceSpec::Cpu,
        precision: Precision::F32,
        threads: 1,
        cache_dir: None,
    };
    stentor_engine_kokoro::load(&spec).unwrap()
}

stentor_engine::conformance!(builtin);
