//! T3: text and a voice to speech tokens, one at a time.

mod cache;
mod cond;
mod gpt2;
mod llama;

use crate::voice::T3Prompt;
use candle_core::Device;
use stentor_nn::{NnError, Result, Watch, Weights};
use stentor_types::Precision;

/// Which of the family a checkpoint is, as far as T3 tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// 704 text tokens, Llama.
    English,
    /// 2454 text tokens, Llama.
    Multilingual,
    /// GPT-2: Turbo, or with 12 layers Nano.
    Turbo,
}

/// The language model.
pub struct T3 {
    family: Family,
}

/// The constant beginning of every sequence of a voice: its keys and values, computed once.
pub struct Prefix {}

/// One text that is being spoken: one row, or two with classifier-free guidance.
pub struct Sequence {}

impl T3 {
    /// Reads a checkpoint of any variant; sizes and family follow from the tensors' shapes.
    pub fn load(_weights: &Weights, _device: &Device, _precision: Precision) -> Result<Self> {
        Err(NnError::Stopped)
    }

    pub fn family(&self) -> Family {
        self.family
    }

    /// Blocks of the transformer.
    pub fn layers(&self) -> usize {
        0
    }

    /// Bytes of the weights on the device.
    pub fn weight_bytes(&self) -> u64 {
        0
    }

    /// Bytes of keys and values that one row of `positions` needs.
    pub fn cache_bytes(&self, _positions: usize) -> u64 {
        0
    }

    /// Embeds and runs the conditioning tokens of a voice. Turbo and Nano take no notice of `exaggeration`.
    pub fn prefix(&self, _voice: &T3Prompt, _exaggeration: f32, _watch: &dyn Watch) -> Result<Prefix> {
        Err(NnError::Stopped)
    }

    /// Runs the text after `prefix`, and the beginning of speech; the sequence then has the logits of its first token.
    /// `text` is what the tokenizer gave, with its start and stop tokens where the family has them. With `guided` there is
    /// a second row that does not see the text. Room is made for `max_new` tokens.
    pub fn start(
        &self,
        _prefix: &Prefix,
        _text: &[u32],
        (_guided, _max_new): (bool, usize),
        _watch: &dyn Watch,
    ) -> Result<Sequence> {
        Err(NnError::Stopped)
    }

    /// Appends one token to each sequence, all in one pass; each then has the logits of its next token. What a sequence gets does
    /// not depend on its neighbours.
    pub fn decode(&self, _rows: &mut [(&mut Sequence, u32)], _watch: &dyn Watch) -> Result<()> {
        Err(NnError::Stopped)
    }
}

impl Sequence {
    /// Raw logits of the row that sees the text.
    pub fn logits(&self) -> &[f32] {
        &[]
    }

    /// Raw logits of the row that does not, if there is one.
    pub fn unguided_logits(&self) -> Option<&[f32]> {
        None
    }

    /// How much the latest position looked at each text token: mean over the heads that align, one value a token of `text`.
    pub fn attention(&self) -> &[f32] {
        &[]
    }
}
