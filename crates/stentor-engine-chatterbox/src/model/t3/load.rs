//! Reads a checkpoint of any variant. Sizes and family follow from the tensors' shapes.

use super::{Family, Positions, T3, cond::Conditioning, gpt2, llama, table::Table, table::dims};
use crate::model::STOP_SPEECH;
use candle_core::Device;
use std::sync::atomic::AtomicBool;
use stentor_nn::{Decoder, HEAD, Linear, NnError, Result, Scope, Weights, cpu::has_kernels};
use stentor_types::Precision;

const MULTILINGUAL_TEXT_TOKENS: usize = 2454;
/// Conditioning tokens beside what the perceiver makes: the speaker and the exaggeration.
const CONDITIONING: usize = 2;
/// The beginning of speech is there twice.
const STARTS: usize = 2;
/// The longest prompt where no perceiver shortens it.
const PROMPT: usize = 375;

/// Tensors that generation does not use: heads and embeddings for text that the transformers' classes bring along.
fn is_of_no_use(name: &str) -> bool {
    const NAMES: [&str; 5] = [
        "text_head.weight",
        "text_head.bias",
        "tfmr.wte.weight",
        "tfmr.embed_tokens.weight",
        "tfmr.rotary_emb.inv_freq",
    ];
    const ENDS: [&str; 2] = [".attn.bias", ".attn.masked_bias"];
    NAMES.iter().any(|known| name.strip_prefix("model.").unwrap_or(name) == *known)
        || ENDS.iter().any(|end| name.ends_with(end))
}

impl T3 {
    /// Reads a checkpoint of any variant; sizes and family follow from the tensors' shapes. In [`Precision::F16`] the products of
    /// the blocks, keys and values are f16; the conditioning, norms, softmax and the logits are f32. A missing, misshapen or
    /// unknown tensor is an error that names it.
    pub fn load(weights: &Weights, device: &Device, precision: Precision) -> Result<Self> {
        let root = weights.root();
        // Some files keep the model in a dictionary of its own.
        let scope = if root.shape("model.text_emb.weight").is_some() { root.at("model") } else { root };
        let t3 = Self::read(&scope.with_products(precision), device)?;
        weights.expect_all_used(is_of_no_use)?;
        Ok(t3)
    }

    fn read(scope: &Scope<'_>, device: &Device) -> Result<Self> {
        let [text_tokens, width] = dims(scope, "text_emb.weight");
        let is_llama = scope.shape("tfmr.norm.weight").is_some();
        let text = Table::load(scope, "text_emb.weight", width)?;
        let speech = Table::load(scope, "speech_emb.weight", width)?;
        if width == 0 || width % HEAD != 0 || speech.rows() <= STOP_SPEECH as usize {
            let message = format!("T3 of {} speech tokens, {width} wide", speech.rows());
            return Err(NnError::Format { origin: "checkpoint".to_owned(), message });
        }
        let exact = scope.with_products(Precision::F32);
        let conditioning = Conditioning::load(&exact.at("cond_enc"), width, is_llama)?;
        let tfmr = scope.at("tfmr");
        // Our kernels only store halves, which does not matter to the logits; elsewhere they would be multiplied.
        let head = if has_kernels(device) && scope.products() != Precision::F32 {
            Precision::F16
        } else {
            Precision::F32
        };
        let head = scope.with_products(head).at("speech_head");
        let (positions, backbone, head) = if is_llama {
            let own = |name| Table::load(scope, name, width);
            let (text, speech_positions) =
                (own("text_pos_emb.emb.weight")?, own("speech_pos_emb.emb.weight")?);
            let longest = conditioning.perceived().unwrap_or(PROMPT)
                + CONDITIONING
                + text.rows()
                + STARTS
                + speech_positions.rows();
            let backbone = llama::load(&tfmr, width, longest)?;
            let head = Linear::load_without_bias(&head, width, speech.rows())?;
            (Positions::Own { text, speech: speech_positions }, backbone, head)
        } else {
            let head = Linear::load(&head, width, speech.rows())?;
            let all = Table::load(scope, "tfmr.wpe.weight", width)?;
            (Positions::All(all), gpt2::load(&tfmr, width)?, head)
        };
        if backbone.blocks.is_empty() {
            let message = "T3 without a layer".to_owned();
            return Err(NnError::Format { origin: "checkpoint".to_owned(), message });
        }
        let family = match (is_llama, text_tokens) {
            (false, _) => Family::Turbo,
            (true, MULTILINGUAL_TEXT_TOKENS) => Family::Multilingual,
            (true, _) => Family::English,
        };
        let decoder = Decoder::new(&backbone.blueprint(&head), device)?;
        let device = device.clone();
        Ok(Self {
            family,
            device,
            width,
            conditioning,
            backbone,
            head,
            text,
            speech,
            positions,
            decoder,
            remarked: AtomicBool::new(false),
        })
    }
}
