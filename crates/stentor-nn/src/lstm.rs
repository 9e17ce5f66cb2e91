//! A bidirectional LSTM layer.
//!
//! The input's part of the gates is one matrix product for all steps and both directions; what remains is the recurrence,
//! a loop over a matrix that fits the cache. Gate order and names are torch's: input, forget, cell, output.

use crate::{
    Linear, Result, Scope, Watch,
    cpu::{is_cpu, math, matrix, simd, view},
    watch::tick,
};
use candle_core::Tensor;

/// Columns of the recurrent matrix that are summed together, in registers.
const PANEL: usize = 64;
const STEPS_PER_TICK: usize = 32;

/// `(time, input)` to `(time, 2 * hidden)`, the forward direction first.
#[derive(Debug, Clone)]
pub struct BiLstm {
    /// Input to the gates of both directions, with both biases.
    input: Linear,
    directions: [Recurrence; 2],
    hidden: usize,
}

/// The recurrent half of one direction.
#[derive(Debug, Clone)]
struct Recurrence {
    /// `(4 * hidden, hidden)`.
    weight: Tensor,
    /// The same as panels of [`PANEL`] gates: `[panel][hidden][gate in panel]`, padded with zeros.
    panels: Vec<f32>,
}

impl BiLstm {
    /// Reads `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0` and their `_reverse` counterparts.
    pub fn load(scope: &Scope<'_>, input: usize, hidden: usize) -> Result<Self> {
        let gates = 4 * hidden;
        let read = |suffix: &str| -> Result<_> {
            let weight = scope.tensor(&format!("weight_ih_l0{suffix}"), &[gates, input])?;
            let bias = (scope.tensor(&format!("bias_ih_l0{suffix}"), &[gates])?
                + scope.tensor(&format!("bias_hh_l0{suffix}"), &[gates])?)?;
            Ok((weight, bias, scope.tensor(&format!("weight_hh_l0{suffix}"), &[gates, hidden])?))
        };
        let ((forward, forward_bias, forward_recurrent), (backward, backward_bias, backward_recurrent)) =
            (read("")?, read("_reverse")?);
        let weight = Tensor::cat(&[forward, backward], 0)?;
        let bias = Tensor::cat(&[forward_bias, backward_bias], 0)?;
        let directions = [Recurrence::new(forward_recurrent)?, Recurrence::new(backward_recurrent)?];
        Ok(Self { input: Linear::new(weight, bias), directions, hidden })
    }

    pub fn forward(&self, x: &Tensor, watch: &dyn Watch) -> Result<Tensor> {
        let gates = self.input.forward(x, watch)?;
        if !is_cpu(x) {
            return self.stock(&gates);
        }
        let (len, hidden) = (x.dims2()?.0, self.hidden);
        let values = view(&gates)?;
        let [forward, backward] = &self.directions;
        let (forward, backward) = rayon::join(
            || forward.run(values.chunks_exact(8 * hidden).map(|row| &row[..4 * hidden]), hidden, watch),
            || {
                backward.run(
                    values.chunks_exact(8 * hidden).rev().map(|row| &row[4 * hidden..]),
                    hidden,
                    watch,
                )
            },
        );
        let (forward, backward) = (forward?, backward?);
        let mut out = Vec::with_capacity(len * 2 * hidden);
        for (forward, backward) in forward.chunks_exact(hidden).zip(backward.chunks_exact(hidden).rev()) {
            out.extend_from_slice(forward);
            out.extend_from_slice(backward);
        }
        matrix(out, len, 2 * hidden)
    }

    /// The same out of candle's ops, from the input's part of the gates `(time, 8 * hidden)`.
    fn stock(&self, gates: &Tensor) -> Result<Tensor> {
        let (len, hidden) = (gates.dims2()?.0, self.hidden);
        let mut rows = Vec::with_capacity(2);
        for (direction, recurrence) in self.directions.iter().enumerate() {
            let weight = recurrence.weight.t()?;
            let mut h = gates.zeros_like()?.narrow(0, 0, 1)?.narrow(1, 0, hidden)?;
            let mut c = h.clone();
            let mut outputs = Vec::with_capacity(len);
            for step in 0..len {
                let row = if direction == 0 { step } else { len - 1 - step };
                let all = (gates.narrow(0, row, 1)?.narrow(1, direction * 4 * hidden, 4 * hidden)?
                    + h.matmul(&weight)?)?;
                let gate = |index: usize| all.narrow(1, index * hidden, hidden);
                let sigmoid = |x: Tensor| (x.neg()?.exp()? + 1.0)?.recip();
                c = ((sigmoid(gate(1)?)? * c)? + (sigmoid(gate(0)?)? * gate(2)?.tanh()?)?)?;
                h = (sigmoid(gate(3)?)? * c.tanh()?)?;
                outputs.push(h.clone());
            }
            if direction == 1 {
                outputs.reverse();
            }
            rows.push(Tensor::cat(&outputs, 0)?);
        }
        Ok(Tensor::cat(&rows, 1)?)
    }
}

