//! What a worker is handed in order to load a model: paths and a device, never a manifest.

use crate::ModelId;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, path::PathBuf, str::FromStr};

/// Where a model runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceSpec {
    /// The first CUDA device that works, else the CPU. The worker decides.
    #[default]
    Auto,
    Cpu,
    Cuda(usize),
}

/// The number format of a model's weights, and on a CUDA device of its activations. The CPU always computes in single precision;
/// there it is how an engine whose speed is the reading of its weights stores them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    #[default]
    F32,
    F16,
    /// On a CUDA device the same as `F16`.
    Int8,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a device: use `auto`, `cpu` or `cuda:N`")]
pub struct ParseDeviceError(String);

impl FromStr for DeviceSpec {
    type Err = ParseDeviceError;
    fn from_str(text: &str) -> Result<Self, ParseDeviceError> {
        let bad = || ParseDeviceError(text.to_owned());
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text.strip_prefix("cuda:").and_then(|n| n.parse().ok()).map(Self::Cuda).ok_or_else(bad),
        }
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

/// Everything a worker needs to load one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadSpec {
    pub model: ModelId,
    /// The engine's name in the worker's registry, e.g. `kokoro`.
    pub engine: String,
    /// Files by their role in the engine (`config`, `weights`, ...). Empty for an embedded model.
    pub files: BTreeMap<String, PathBuf>,
    pub device: DeviceSpec,
    pub precision: Precision,
    /// Compute threads; zero means one per core.
    pub threads: usize,
    /// Where an engine may keep compiled tables and caches.
    pub cache_dir: Option<PathBuf>,
}
