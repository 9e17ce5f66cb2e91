//! The network, one module for each part, named as in the published checkpoint.
//!
//! Weights are immutable and shared; everything that belongs to one utterance is passed in.

mod albert;
mod blocks;
mod buckets;
mod decoder;
mod generator;
mod predictor;
mod source;
mod text_encoder;

pub(crate) use buckets::recorded_frames;
pub use source::Excitation;

use crate::config::Config;
use albert::Albert;
use blocks::Styled;
use buckets::Buckets;
use candle_core::{Device, Tensor};
use decoder::Decoder;
use generator::Generator;
use predictor::Predictor;
use stentor_nn::{Linear, NnError, Packing, Result, Unwatched, Watch, Weights, repeat_interleave};
use stentor_types::Precision;
use text_encoder::TextEncoder;

/// A loaded model of the Kokoro family.
#[derive(Debug, Clone)]
pub struct Kokoro {
    bert: Albert,
    bert_encoder: Linear,
    predictor: Predictor,
    text_encoder: TextEncoder,
    decoder: Decoder,
    generator: Generator,
    buckets: Buckets,
    device: Device,
    weight_bytes: u64,
}

/// A row of a voice, in its two halves, each `(style)`.
#[derive(Debug, Clone)]
pub struct Style {
    decoder: Tensor,
    prosody: Tensor,
}

impl Style {
    /// `row` holds the decoder's half, then the prosody's.
    pub fn new(row: &[f32], device: &Device) -> Result<Self> {
        let (decoder, prosody) = row.split_at(row.len() / 2);
        Ok(Self { decoder: Tensor::new(decoder, device)?, prosody: Tensor::new(prosody, device)? })
    }
}

/// What an utterance is spoken from.
#[derive(Debug, Clone, Copy)]
pub struct Utterance<'a> {
    /// They begin and end with the boundary mark.
    pub ids: &'a [u32],
    pub style: &'a Style,
    pub speed: f32,
}

/// What is settled before any sound is made: the tokens, their style, and how long each lasts.
#[derive(Debug, Clone)]
pub struct Plan {
    ids: Tensor,
    style: Style,
    /// `(tokens, hidden + style)`.
    encoded: Tensor,
    /// Frames of each token, the boundary marks included.
    pub durations: Vec<usize>,
}

/// Two values for each frame of a planned utterance, as `(1, 2 * frames)`.
#[derive(Debug, Clone)]
pub struct Curves {
    /// In hertz; at or below ten is unvoiced.
    pub pitch: Tensor,
    pub energy: Tensor,
}

/// What is said of one or more utterances, packed.
struct Spoken {
    /// `(hidden, columns)`.
    text: Tensor,
    curves: Curves,
    /// `(utterances, style)`.
    styles: Tensor,
}

