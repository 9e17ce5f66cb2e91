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
use estimator::Estimator;
use stentor_nn::{Embedding, NnError, Packing, Result, RowConv, Scope, Then, Watch};
use stentor_types::Precision;

/// Keeps an x-vector of zeros from dividing by its length.
const SHORTEST: f64 = 1e-12;

/// What the flow makes mel frames of.
#[derive(Debug, Clone, Copy)]
pub struct FlowTask<'a> {
    pub prompt: &'a S3GenPrompt,
    pub tokens: &'a [u32],
    /// Whether the final tokens give frames too; unless it is the last of its chunk, three are only looked ahead at.
    pub last: bool,
    /// Where the solver starts: row-major `(frames of prompt and result, 80)`.
    pub noise: &'a [f32],
}

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

    /// Frames that go through the flow for a task: those of the prompt, and those that it gives.
    pub fn frames(&self, prompt: &S3GenPrompt, (tokens, last): (usize, bool)) -> usize {
        let unheard = if last { 0 } else { self.lookahead() };
        FRAMES_PER_TOKEN * (prompt.tokens.len() + tokens.saturating_sub(unheard))
    }

    /// Mel frames of `tokens`, `(80, frames)` on the device: two frames a token. Unless `last`, the final three tokens are
    /// only looked ahead at, and give no frames. `noise` is row-major `(frames of prompt and result, 80)`: where the solver starts.
    ///
    /// # Errors
    /// As of [`Flow::check`], and of the pass.
    pub fn render(
        &self,
        prompt: &S3GenPrompt,
        (tokens, last): (&[u32], bool),
        (noise, steps): (&[f32], usize),
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        let task = FlowTask { prompt, tokens, last, noise };
        self.check(&task)?;
        let mut mels = self.render_all(&[task], steps, watch)?;
        mels.pop().ok_or_else(|| invalid("nothing came out".to_owned()))
    }

    /// [`Flow::render`] for several tasks at once, each of which comes out as if it were alone: to the bit with our kernels.
    ///
    /// # Errors
    /// No steps, and those of the pass; that nothing is wrong with a task, [`Flow::check`] says beforehand.
    pub fn render_all(&self, tasks: &[FlowTask<'_>], steps: usize, watch: &dyn Watch) -> Result<Vec<Tensor>> {
        if steps == 0 {
            return Err(invalid("a solver needs one step at least".to_owned()));
        }
        if tasks.is_empty() {
            return Ok(Vec::new());
        }
        let mus = self.encode(tasks, watch)?;
        let (mut starts, mut columns) = (Vec::with_capacity(tasks.len()), Vec::with_capacity(tasks.len()));
        for (task, mu) in tasks.iter().zip(&mus) {
            let frames = mu.dims2()?.0;
            let speaker = self.speaker(&task.prompt.xvector, watch)?;
            let mut known = task.prompt.mel.clone();
            known.resize(frames * self.mels, 0.0);
            let known = Tensor::from_vec(known, (frames, self.mels), &self.device)?;
            columns.push(estimator::columns(mu, &speaker, &known)?);
            starts.push(Tensor::from_slice(task.noise, (frames, self.mels), &self.device)?);
        }
        let mels = solver::solve(&self.estimator, &starts, &columns, steps, watch)?;
        let own = |(mel, task): (&Tensor, &FlowTask<'_>)| {
            let before = FRAMES_PER_TOKEN * task.prompt.tokens.len();
            Ok(mel.narrow(0, before, mel.dims2()?.0 - before)?.t()?.contiguous()?)
        };
        mels.iter().zip(tasks).map(own).collect()
    }

    /// What [`Flow::render_all`] may assume.
    ///
    /// # Errors
    /// Tokens that are no speech, a prompt whose parts don't fit each other, too few tokens, or noise of another length.
    pub fn check(&self, task: &FlowTask<'_>) -> Result<()> {
        let FlowTask { prompt, tokens, last, noise } = *task;
        let frames = self.frames(prompt, (tokens.len(), last));
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
        if noise.len() != frames * self.mels {
            return Err(invalid(format!("{} values of noise for {frames} mel frames", noise.len())));
        }
        Ok(())
    }

    /// What each frame of each task should be: `(frames, mels)`.
    fn encode(&self, tasks: &[FlowTask<'_>], watch: &dyn Watch) -> Result<Vec<Tensor>> {
        let tokens: Vec<Vec<u32>> =
            tasks.iter().map(|task| [&task.prompt.tokens, task.tokens].concat()).collect();
        let lens: Vec<usize> = tokens.iter().map(Vec::len).collect();
        let packing = Packing::new(&lens, self.encoder.gap(), &self.device);
        let embed = |tokens: &Vec<u32>| self.embedding.forward(&Tensor::new(&tokens[..], &self.device)?);
        let embedded = tokens.iter().map(embed).collect::<Result<Vec<_>>>()?;
        let (encoded, packing) = self.encoder.forward(&packing.pack_rows(&embedded)?, &packing, watch)?;
        watch.layer("flow.encoder", &encoded);
        let heard = |(encoded, task): (&Tensor, &FlowTask<'_>)| {
            let mu = encoded.narrow(0, 0, self.frames(task.prompt, (task.tokens.len(), task.last)))?;
            let mu = self.projection.forward(&mu, Then::Nothing, watch)?;
            watch.layer("flow.mu", &mu);
            Ok(mu)
        };
        packing.unpack_rows(&encoded)?.iter().zip(tasks).map(heard).collect()
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
