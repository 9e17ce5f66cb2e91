//! Logits to a token, in each family's own order of processors.

use crate::model::t3::Family;

/// How tokens are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    pub temperature: f32,
    pub top_p: f32,
    /// English and multilingual only.
    pub min_p: f32,
    /// Turbo and Nano only.
    pub top_k: usize,
    pub repetition_penalty: f32,
    /// English and multilingual only; zero means that there is no second row.
    pub cfg_weight: f32,
    /// The largest logit wins; nothing is random.
    pub greedy: bool,
}

impl Sampling {
    /// What the reference uses.
    pub fn of(family: Family) -> Self {
        let turbo = family == Family::Turbo;
        Self {
            temperature: 0.8,
            top_p: if turbo { 0.95 } else { 1.0 },
            min_p: if turbo { 0.0 } else { 0.05 },
            top_k: if turbo { 1000 } else { 0 },
            repetition_penalty: if family == Family::Multilingual { 2.0 } else { 1.2 },
            cfg_weight: if turbo { 0.0 } else { 0.5 },
            greedy: false,
        }
    }
}