impl Recurrence {
    fn new(weight: Tensor) -> Result<Self> {
        let (gates, hidden) = weight.dims2()?;
        let rows = weight.to_device(&candle_core::Device::Cpu)?.to_vec2::<f32>()?;
        let mut panels = vec![0.0; gates.div_ceil(PANEL) * hidden * PANEL];
        for (gate, row) in rows.iter().enumerate() {
            let panel = &mut panels[gate / PANEL * hidden * PANEL..];
            for (unit, value) in row.iter().enumerate() {
                panel[unit * PANEL + gate % PANEL] = *value;
            }
        }
        Ok(Self { weight, panels })
    }

    /// Runs over rows of `4 * hidden` gates in the order given; hidden states come out in the same order.
    fn run<'a>(
        &self,
        rows: impl ExactSizeIterator<Item = &'a [f32]>,
        hidden: usize,
        watch: &dyn Watch,
    ) -> Result<Vec<f32>> {
        let mut out = vec![0.0; rows.len() * hidden];
        let mut gates = vec![0.0; (4 * hidden).next_multiple_of(PANEL)];
        let (mut h, mut c) = (vec![0.0; hidden], vec![0.0; hidden]);
        for (step, (row, out)) in rows.zip(out.chunks_exact_mut(hidden)).enumerate() {
            gates[..4 * hidden].copy_from_slice(row);
            advance(&self.panels, &mut gates, &mut h, &mut c);
            out.copy_from_slice(&h);
            if step % STEPS_PER_TICK == STEPS_PER_TICK - 1 {
                tick(watch)?;
            }
        }
        tick(watch)?;
        Ok(out)
    }
}

simd! {
    /// One step: `gates` holds the input's part and is used up.
    fn advance(panels: &[f32], gates: &mut [f32], h: &mut [f32], c: &mut [f32]) {
        let hidden = h.len();
        for (panel, gates) in panels.chunks_exact(hidden * PANEL).zip(gates.chunks_exact_mut(PANEL)) {
            let mut sums = [0.0f32; PANEL];
            sums.copy_from_slice(gates);
            for (weights, h) in panel.chunks_exact(PANEL).zip(h.iter()) {
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum = h.mul_add(*weight, *sum);
                }
            }
            gates.copy_from_slice(&sums);
        }
        let (input, rest) = gates.split_at(hidden);
        let (forget, rest) = rest.split_at(hidden);
        let (cell, output) = rest.split_at(hidden);
        for unit in 0..hidden {
            let kept = math::sigmoid(forget[unit]) * c[unit];
            c[unit] = math::sigmoid(input[unit]).mul_add(math::tanh(cell[unit]), kept);
            h[unit] = math::sigmoid(output[unit]) * math::tanh(c[unit]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Unwatched, stock_test::assert_same};
    use candle_core::Device;

    #[test]
    fn candles_ops_give_the_same() {
        let random = |dims: &[usize]| Tensor::randn(0f32, 0.5, dims, &Device::Cpu).unwrap();
        let (input, hidden) = (3, 5);
        let directions = [(); 2].map(|()| Recurrence::new(random(&[4 * hidden, hidden])).unwrap());
        let linear = Linear::new(random(&[8 * hidden, input]), random(&[8 * hidden]));
        let lstm = BiLstm { input: linear, directions, hidden };
        let x = random(&[30, input]);
        let gates = lstm.input.forward(&x, &Unwatched).unwrap();
        assert_same(&lstm.forward(&x, &Unwatched).unwrap(), &lstm.stock(&gates).unwrap());
    }
}
