//! The manifests inside the program: the one place outside a model's own folder where models are named.

/// Manifests by id.
pub(crate) const MANIFESTS: [(&str, &str); 7] = [
    ("builtin", include_str!("../../../models/builtin.toml")),
    ("chatterbox", include_str!("../../../models/chatterbox.toml")),
    ("chatterbox-multilingual", include_str!("../../../models/chatterbox-multilingual.toml")),
    ("chatterbox-multilingual-v2", include_str!("../../../models/chatterbox-multilingual-v2.toml")),
    ("chatterbox-nano", include_str!("../../../models/chatterbox-nano.toml")),
    ("chatterbox-turbo", include_str!("../../../models/chatterbox-turbo.toml")),
    ("kokoro", include_str!("../../../models/kokoro.toml")),
];
