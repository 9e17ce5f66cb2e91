//! The S3 tokenizer: a recording to speech tokens, 25 a second.
//!
//! Two convolutions that halve the frames, transformer blocks whose attention has a memory of its neighbourhood (FSMN: a depthwise
//! convolution over the values), and a quantizer: eight numbers of three levels each are the digits of a token.

use super::shape::shape;
use crate::features::{Spectrogram, s3_log_mel, unusable};
use candle_core::{Device, Tensor};
use stentor_nn::{
    Activation, Conv1d, ConvShape, LayerNorm, Linear, NnError, Result, Scope, Watch, activate, self_attention,
};

/// Width of an attention head.
const HEAD: usize = 64;
/// Of the rotary embedding.
const THETA: f64 = 10_000.0;
const EPS: f32 = 1e-5;
/// More blocks than any checkpoint has.
const MAX_BLOCKS: usize = 256;
/// Mel frames of a token.
const FRAMES_PER_TOKEN: usize = 4;
/// Mel frames of the longest recording that one pass may see: 30 seconds.
const MAX_FRAMES: usize = 3000;
/// Of what is rounded to a level, as in training: the borders between levels lie a thousandth further out.
const SHRINK: f32 = 0.999;
/// Levels of a digit.
const LEVELS: u32 = 3;

/// The tensors under `tokenizer.` of `s3gen.*`, on the CPU.
pub struct S3Tokenizer {
    stem: [Conv1d; 2],
    blocks: Vec<Block>,
    quantizer: Linear,
    width: usize,
}

impl S3Tokenizer {
    /// `root` is the whole checkpoint. Ticks several times in each block, whose weights may have to come from a slow disk.
    pub fn load(root: &Scope<'_>, watch: &dyn Watch) -> Result<Self> {
        let scope = root.at("tokenizer.encoder");
        let [width, mels, kernel] = shape(&scope, "conv1.weight")?;
        let halving = |input| ConvShape { input, output: width, kernel, stride: 2, padding: 1, dilation: 1 };
        let stem = [
            Conv1d::load(&scope.at("conv1"), halving(mels))?,
            Conv1d::load(&scope.at("conv2"), halving(width))?,
        ];
        let blocks = scope.at("blocks");
        let is_there = |n: &usize| blocks.shape(&format!("{n}.attn_ln.weight")).is_some();
        let number = (0..MAX_BLOCKS).take_while(is_there).count();
        let blocks = (0..number).map(|n| Block::load(&blocks.at(n), width, watch)).collect::<Result<_>>()?;
        let quantizer = Linear::load(&root.at("tokenizer.quantizer._codebook.project_down"), width, 8)?;
        Ok(Self { stem, blocks, quantizer, width })
    }

    /// Tokens below 6561 for samples at 16 kHz; at most `max`. More than 30 seconds at once are an error.
    pub fn tokenize(&self, samples: &[f32], max: usize, watch: &dyn Watch) -> Result<Vec<u32>> {
        // The level is that of the whole recording, also of what is cut off.
        let mut mel = s3_log_mel(samples)?;
        mel.truncate(mel.frames().min(max.saturating_mul(FRAMES_PER_TOKEN)));
        self.tokenize_mel(&mel, watch)
    }

    /// Tokens of a log-mel spectrogram, a quarter as many as it has frames, rounded up.
    pub fn tokenize_mel(&self, mel: &Spectrogram, watch: &dyn Watch) -> Result<Vec<u32>> {
        let frames = mel.frames();
        if !(1..=MAX_FRAMES).contains(&frames) {
            return Err(unusable(format!("{frames} frames of speech; 1 to {MAX_FRAMES} can be tokenized")));
        }
        let mel = Tensor::from_slice(&mel.values, (frames, mel.bins), &Device::Cpu)?;
        watch.layer("s3.mel", &mel);
        let mut x = mel.t()?.contiguous()?;
        for conv in &self.stem {
            x = activate(&conv.forward(&x, watch)?, Activation::GeluErf, watch)?;
        }
        x = x.t()?.contiguous()?;
        watch.layer("s3.stem", &x);
        let rotation = Rotation::new(x.dims2()?.0);
        for (number, block) in self.blocks.iter().enumerate() {
            x = block.forward(&x, &rotation, watch)?;
            watch.layer(&format!("s3.block{number}"), &x);
        }
        debug_assert_eq!(x.dims2()?.1, self.width);
        let levels = self.quantizer.forward(&x, watch)?;
        watch.layer("s3.levels", &levels);
        Ok(quantize(&levels.flatten_all()?.to_vec1()?))
    }
}

/// A token for each eight numbers: each becomes 0, 1 or 2, the first being the lowest digit.
pub fn quantize(levels: &[f32]) -> Vec<u32> {
    let digit = |&level: &f32| ((level.tanh() * SHRINK).round_ties_even() + 1.0) as u32;
    let token = |levels: &[f32]| levels.iter().rev().fold(0, |token, level| token * LEVELS + digit(level));
    levels.chunks_exact(8).map(token).collect()
}

