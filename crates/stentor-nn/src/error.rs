//! What can go wrong while weights load or a layer runs.

use std::path::PathBuf;

/// An error of weight loading or of a forward pass.
#[derive(Debug, thiserror::Error)]
pub enum NnError {
    #[error("cannot read {}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    /// The file is damaged or of another kind than its name says.
    #[error("{origin}: {message}")]
    Format { origin: String, message: String },
    #[error("{origin}: tensor `{name}` is missing")]
    Missing { origin: String, name: String },
    #[error("{origin}: tensor `{name}` has shape {found:?} where {expected:?} is needed")]
    Shape { origin: String, name: String, expected: Vec<usize>, found: Vec<usize> },
    #[error("{origin}: tensors that no layer uses: {}", names.join(", "))]
    Unused { origin: String, names: Vec<String> },
    /// The caller's [`Watch`](crate::Watch) asked to stop.
    #[error("stopped")]
    Stopped,
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}
