//! The manifests inside the program: the one place outside a model's own folder where models are named.

/// Manifests by id.
pub(crate) const MANIFESTS: [(&str, &str); 2] = [
    ("builtin", include_str!("../../../models/builtin.toml")),
    ("kokoro", include_str!("../../../models/kokoro.toml")),
];
