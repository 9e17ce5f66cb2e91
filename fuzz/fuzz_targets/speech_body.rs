//! The JSON body of a speech request.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use stentor_types::{ParamKind, ParamSpec};

/// One parameter of each kind.
static SPECS: LazyLock<Vec<ParamSpec>> = LazyLock::new(|| {
    let kinds = [
        ("cfg_weight", ParamKind::Number { min: 0.0, max: 1.0, default: 0.5 }),
        ("cfm_steps", ParamKind::Integer { min: 1, max: 50, default: 10 }),
        ("trim", ParamKind::Bool { default: true }),
    ];
    kinds.map(|(name, kind)| ParamSpec { name: name.to_owned(), kind, later: None, description: String::new() }).into()
});

fuzz_target!(|data: &[u8]| {
    stentor_server::fuzzing::speech_body(data, &SPECS);
});
