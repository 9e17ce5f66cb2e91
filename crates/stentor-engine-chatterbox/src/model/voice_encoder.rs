//! The voice encoder: a recording to T3's speaker embedding.
//!
//! A three-layer LSTM reads overlapping windows of a mel spectrogram; what it ends with in each is projected and brought to unit
//! length, and the mean over windows once more. All windows go through a step together, as the rows of one product.

use super::shape::shape;
use crate::features::{Spectrogram, trim, voice_encoder_mel};
use candle_core::{Device, Tensor};
use stentor_nn::{Linear, Result, Scope, Watch, Weights};

/// Decibels under the loudest frame below which the recording's ends are silence.
const TRIM_DECIBELS: f64 = 20.0;
/// More layers than any checkpoint has.
const MAX_LAYERS: usize = 16;
/// Frames of a window.
const WINDOW: usize = 160;
/// Frames from one window to the next: 1.3 windows a second, counted as the reference counts.
const STEP: usize = 77;
/// A last window is read, filled up with silence, if at least this part of it is recording.
const COVERAGE: f64 = 0.8;

/// The tensors of `ve.*`, on the CPU.
pub struct VoiceEncoder {
    layers: Vec<Lstm>,
    projection: Linear,
    mels: usize,
}

impl VoiceEncoder {
    /// Reads all tensors but those of a similarity that only training knew.
    pub fn load(weights: &Weights) -> Result<Self> {
        let root = weights.root();
        let scope = root.at("lstm");
        let [gates, mels] = shape(&scope, "weight_ih_l0")?;
        let hidden = gates / 4;
        let is_there = |layer: &usize| scope.shape(&format!("weight_ih_l{layer}")).is_some();
        let number = (0..MAX_LAYERS).take_while(is_there).count();
        let input = |layer: usize| if layer == 0 { mels } else { hidden };
        let layers = (0..number)
            .map(|layer| Lstm::load(&scope, layer, input(layer), hidden))
            .collect::<Result<Vec<_>>>()?;
        let projection = root.at("proj");
        let [outputs] = shape(&projection, "bias")?;
        let projection = Linear::load(&projection, hidden, outputs)?;
        weights.expect_all_used(|name| name.starts_with("similarity_"))?;
        Ok(Self { layers, projection, mels })
    }

    /// 256 values of unit length for samples at 16 kHz.
    pub fn embed(&self, samples: &[f32], watch: &dyn Watch) -> Result<Vec<f32>> {
        let mel = voice_encoder_mel(trim(samples, TRIM_DECIBELS))?;
        watch.layer("ve.mel", &Tensor::from_slice(&mel.values, (mel.frames(), mel.bins), &Device::Cpu)?);
        let count = windows(mel.frames());
        let mut x = self.steps(&mel, count)?;
        for layer in &self.layers {
            x = layer.forward(&x, count, watch)?;
        }
        let last = x.narrow(0, (WINDOW - 1) * count, count)?;
        let raw = self.projection.forward(&last.contiguous()?, watch)?.relu()?;
        watch.layer("ve.windows", &raw);
        let mut sum = vec![0.0; raw.dims2()?.1];
        for row in raw.to_vec2::<f32>()? {
            for (sum, x) in sum.iter_mut().zip(unit(row)) {
                *sum += x / count as f32;
            }
        }
        Ok(unit(sum))
    }

    /// The windows of a spectrogram, step by step: row `step * count + window` is that step of that window.
    fn steps(&self, mel: &Spectrogram, count: usize) -> Result<Tensor> {
        let mut rows = Vec::with_capacity(WINDOW * count * self.mels);
        for step in 0..WINDOW {
            for window in 0..count {
                let end = rows.len() + self.mels;
                let start = (window * STEP + step) * self.mels;
                rows.extend(mel.values.get(start..start + self.mels).unwrap_or_default());
                rows.resize(end, 0.0);
            }
        }
        Ok(Tensor::from_vec(rows, (WINDOW * count, self.mels), &Device::Cpu)?)
    }
}

/// How many windows are read of so many frames.
fn windows(frames: usize) -> usize {
    let reached = (frames + STEP).saturating_sub(WINDOW);
    let (whole, rest) = (reached / STEP, reached % STEP);
    let covered = (rest + WINDOW - STEP) as f64 / WINDOW as f64;
    if whole == 0 || covered >= COVERAGE { whole + 1 } else { whole }
}

/// One layer, of which many sequences of one length are run side by side.
struct Lstm {
    /// To the gates, with both biases: input, forget, cell, output.
    input: Linear,
    recurrent: Linear,
    hidden: usize,
}

impl Lstm {
    fn load(scope: &Scope<'_>, layer: usize, input: usize, hidden: usize) -> Result<Self> {
        let tensor = |name: &str, shape: &[usize]| scope.tensor(&format!("{name}_l{layer}"), shape);
        let bias = (tensor("bias_ih", &[4 * hidden])? + tensor("bias_hh", &[4 * hidden])?)?;
        let none = bias.zeros_like()?;
        Ok(Self {
            input: Linear::new(&tensor("weight_ih", &[4 * hidden, input])?, bias)?,
            recurrent: Linear::new(&tensor("weight_hh", &[4 * hidden, hidden])?, none)?,
            hidden,
        })
    }

    /// `(steps * count, input)` to `(steps * count, hidden)`, all sequences' first steps first.
    fn forward(&self, x: &Tensor, count: usize, watch: &dyn Watch) -> Result<Tensor> {
        let gates = self.input.forward(x, watch)?;
        let mut states = vec![Tensor::zeros((count, self.hidden), x.dtype(), x.device())?];
        let mut cells = vec![0.0; count * self.hidden];
        for step in 0..x.dims2()?.0 / count {
            let seen = gates.narrow(0, step * count, count)?;
            let gates = (seen + self.recurrent.forward(&states[step], watch)?)?;
            let gates = gates.flatten_all()?.to_vec1::<f32>()?;
            let state = gates
                .chunks_exact(4 * self.hidden)
                .zip(cells.chunks_exact_mut(self.hidden))
                .flat_map(|(gates, cells)| advance(gates, cells))
                .collect::<Vec<_>>();
            states.push(Tensor::from_vec(state, (count, self.hidden), x.device())?);
        }
        Ok(Tensor::cat(&states[1..], 0)?)
    }
}

/// One step of one sequence: the new state, and `cells` brought up to date.
fn advance(gates: &[f32], cells: &mut [f32]) -> Vec<f32> {
    let hidden = cells.len();
    let step = |(unit, cell): (usize, &mut f32)| {
        let gate = |number: usize| gates[number * hidden + unit];
        *cell = sigmoid(gate(1)) * *cell + sigmoid(gate(0)) * gate(2).tanh();
        sigmoid(gate(3)) * cell.tanh()
    };
    cells.iter_mut().enumerate().map(step).collect()
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// Brought to a length of 1.
fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let norm = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt() as f32;
    for x in &mut vector {
        *x /= norm;
    }
    vector
}

#[cfg(test)]
mod tests {
    use super::windows;

    #[test]
    fn a_last_window_counts_from_four_fifths_on() {
        // A window begins every 77 frames; 128 of its 160 frames must be there.
        for (frames, expected) in [(1, 1), (160, 1), (204, 1), (205, 2), (237, 2), (281, 2), (282, 3)] {
            assert_eq!(windows(frames), expected, "{frames} frames");
        }
    }
}
