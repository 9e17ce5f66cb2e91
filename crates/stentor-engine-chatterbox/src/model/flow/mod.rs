//! Flow matching: speech tokens and a voice to mel frames.
//!
//! The [`encoder`] turns tokens into what each frame should be, twice as many; the [`estimator`] says in which direction noise has
//! to go to become speech like that in this voice, and the [`solver`] goes there. Everything is `(time, channels)` until the end.

mod encoder;
mod estimator;
mod solver;

use crate::{model::FRAMES_PER_TOKEN, voice::S3GenPrompt};
use candle_core::{Device, Tensor};
use encoder::Encoder;
use estimator::{Condition, Estimator};
use stentor_nn::{Embedding, NnError, Result, RowConv, Scope, Then, Watch};
use stentor_types::Precision;

/// Keeps an x-vector of zeros from dividing by its length.
const SHORTEST: f64 = 1e-12;

/// Encoder, estimator and solver: the tensors under `flow.`.
pub struct Flow {
    /// A vector for each speech token.
    embedding: Embedding,
    vocabulary: usize,
    encoder: Encoder,
    /// From the encoder's width to mels.
    projection: RowConv,
    /// From the x-vector to mels.
    speaker: RowConv,
    xvector: usize,
    estimator: Estimator,
    mels: usize,
    device: Device,
}

impl Flow {
    /// Reads the tensors under `flow.` of `s3gen.*`; whether it is a mean flow follows from `time_embed_mixer`.
    ///
    /// In [`Precision::F16`] the products of encoder and estimator, which are nearly all of the work, are of f16.
    pub fn load(root: &Scope<'_>, device: &Device, precision: Precision) -> Result<Self> {
        let scope = root.at("flow").with_products(Precision::F32);
        let products = scope.with_products(precision);
        let [vocabulary, width] = dims(&scope, "input_embedding.weight")?;
        let [mels, xvector] = dims(&scope, "spk_embed_affine_layer.weight")?;
        let flow = Self {
            embedding: Embedding::load(&scope.at("input_embedding"), vocabulary, width)?,
            vocabulary,
            encoder: Encoder::load(&products.at("encoder"), width)?,
            projection: RowConv::load_linear(&scope.at("encoder_proj"), width, mels)?,
            speaker: RowConv::load_linear(&scope.at("spk_embed_affine_layer"), xvector, mels)?,
            xvector,
            estimator: Estimator::load(&products.at("decoder.estimator"), mels)?,
            mels,
            device: device.clone(),
        };
        scope.expect_all_used(|_| false)?;
        Ok(flow)
    }

    /// Two steps without guidance (Turbo, Nano) instead of ten with it.
    pub fn is_meanflow(&self) -> bool {
        self.estimator.is_meanflow()
    }

    /// Tokens that must follow a frame's own token before it can be rendered.
    pub fn lookahead(&self) -> usize {
        self.encoder.lookahead()
    }

    /// Mel frames of `tokens`, `(80, frames)` on the device: two frames a token. Unless `last`, the final three tokens are
    /// only looked ahead at, and give no frames. `noise` is row-major `(frames of prompt and result, 80)`: where the solver starts.
    ///
    /// # Errors
    /// Tokens that are no speech, a prompt whose parts don't fit each other, too few tokens, noise of another length, or no steps.
    pub fn render(
        &self,
        prompt: &S3GenPrompt,
        (tokens, last): (&[u32], bool),
        (noise, steps): (&[f32], usize),
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        let before = FRAMES_PER_TOKEN * prompt.tokens.len();
        let unheard = if last { 0 } else { self.lookahead() };
        let frames = before + FRAMES_PER_TOKEN * tokens.len().saturating_sub(unheard);
        self.check(prompt, tokens, (noise.len(), frames), steps)?;
        let mu = self.encode(&[&prompt.tokens, tokens].concat(), frames, watch)?;
        let speaker = self.speaker(&prompt.xvector, watch)?;
        let mut known = prompt.mel.clone();
        known.resize(frames * self.mels, 0.0);
        let known = Tensor::from_vec(known, (frames, self.mels), &self.device)?;
        let condition = Condition::new(&mu, &speaker, &known)?;
        let start = Tensor::from_slice(noise, (frames, self.mels), &self.device)?;
        let mel = solver::solve(&self.estimator, start, &condition, steps, watch)?;
        Ok(mel.narrow(0, before, frames - before)?.t()?.contiguous()?)
    }

    /// What `render` may assume.
    fn check(
        &self,
        prompt: &S3GenPrompt,
        tokens: &[u32],
        (noise, frames): (usize, usize),
        steps: usize,
    ) -> Result<()> {
        let before = FRAMES_PER_TOKEN * prompt.tokens.len();
        if let Some(token) =
            prompt.tokens.iter().chain(tokens).find(|&&token| token as usize >= self.vocabulary)
        {
            return Err(invalid(format!("{token} is no speech token: there are {}", self.vocabulary)));
        }
        if prompt.mel.len() != before * self.mels {
            let (tokens, values) = (prompt.tokens.len(), prompt.mel.len());
            return Err(invalid(format!("a voice of {tokens} tokens has {values} values of mel frames")));
        }
        if prompt.xvector.len() != self.xvector {
            return Err(invalid(format!("an x-vector has {} values", prompt.xvector.len())));
        }
        if frames <= before {
            return Err(invalid(format!("{} speech tokens are too few to render", tokens.len())));
        }
        if noise != frames * self.mels {
            return Err(invalid(format!("{noise} values of noise for {frames} mel frames")));
        }
        if steps == 0 {
            return Err(invalid("a solver needs one step at least".to_owned()));
        }
        Ok(())
    }

    /// What each of the first `frames` frames should be: `(frames, mels)`.
    fn encode(&self, tokens: &[u32], frames: usize, watch: &dyn Watch) -> Result<Tensor> {
        let embedded = self.embedding.forward(&Tensor::new(tokens, &self.device)?)?;
        let encoded = self.encoder.forward(&embedded, watch)?;
        watch.layer("flow.encoder", &encoded);
        let mu = self.projection.forward(&encoded.narrow(0, 0, frames)?, Then::Nothing, watch)?;
        watch.layer("flow.mu", &mu);
        Ok(mu)
    }

    /// The direction of the x-vector, whose length says nothing, as `(1, mels)`.
    fn speaker(&self, xvector: &[f32], watch: &dyn Watch) -> Result<Tensor> {
        let length = xvector.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt().max(SHORTEST);
        let direction: Vec<f32> = xvector.iter().map(|&x| (f64::from(x) / length) as f32).collect();
        let direction = Tensor::from_vec(direction, (1, self.xvector), &self.device)?;
        let speaker = self.speaker.forward(&direction, Then::Nothing, watch)?;
        watch.layer("flow.speaker", &speaker);
        Ok(speaker)
    }
}

fn invalid(message: String) -> NnError {
    candle_core::Error::Msg(message).into()
}

/// The shape of a tensor with `N` dimensions; what is not there, or of another kind, is an error that names it.
fn dims<const N: usize>(scope: &Scope<'_>, name: &str) -> Result<[usize; N]> {
    match scope.shape(name).and_then(|shape| shape.try_into().ok()) {
        Some(shape) => Ok(shape),
        None => scope.values(name, &[0; N]).map(|_| [0; N]),
    }
}

/// How many blocks there are, block i having the tensor `name(i)`.
fn blocks(scope: &Scope<'_>, name: impl Fn(usize) -> String) -> usize {
    let mut count = 0;
    while scope.shape(&name(count)).is_some() {
        count += 1;
    }
    count
}
