//! Who asks, and how soon the answer is needed: what a fair queue goes by.

use serde::{Deserialize, Serialize};

/// Somebody is waiting for the sound, or nobody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// A greeting, a chat turn: goes first.
    #[default]
    Interactive,
    /// A chapter, a backlog: takes what is left, and always gets some.
    Batch,
}

impl Lane {
    pub fn name(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Batch => "batch",
        }
    }
}

/// One client as far as fairness goes: a hash of its API key or of its address. Not reversible, never logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ClientId(pub u64);
