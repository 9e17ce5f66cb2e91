//! The model's `config.json`, as published beside the weights.
//!
//! The published file leaves some widths to the code; for those there are keys of our own, with Kokoro's numbers where a key
//! is absent. Unknown keys are ignored.

use serde::Deserialize;
use std::collections::HashMap;
use stentor_types::{Language, SampleRate};

/// All sizes of a model of the family, and its phoneme table.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Config {
    pub hidden_dim: usize,
    /// Width of one half of a voice row: the first half styles the decoder, the second the prosody.
    pub style_dim: usize,
    pub n_layer: usize,
    pub n_token: usize,
    /// Longest duration of a phoneme, in frames at speed 1.
    pub max_dur: usize,
    pub text_encoder_kernel_size: usize,
    #[serde(default = "default::decoder_dim")]
    pub decoder_dim: usize,
    #[serde(default = "default::asr_res_dim")]
    pub asr_res_dim: usize,
    #[serde(default = "default::sample_rate")]
    pub sample_rate: u32,
    /// Factor on every output sample, for models that speak too softly.
    #[serde(default = "default::output_gain")]
    pub output_gain: f32,
    /// Languages that the model was trained for; absent means whatever has phonemes.
    #[serde(default)]
    pub languages: Option<Vec<Language>>,
    pub plbert: Albert,
    pub istftnet: Istftnet,
    /// Phoneme characters and their ids. Keys of more than one character never occur in phonemes.
    pub vocab: HashMap<String, u32>,
}

/// Sizes of the phoneme language model.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Albert {
    pub hidden_size: usize,
    #[serde(default = "default::embedding_size")]
    pub embedding_size: usize,
    pub num_attention_heads: usize,
    pub intermediate_size: usize,
    pub max_position_embeddings: usize,
    pub num_hidden_layers: usize,
}

/// Sizes of the waveform generator.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Istftnet {
    pub upsample_rates: Vec<usize>,
    pub upsample_kernel_sizes: Vec<usize>,
    pub upsample_initial_channel: usize,
    pub gen_istft_n_fft: usize,
    pub gen_istft_hop_size: usize,
    pub resblock_kernel_sizes: Vec<usize>,
    pub resblock_dilation_sizes: Vec<Vec<usize>>,
}

mod default {
    pub(super) fn decoder_dim() -> usize {
        1024
    }
    pub(super) fn asr_res_dim() -> usize {
        64
    }
    pub(super) fn sample_rate() -> u32 {
        24_000
    }
    pub(super) fn output_gain() -> f32 {
        1.0
    }
    pub(super) fn embedding_size() -> usize {
        128
    }
}

impl Config {
    /// Reads and checks a `config.json`; the error is a message for the operator.
    pub fn parse(json: &str) -> Result<Self, String> {
        let config: Self = serde_json::from_str(json).map_err(|error| error.to_string())?;
        config.check()?;
        Ok(config)
    }

    /// Samples that one unit of a predicted duration lasts.
    pub fn samples_per_frame(&self) -> usize {
        2 * self.samples_per_pitch_frame()
    }

    /// Samples between two values of the pitch curve, which has two for each frame.
    pub fn samples_per_pitch_frame(&self) -> usize {
        self.istftnet.upsample_rates.iter().product::<usize>() * self.istftnet.gen_istft_hop_size
    }

    pub fn sample_rate(&self) -> SampleRate {
        SampleRate(self.sample_rate)
    }

    /// Width of a voice row.
    pub fn voice_dim(&self) -> usize {
        2 * self.style_dim
    }

    /// Phonemes that fit beside the boundary marks.
    pub fn max_phonemes(&self) -> usize {
        self.plbert.max_position_embeddings - 2
    }

    fn check(&self) -> Result<(), String> {
        let istftnet = &self.istftnet;
        let stages = istftnet.upsample_rates.len();
        let pairs = || istftnet.upsample_rates.iter().zip(&istftnet.upsample_kernel_sizes);
        let rules = [
            (
                [self.hidden_dim, self.style_dim, self.n_layer, self.n_token, self.max_dur, self.decoder_dim]
                    .iter()
                    .all(|&n| n > 0)
                    && self.sample_rate > 0
                    && self.asr_res_dim > 0,
                "sizes must be positive",
            ),
            (self.hidden_dim.is_multiple_of(2), "hidden_dim must be even"),
            (self.text_encoder_kernel_size % 2 == 1, "text_encoder_kernel_size must be odd"),
            (self.output_gain.is_finite() && self.output_gain > 0.0, "output_gain must be positive"),
            (
                self.plbert.num_attention_heads > 0
                    && self.plbert.hidden_size.is_multiple_of(self.plbert.num_attention_heads),
                "plbert.hidden_size must be a multiple of num_attention_heads",
            ),
            (self.plbert.max_position_embeddings > 2, "plbert.max_position_embeddings must exceed 2"),
            (
                stages > 0 && stages == istftnet.upsample_kernel_sizes.len(),
                "upsample rates and kernels must pair up",
            ),
            (
                pairs()
                    .all(|(&rate, &kernel)| rate > 1 && kernel >= rate && (kernel - rate).is_multiple_of(2)),
                "upsample rates must exceed 1, and kernels their rates by an even number",
            ),
            (
                istftnet.upsample_initial_channel > 0
                    && istftnet.upsample_initial_channel.is_multiple_of(1 << stages.min(32)),
                "upsample_initial_channel must halve with each stage",
            ),
            (
                istftnet.gen_istft_hop_size > 0
                    && istftnet.gen_istft_n_fft.is_multiple_of(2)
                    && istftnet.gen_istft_n_fft >= 2 * istftnet.gen_istft_hop_size,
                "gen_istft_n_fft must be even and at least twice gen_istft_hop_size",
            ),
            (
                !istftnet.resblock_kernel_sizes.is_empty()
                    && istftnet.resblock_kernel_sizes.len() == istftnet.resblock_dilation_sizes.len()
                    && istftnet.resblock_kernel_sizes.iter().all(|kernel| kernel % 2 == 1),
                "resblock kernels must be odd and pair up with dilations",
            ),
            (self.vocab.values().all(|&id| (id as usize) < self.n_token), "a vocab id is not below n_token"),
        ];
        rules.iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, message)| Err((*message).to_owned()))
    }
}
