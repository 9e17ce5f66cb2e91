//! The conditioning tokens before the text: the speaker, the prompt's speech, how exaggerated to speak.

use super::table::{dims, refuse};
use candle_core::Tensor;
use stentor_nn::{LayerNorm, Linear, NnError, Result, Scope, Watch, cross_attention};

const EPS: f32 = 1e-5;
const PERCEIVER_HEADS: usize = 4;

/// Makes the tokens of a voice.
pub(super) struct Conditioning {
    speaker: Linear,
    speaker_size: usize,
    perceiver: Option<Perceiver>,
    /// One token that is scaled by the exaggeration.
    exaggeration: Option<Tensor>,
}

/// Sums up a prompt of any length in a fixed number of tokens.
struct Perceiver {
    queries: Tensor,
    /// Of both sides of the attention, in both passes.
    norm: LayerNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
}

impl Conditioning {
    pub(super) fn load(scope: &Scope<'_>, width: usize) -> Result<Self> {
        let [_, speaker_size] = dims(scope, "spkr_enc.weight");
        let exaggeration = scope
            .shape("emotion_adv_fc.weight")
            .map(|_| {
                Ok::<_, NnError>(scope.tensor("emotion_adv_fc.weight", &[width, 1])?.reshape((1, width))?)
            })
            .transpose()?;
        let perceiver = scope.at("perceiver");
        let has_perceiver = perceiver.shape("pre_attention_query").is_some();
        Ok(Self {
            speaker: Linear::load(&scope.at("spkr_enc"), speaker_size, width)?,
            speaker_size,
            perceiver: has_perceiver.then(|| Perceiver::load(&perceiver, width)).transpose()?,
            exaggeration,
        })
    }

    /// Tokens that the perceiver makes of a prompt, if there is one.
    pub(super) fn perceived(&self) -> Option<usize> {
        self.perceiver.as_ref().and_then(|perceiver| perceiver.queries.dim(0).ok())
    }

    pub(super) fn bytes(&self) -> u64 {
        let perceiver = self.perceiver.iter().flat_map(|p| [&p.q, &p.k, &p.v, &p.out]);
        self.speaker.bytes() + perceiver.map(Linear::bytes).sum::<u64>()
    }

    /// `(tokens, width)` of a speaker's embedding and the embedded prompt, `(time, width)`, if there is one.
    pub(super) fn forward(
        &self,
        speaker: &[f32],
        prompt: Option<&Tensor>,
        exaggeration: f32,
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        if speaker.len() != self.speaker_size || speaker.iter().any(|value| !value.is_finite()) {
            let (len, size) = (speaker.len(), self.speaker_size);
            return Err(refuse(format!(
                "a speaker's embedding of {len} values where {size} numbers are due"
            )));
        }
        if !exaggeration.is_finite() {
            return Err(refuse("the exaggeration is not a number".to_owned()));
        }
        let speaker = Tensor::from_slice(speaker, (1, speaker.len()), self.speaker.device())?;
        let mut parts = vec![self.speaker.forward(&speaker, watch)?];
        match (prompt, &self.perceiver) {
            (Some(prompt), Some(perceiver)) => parts.push(perceiver.forward(prompt, watch)?),
            (Some(prompt), None) => parts.push(prompt.clone()),
            (None, _) => {}
        }
        if let Some(token) = &self.exaggeration {
            parts.push((token * f64::from(exaggeration))?);
        }
        Ok(Tensor::cat(&parts, 0)?)
    }
}

impl Perceiver {
    fn load(scope: &Scope<'_>, width: usize) -> Result<Self> {
        let tokens = scope.shape("pre_attention_query").and_then(|shape| shape.get(1).copied()).unwrap_or(0);
        let attention = scope.at("attn");
        let linear = |name: &str| Linear::load(&attention.at(name), width, width);
        Ok(Self {
            queries: scope.tensor("pre_attention_query", &[1, tokens, width])?.squeeze(0)?,
            norm: LayerNorm::load(&attention.at("norm"), ["weight", "bias"], width, EPS)?,
            q: linear("to_q")?,
            k: linear("to_k")?,
            v: linear("to_v")?,
            out: linear("proj_out")?,
        })
    }

    fn forward(&self, prompt: &Tensor, watch: &dyn Watch) -> Result<Tensor> {
        let perceived = self.attend(&self.queries, prompt, watch)?;
        self.attend(&perceived, &perceived, watch)
    }

    /// `x` plus what it finds in `other`.
    fn attend(&self, x: &Tensor, other: &Tensor, watch: &dyn Watch) -> Result<Tensor> {
        let (normed, other) = (self.norm.forward(x, watch)?, self.norm.forward(other, watch)?);
        let (q, k) = (self.q.forward(&normed, watch)?, self.k.forward(&other, watch)?);
        let v = self.v.forward(&other, watch)?;
        let found = cross_attention(&q, &k, &v, PERCEIVER_HEADS, watch)?;
        Ok((x + self.out.forward(&found, watch)?)?)
    }
}