impl Kokoro {
    /// `device` is where `weights` are read to.
    ///
    /// In [`Precision::F16`] the convolutions of decoder and generator, which are most of the work, hold f16 and multiply it.
    /// All else is f32: the prosody, so that durations, pitch and energy do not depend on the precision; norms, activations and
    /// residuals between the convolutions; the excitation with its phase and what first reads it; and the last convolution, whose
    /// output is a logarithm and an angle.
    pub fn load(weights: &Weights, config: &Config, device: &Device, precision: Precision) -> Result<Self> {
        let root = weights.root();
        let decoder = root.at("decoder").with_products(precision);
        let model = Self {
            bert: Albert::load(&root.at("bert"), config)?,
            bert_encoder: Linear::load(
                &root.at("bert_encoder"),
                config.plbert.hidden_size,
                config.hidden_dim,
            )?,
            predictor: Predictor::load(&root.at("predictor"), config)?,
            text_encoder: TextEncoder::load(&root.at("text_encoder"), config)?,
            decoder: Decoder::load(&decoder, config)?,
            generator: Generator::load(&decoder.at("generator"), config)?,
            buckets: Buckets::new(config),
            device: device.clone(),
            weight_bytes: weights.bytes_held(),
        };
        check_unused(weights)?;
        Ok(model)
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Runs once through everything with a few tokens, so that the first request does not wait for what a device does once:
    /// loading kernels, choosing algorithms, growing its memory pool.
    pub fn warm_up(&self, config: &Config) -> Result<()> {
        let last = config.n_token as u32 - 1;
        let ids = [0, last.min(1), last.min(2), last.min(3), 0];
        let style = Style::new(&vec![0.0; config.voice_dim()], &self.device)?;
        let plan = self.plan(&ids, &style, 1.0, &Unwatched)?;
        let curves = self.curves(&plan, &Unwatched)?;
        self.render(&plan, &curves, Excitation::Seeded(0), &Unwatched)?;
        Ok(())
    }

    /// Memory that the weights take.
    pub fn weight_bytes(&self) -> u64 {
        self.weight_bytes
    }

    /// Durations for `ids`, which begin and end with the boundary mark.
    pub fn plan(&self, ids: &[u32], style: &Style, speed: f32, watch: &dyn Watch) -> Result<Plan> {
        only(self.plan_all(&[Utterance { ids, style, speed }], watch)?)
    }

    /// [`Kokoro::plan`] for several utterances at once; each comes out as if it were alone.
    pub fn plan_all(&self, utterances: &[Utterance<'_>], watch: &dyn Watch) -> Result<Vec<Plan>> {
        let lens: Vec<usize> = utterances.iter().map(|utterance| utterance.ids.len()).collect();
        let speeds: Vec<f32> = utterances.iter().map(|utterance| utterance.speed).collect();
        let ids: Vec<u32> = utterances.iter().flat_map(|utterance| utterance.ids).copied().collect();
        let ids = Tensor::new(ids, &self.device)?;
        let styles = rows(utterances.iter().map(|utterance| &utterance.style.prosody))?;
        let x = self.bert_encoder.forward(&self.bert.forward(&ids, &lens, watch)?, watch)?;
        watch.layer("bert_encoder", &x);
        let encoded = self.predictor.encode(&x, &styles, &lens, watch)?;
        let durations = self.predictor.durations(&encoded, (&lens, &speeds), watch)?;
        let mut start = 0;
        let mut plans = Vec::with_capacity(utterances.len());
        for (utterance, durations) in utterances.iter().zip(durations) {
            let len = utterance.ids.len();
            let (ids, encoded) = (ids.narrow(0, start, len)?, encoded.narrow(0, start, len)?);
            plans.push(Plan { ids, style: utterance.style.clone(), encoded, durations });
            start += len;
        }
        Ok(plans)
    }

    /// Pitch and energy of a planned utterance.
    pub fn curves(&self, plan: &Plan, watch: &dyn Watch) -> Result<Curves> {
        only(self.curves_of_all(&[plan], watch)?)
    }

    /// [`Kokoro::curves`] of several utterances at once; each comes out as if it were alone.
    pub fn curves_of_all(&self, plans: &[&Plan], watch: &dyn Watch) -> Result<Vec<Curves>> {
        let stretched = plans.iter().map(|plan| repeat_interleave(&plan.encoded, &plan.durations));
        let stretched = Tensor::cat(&stretched.collect::<Result<Vec<_>>>()?, 0)?;
        let (frames, packing) = self.packing(plans);
        let doubled = packing.stretched(2, 0);
        let styles = rows(plans.iter().map(|plan| &plan.style.prosody))?;
        let styled = Styled { styles: &styles, packing: &packing, doubled: &doubled };
        let Curves { pitch, energy } = self.predictor.curves(&stretched, &frames, styled, watch)?;
        let each = doubled.unpack(&pitch)?.into_iter().zip(doubled.unpack(&energy)?);
        Ok(each.map(|(pitch, energy)| Curves { pitch, energy }).collect())
    }

    /// The samples of a planned utterance with the given curves.
    pub fn render(
        &self,
        plan: &Plan,
        curves: &Curves,
        excitation: Excitation<'_>,
        watch: &dyn Watch,
    ) -> Result<Vec<f32>> {
        only(self.render_all(&[(plan, curves, excitation)], watch)?)
    }

    /// [`Kokoro::render`] for several utterances at once; each comes out as if it were alone.
    pub fn render_all(
        &self,
        planned: &[(&Plan, &Curves, Excitation<'_>)],
        watch: &dyn Watch,
    ) -> Result<Vec<Vec<f32>>> {
        let plans: Vec<&Plan> = planned.iter().map(|(plan, ..)| *plan).collect();
        let (_, packing) = self.packing(&plans);
        let packings = self.packings(packing);
        let spoken = self.spoken(planned, &packings, watch)?;
        let features = self.features(&spoken, &packings, watch)?;
        let excitation = self.excitation(planned, &packings, watch)?;
        let spectrum = self.spectrum(&features, &excitation, (&spoken.styles, &packings), watch)?;
        self.generator.samples(&spectrum, last(&packings), watch)
    }

    /// [`Kokoro::render`] of a short utterance alone, in as many columns as are set aside for any of about its length, so that a card does
    /// for it what it has done before ([`stentor_nn::Replay`]). `None` if it is too long for that, or the card cannot.
    pub fn render_again(
        &self,
        planned: (&Plan, &Curves, Excitation<'_>),
        watch: &dyn Watch,
    ) -> Result<Option<Vec<f32>>> {
        let frames = planned.0.durations.iter().sum();
        self.buckets.render(self, (frames, planned), watch)
    }

    /// How the decoder's input is packed, and what it becomes on its way to the spectrum: first its own, then doubled, then that of each
    /// stage of the generator.
    fn packings(&self, packing: Packing) -> Vec<Packing> {
        let doubled = packing.stretched(2, 0);
        std::iter::once(packing).chain(self.generator.packings(&doubled)).collect()
    }

    /// What the decoder is told, packed.
    fn spoken(
        &self,
        planned: &[(&Plan, &Curves, Excitation<'_>)],
        packings: &[Packing],
        watch: &dyn Watch,
    ) -> Result<Spoken> {
        let plans = || planned.iter().map(|(plan, ..)| *plan);
        let ids = Tensor::cat(&plans().map(|plan| &plan.ids).collect::<Vec<_>>(), 0)?;
        let lens: Vec<usize> = plans().map(|plan| plan.durations.len()).collect();
        let text = self.text_encoder.forward(&ids, &lens, watch)?;
        let durations: Vec<usize> = plans().flat_map(|plan| &plan.durations).copied().collect();
        let of_all = |curve: fn(&Curves) -> &Tensor| {
            packings[1].pack(&planned.iter().map(|(_, curves, _)| curve(curves).clone()).collect::<Vec<_>>())
        };
        Ok(Spoken {
            text: packings[0].columns_of_rows(&repeat_interleave(&text, &durations)?)?,
            curves: Curves {
                pitch: of_all(|curves| &curves.pitch)?,
                energy: of_all(|curves| &curves.energy)?,
            },
            styles: rows(plans().map(|plan| &plan.style.decoder))?,
        })
    }

    /// What the generator makes sound of.
    fn features(&self, spoken: &Spoken, packings: &[Packing], watch: &dyn Watch) -> Result<Tensor> {
        let styled = Styled { styles: &spoken.styles, packing: &packings[0], doubled: &packings[1] };
        self.decoder.forward(&spoken.text, &spoken.curves, styled, watch)
    }

    /// The spectrum of what is excited by the pitch of each, packed.
    fn excitation(
        &self,
        planned: &[(&Plan, &Curves, Excitation<'_>)],
        packings: &[Packing],
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        let excite = |(_, curves, excitation): &(&Plan, &Curves, Excitation<'_>)| {
            self.generator.excite(&curves.pitch, *excitation, watch)
        };
        last(packings).pack(&planned.iter().map(excite).collect::<Result<Vec<_>>>()?)
    }

    /// The spectrum of the samples, packed.
    fn spectrum(
        &self,
        features: &Tensor,
        excitation: &Tensor,
        (styles, packings): (&Tensor, &[Packing]),
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        self.generator.forward(features, excitation, (styles, &packings[1..]), watch)
    }

    /// Frames of each utterance, and how they lie side by side.
    fn packing(&self, plans: &[&Plan]) -> (Vec<usize>, Packing) {
        let frames: Vec<usize> = plans.iter().map(|plan| plan.durations.iter().sum()).collect();
        let gap = self.decoder.reach().max(self.generator.gap());
        let packing = Packing::new(&frames, gap, &self.device);
        (frames, packing)
    }
}

/// How what comes last is packed.
fn last(packings: &[Packing]) -> &Packing {
    &packings[packings.len() - 1]
}

/// Vectors as the rows of one tensor.
fn rows<'a>(vectors: impl Iterator<Item = &'a Tensor>) -> Result<Tensor> {
    Ok(Tensor::stack(&vectors.collect::<Vec<_>>(), 0)?)
}

/// The result for an utterance alone.
fn only<T>(mut all: Vec<T>) -> Result<T> {
    all.pop().ok_or_else(|| NnError::Tensor(candle_core::Error::Msg("nothing came out".to_owned())))
}

/// Checkpoints hold a few tensors that inference has no use for. Anything else that no layer asked for means that the
/// checkpoint is not of this architecture.
fn check_unused(weights: &Weights) -> Result<()> {
    let is_affine = |name: &str| name.ends_with(".norm.weight") || name.ends_with(".norm.bias");
    // Instance norms may be saved with their own affine parameters, which do nothing as long as they are ones and zeros.
    for name in weights.names().filter(|name| is_affine(name)) {
        let expected = if name.ends_with("weight") { 1.0 } else { 0.0 };
        let shape = weights.root().shape(name).unwrap_or_default();
        if weights.root().values(name, &shape)?.iter().any(|value| value.to_bits() != f32::to_bits(expected))
        {
            let message =
                format!("tensor `{name}` is not all {expected}, but instance norm has no weights here");
            return Err(NnError::Format { origin: "instance norm".to_owned(), message });
        }
    }
    weights.expect_all_used(|name| name.contains("bert.pooler.") || name.ends_with(".position_ids"))
}