struct Block {
    attention_norm: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    memory: Memory,
    mlp_norm: LayerNorm,
    mlp: [Linear; 2],
    heads: usize,
}

impl Block {
    fn load(scope: &Scope<'_>, width: usize, watch: &dyn Watch) -> Result<Self> {
        let attention = scope.at("attn");
        let ticked = |layer| if watch.tick() { Ok(layer) } else { Err(NnError::Stopped) };
        let square = |name: &str| Linear::load(&attention.at(name), width, width).and_then(ticked);
        let [inner] = shape(scope, "mlp.0.bias")?;
        Ok(Self {
            attention_norm: LayerNorm::load(&scope.at("attn_ln"), ["weight", "bias"], width, EPS)?,
            query: square("query")?,
            key: Linear::load_without_bias(&attention.at("key"), width, width)?,
            value: square("value")?,
            out: square("out")?,
            memory: Memory::load(&attention.at("fsmn_block"), width)?,
            mlp_norm: LayerNorm::load(&scope.at("mlp_ln"), ["weight", "bias"], width, EPS)?,
            mlp: [
                Linear::load(&scope.at("mlp.0"), width, inner).and_then(ticked)?,
                Linear::load(&scope.at("mlp.2"), inner, width).and_then(ticked)?,
            ],
            heads: width / HEAD,
        })
    }

    /// `(time, width)` to the same.
    fn forward(&self, x: &Tensor, rotation: &Rotation, watch: &dyn Watch) -> Result<Tensor> {
        let normal = self.attention_norm.forward(x, watch)?;
        let query = rotation.apply(&self.query.forward(&normal, watch)?)?;
        let key = rotation.apply(&self.key.forward(&normal, watch)?)?;
        let value = self.value.forward(&normal, watch)?;
        let seen = self_attention(&query, &key, &value, self.heads, watch)?;
        let seen = self.out.forward(&seen, watch)?;
        let x = ((x + seen)? + self.memory.forward(&value, watch)?)?;
        let normal = self.mlp_norm.forward(&x, watch)?;
        let inner = activate(&self.mlp[0].forward(&normal, watch)?, Activation::GeluErf, watch)?;
        Ok((x + self.mlp[1].forward(&inner, watch)?)?)
    }
}

/// Rotary position embedding of `(time, heads * HEAD)`: a head's first half turns against its second half.
struct Rotation {
    /// `[time][HEAD / 2]` cosines and sines.
    turns: Vec<[(f32, f32); HEAD / 2]>,
}

impl Rotation {
    fn new(len: usize) -> Self {
        let frequency = |i: usize| (1.0 / THETA.powf(2.0 * i as f64 / HEAD as f64)) as f32;
        let frequencies: [f32; HEAD / 2] = std::array::from_fn(frequency);
        let turn = |position: usize| {
            frequencies.map(|frequency| {
                let (sin, cos) = f64::from(position as f32 * frequency).sin_cos();
                (cos as f32, sin as f32)
            })
        };
        Self { turns: (0..len).map(turn).collect() }
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let (rows, cols) = x.dims2()?;
        let mut values = x.flatten_all()?.to_vec1::<f32>()?;
        for (row, turns) in values.chunks_exact_mut(cols).zip(&self.turns) {
            for head in row.chunks_exact_mut(HEAD) {
                let (first, second) = head.split_at_mut(HEAD / 2);
                for ((a, b), (cos, sin)) in first.iter_mut().zip(second).zip(turns) {
                    (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
                }
            }
        }
        Ok(Tensor::from_vec(values, (rows, cols), x.device())?)
    }
}

/// A depthwise convolution over time plus what it is applied to.
struct Memory {
    /// `[kernel][width]`.
    taps: Vec<f32>,
    width: usize,
}

impl Memory {
    fn load(scope: &Scope<'_>, width: usize) -> Result<Self> {
        let [_, _, kernel] = shape(scope, "weight")?;
        let weight = scope.tensor("weight", &[width, 1, kernel])?;
        let taps = weight.squeeze(1)?.t()?.flatten_all()?.to_vec1()?;
        Ok(Self { taps, width })
    }

    /// `(time, width)` to the same, zeros beyond both ends.
    fn forward(&self, x: &Tensor, watch: &dyn Watch) -> Result<Tensor> {
        let values = x.flatten_all()?.to_vec1::<f32>()?;
        let reach = self.taps.len() / self.width / 2;
        let mut out = values.clone();
        for (time, out) in out.chunks_exact_mut(self.width).enumerate() {
            let from = time.saturating_sub(reach);
            let taps = &self.taps[(from + reach - time) * self.width..];
            for (taps, x) in
                taps.chunks_exact(self.width).zip(values[from * self.width..].chunks_exact(self.width))
            {
                for ((out, tap), x) in out.iter_mut().zip(taps).zip(x) {
                    *out += tap * x;
                }
            }
            if time % 64 == 63 && !watch.tick() {
                return Err(NnError::Stopped);
            }
        }
        Ok(Tensor::from_vec(out, x.dims2()?, x.device())?)
    }
}
