//! Rotary position embedding of heads whose first half turns against their second.

use crate::{Result, kv_cache::HEAD};
use candle_core::{Device, Tensor};
use std::sync::OnceLock;

/// Pairs that turn together.
pub(crate) const PAIRS: usize = HEAD / 2;

/// How slow frequencies are slowed down further, so that contexts longer than those of the training fit (`llama3`).
#[derive(Debug, Clone, Copy)]
pub struct RopeScaling {
    pub factor: f64,
    pub low_frequency: f64,
    pub high_frequency: f64,
    /// Positions of the training.
    pub original: f64,
}

/// Cosines and sines of all positions up to a bound, f32.
#[derive(Debug, Clone)]
pub struct Rope {
    /// `[position][pair]`.
    cos: Vec<f32>,
    sin: Vec<f32>,
    /// Both, `(positions, pairs)`, where the model is, once a device other than the CPU has needed them.
    tables: OnceLock<[Tensor; 2]>,
}

impl Rope {
    /// Tables for `positions` positions; pair i turns by theta^(-i / pairs) a position before `scaling`.
    pub fn new(theta: f64, scaling: RopeScaling, positions: usize) -> Self {
        let frequency = |pair: usize| scaling.apply(theta.powf(-(pair as f64) / PAIRS as f64)) as f32;
        let frequencies: Vec<f32> = (0..PAIRS).map(frequency).collect();
        // The angle is rounded to f32 as the models were trained with; only then comes the exact function.
        let angle = |position: usize, frequency: &f32| f64::from(position as f32 * frequency);
        let table = |function: fn(f64) -> f64| {
            let row = |at| frequencies.iter().map(move |frequency| function(angle(at, frequency)) as f32);
            (0..positions).flat_map(row).collect()
        };
        Self { cos: table(f64::cos), sin: table(f64::sin), tables: OnceLock::new() }
    }

    /// Positions that the tables know.
    pub fn positions(&self) -> usize {
        self.cos.len() / PAIRS
    }

    /// Turns one row of heads that stands at `position`.
    pub(crate) fn turn(&self, position: usize, x: &[f32], out: &mut [f32]) {
        let (cos, sin) = (&self.cos[position * PAIRS..][..PAIRS], &self.sin[position * PAIRS..][..PAIRS]);
        for (x, out) in x.chunks_exact(HEAD).zip(out.chunks_exact_mut(HEAD)) {
            let ((first, second), (out_first, out_second)) = (x.split_at(PAIRS), out.split_at_mut(PAIRS));
            for pair in 0..PAIRS {
                out_first[pair] = first[pair] * cos[pair] - second[pair] * sin[pair];
                out_second[pair] = second[pair] * cos[pair] + first[pair] * sin[pair];
            }
        }
    }

    /// The tables on `device`. It is asked for by every layer of every step, so they are brought there once.
    pub(crate) fn tables(&self, device: &Device) -> Result<[Tensor; 2]> {
        let known = self.tables.get().filter(|[cos, _]| cos.device().same_device(device));
        if let Some(tables) = known {
            return Ok(tables.clone());
        }
        let table = |values: &[f32]| Tensor::from_slice(values, (self.positions(), PAIRS), device);
        let tables = [table(&self.cos)?, table(&self.sin)?];
        // Those of a device that came first stay.
        let _ = self.tables.set(tables.clone());
        Ok(tables)
    }

    /// The same out of candle's ops, for `(.., positions, HEAD)` from position `first` on.
    pub(crate) fn stock(&self, first: usize, x: &Tensor) -> Result<Tensor> {
        let count = x.dim(candle_core::D::Minus2)?;
        let [cos, sin] = self.tables(x.device())?;
        let (cos, sin) = (cos.narrow(0, first, count)?, sin.narrow(0, first, count)?);
        let last = x.rank() - 1;
        let (a, b) = (x.narrow(last, 0, PAIRS)?, x.narrow(last, PAIRS, PAIRS)?);
        let turned_a = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
        let turned_b = (b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?;
        Ok(Tensor::cat(&[turned_a, turned_b], last)?)
    }
}

impl RopeScaling {
    fn apply(self, frequency: f64) -> f64 {
        let wavelength = std::f64::consts::TAU / frequency;
        let (longest, shortest) = (self.original / self.low_frequency, self.original / self.high_frequency);
        if wavelength < shortest {
            return frequency;
        }
        if wavelength > longest {
            return frequency / self.factor;
        }
        let smooth =
            (self.original / wavelength - self.low_frequency) / (self.high_frequency - self.low_frequency);
        (1.0 - smooth) * frequency / self.factor + smooth * frequency
    }
}
