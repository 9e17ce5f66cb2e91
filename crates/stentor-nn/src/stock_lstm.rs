//! The bidirectional LSTM out of candle's ops, arranged for devices where launching an op costs more than what it computes.
//!
//! Both directions take each step together, as one state of twice the width and one product with a block-diagonal matrix. Gates
//! are ordered so that each is one contiguous slice of a step, and those that go through a sigmoid are halved beforehand:
//! sigmoid(x) = (1 + tanh(x / 2)) / 2, so that a single tanh serves all four. That makes ten launches a step.

use crate::{Linear, Result, Watch, lstm::LstmWeights, watch::tick};
use candle_core::{DType, Tensor};

const STEPS_PER_TICK: usize = 32;
/// Of torch's order input, forget, cell, output: the one that is not a sigmoid.
const CELL: usize = 2;

/// The layer on any device.
#[derive(Debug, Clone)]
pub struct StockLstm {
    /// Input to `[gate][direction][hidden]`.
    input: Linear,
    /// From `[direction][hidden]` to `[gate][direction][hidden]`; a direction sees only itself.
    recurrent: Tensor,
    hidden: usize,
}

/// What a gate's row is multiplied with.
fn scale(gate: usize) -> f32 {
    if gate == CELL { 1.0 } else { 0.5 }
}

/// Brings the rows `[direction][gate][hidden]` of `x` into the order `[gate][direction][hidden]`, scaled.
fn by_gate(x: &Tensor, hidden: usize) -> Result<Tensor> {
    let width = x.elem_count() / (8 * hidden);
    let scales = Tensor::new(&[0, 1, 2, 3].map(scale), x.device())?.reshape((4, 1, 1, 1))?;
    let ordered = x.reshape((2, 4, hidden, width))?.transpose(0, 1)?.contiguous()?;
    Ok(ordered.broadcast_mul(&scales)?.reshape((8 * hidden, width))?)
}

/// Which row each sequence sees at each step, `[step][sequence]`; what comes after a sequence's end is never looked at.
fn rows_by_step(lens: &[usize], backward: bool) -> Vec<u32> {
    let steps = lens.iter().max().copied().unwrap_or(0);
    let mut rows = vec![0; steps * lens.len()];
    let mut first = 0;
    for (sequence, &len) in lens.iter().enumerate() {
        for step in 0..len {
            let row = if backward { len - 1 - step } else { step };
            rows[step * lens.len() + sequence] = (first + row) as u32;
        }
        first += len;
    }
    rows
}

/// Where in `[step][sequence]` each row's state is found: [`rows_by_step`] undone.
fn steps_by_row(lens: &[usize], backward: bool) -> Vec<u32> {
    let place = |sequence: usize, len: usize, row: usize| {
        let step = if backward { len - 1 - row } else { row };
        (step * lens.len() + sequence) as u32
    };
    let rows = |(sequence, &len): (usize, &usize)| (0..len).map(move |row| place(sequence, len, row));
    lens.iter().enumerate().flat_map(rows).collect()
}

/// The rows of `x` in this order.
fn ordered(x: &Tensor, order: Vec<u32>) -> Result<Tensor> {
    let order = Tensor::new(order, x.device())?;
    Ok(x.contiguous()?.index_select(&order, 0)?)
}

impl StockLstm {
    pub(crate) fn new(weights: &LstmWeights) -> Result<Self> {
        let (hidden, device) = (weights.hidden, weights.input.device());
        let mut recurrent = vec![0.0; 2 * hidden * 8 * hidden];
        for (direction, values) in weights.recurrent.iter().enumerate() {
            for (row, values) in values.chunks_exact(hidden).enumerate() {
                let (gate, unit) = (row / hidden, row % hidden);
                for (from, value) in values.iter().enumerate() {
                    let target = (direction * hidden + from) * 8 * hidden;
                    recurrent[target + (2 * gate + direction) * hidden + unit] = value * scale(gate);
                }
            }
        }
        Ok(Self {
            input: Linear::new(
                &by_gate(&weights.input, hidden)?,
                by_gate(&weights.bias, hidden)?.flatten_all()?,
            )?,
            recurrent: Tensor::from_vec(recurrent, (2 * hidden, 8 * hidden), device)?,
            hidden,
        })
    }

    /// All sequences take each step together.
    pub(crate) fn forward(&self, x: &Tensor, lens: &[usize], watch: &dyn Watch) -> Result<Tensor> {
        let (len, hidden, sequences) = (x.dims2()?.0, self.hidden, lens.len());
        let steps = lens.iter().max().copied().unwrap_or(0);
        let gates = self.input.forward(x, watch)?.reshape((len, 4, 2, hidden))?;
        // Row i holds what the forward direction sees at step i and what the backward one sees at its own step i.
        let forward = ordered(&gates.narrow(2, 0, 1)?, rows_by_step(lens, false))?;
        let backward = ordered(&gates.narrow(2, 1, 1)?, rows_by_step(lens, true))?;
        let gates = Tensor::cat(&[&forward, &backward], 2)?.reshape((steps * sequences, 8 * hidden))?;
        let mut h = Tensor::zeros((sequences, 2 * hidden), DType::F32, x.device())?;
        let mut c = h.clone();
        let mut outputs = Vec::with_capacity(steps);
        for step in 0..steps {
            let seen = gates.narrow(0, step * sequences, sequences)?;
            let all = (seen + h.matmul(&self.recurrent)?)?.tanh()?;
            let open = all.affine(0.5, 0.5)?;
            let of = |gates: &Tensor, gate: usize| gates.narrow(1, 2 * gate * hidden, 2 * hidden);
            c = ((of(&open, 1)? * c)? + (of(&open, 0)? * of(&all, CELL)?)?)?;
            h = (of(&open, 3)? * c.tanh()?)?;
            outputs.push(h.clone());
            if step % STEPS_PER_TICK == STEPS_PER_TICK - 1 {
                tick(watch)?;
            }
        }
        tick(watch)?;
        let both = Tensor::cat(&outputs, 0)?;
        let forward = ordered(&both.narrow(1, 0, hidden)?, steps_by_row(lens, false))?;
        let backward = ordered(&both.narrow(1, hidden, hidden)?, steps_by_row(lens, true))?;
        Ok(Tensor::cat(&[&forward, &backward], 1)?)
    }
}
