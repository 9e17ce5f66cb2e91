//! A bidirectional LSTM layer.
//!
//! The input's part of the gates is one matrix product for all steps and both directions; what remains is the recurrence,
//! a loop over a matrix that fits the cache. Gate order and names are torch's: input, forget, cell, output.

use crate::{
    Linear, Result, Scope, Watch,
    cpu::{is_cpu, math, matrix, simd, view},
    stock_lstm::StockLstm,
    watch::tick,
};
use candle_core::{DType, Tensor};

/// Columns of the recurrent matrix that are summed together, in registers.
const PANEL: usize = 64;
const STEPS_PER_TICK: usize = 32;

/// `(time, input)` to `(time, 2 * hidden)`, the forward direction first.
#[derive(Debug, Clone)]
pub enum BiLstm {
    /// Our kernel, on the CPU.
    #[doc(hidden)]
    Kernel(KernelLstm),
    /// In one launch, on a card.
    #[cfg(feature = "cuda")]
    #[doc(hidden)]
    Card(crate::card::CardLstm),
    /// Composed of candle's ops, for any other device.
    #[doc(hidden)]
    Stock(StockLstm),
}

/// The weights of both directions, as they are stored.
pub(crate) struct LstmWeights {
    /// `(8 * hidden, input)`: the forward direction's gates, then the backward direction's.
    pub(crate) input: Tensor,
    /// Both biases summed, `(8 * hidden)`.
    pub(crate) bias: Tensor,
    /// `[4 * hidden][hidden]` of each direction.
    pub(crate) recurrent: [Vec<f32>; 2],
    pub(crate) hidden: usize,
}

impl BiLstm {
    /// Reads `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0` and their `_reverse` counterparts. All is f32,
    /// whatever the scope's products are: what a recurrence rounds off, it rounds off again at every step.
    pub fn load(scope: &Scope<'_>, input: usize, hidden: usize) -> Result<Self> {
        let gates = 4 * hidden;
        let read = |suffix: &str| -> Result<_> {
            let weight = scope.tensor(&format!("weight_ih_l0{suffix}"), &[gates, input])?;
            let bias = (scope.tensor(&format!("bias_ih_l0{suffix}"), &[gates])?
                + scope.tensor(&format!("bias_hh_l0{suffix}"), &[gates])?)?;
            Ok((weight, bias, scope.values(&format!("weight_hh_l0{suffix}"), &[gates, hidden])?))
        };
        let ((forward, forward_bias, forward_recurrent), (backward, backward_bias, backward_recurrent)) =
            (read("")?, read("_reverse")?);
        Self::new(&LstmWeights {
            input: Tensor::cat(&[forward, backward], 0)?,
            bias: Tensor::cat(&[forward_bias, backward_bias], 0)?,
            recurrent: [forward_recurrent, backward_recurrent],
            hidden,
        })
    }

    fn new(weights: &LstmWeights) -> Result<Self> {
        debug_assert_eq!(weights.input.dtype(), DType::F32);
        #[cfg(feature = "cuda")]
        if weights.input.device().is_cuda() && weights.hidden <= crate::card::MOST_HIDDEN {
            return Ok(Self::Card(crate::card::CardLstm::new(weights)?));
        }
        Ok(if is_cpu(&weights.input) {
            Self::Kernel(KernelLstm::new(weights)?)
        } else {
            Self::Stock(StockLstm::new(weights)?)
        })
    }

    /// Rows are those of one sequence after the other, whose lengths are `lens`.
    pub fn forward(&self, x: &Tensor, lens: &[usize], watch: &dyn Watch) -> Result<Tensor> {
        match self {
            Self::Kernel(lstm) => lstm.forward(x, lens, watch),
            #[cfg(feature = "cuda")]
            Self::Card(lstm) => lstm.forward(x, lens, watch),
            Self::Stock(lstm) => lstm.forward(x, lens, watch),
        }
    }
}

/// The layer on the CPU.
#[derive(Debug, Clone)]
pub struct KernelLstm {
    /// Input to the gates of both directions, with both biases.
    input: Linear,
    directions: [Recurrence; 2],
    hidden: usize,
}

/// The recurrent half of one direction.
#[derive(Debug, Clone)]
struct Recurrence {
    /// The matrix `(4 * hidden, hidden)` as panels of [`PANEL`] gates: `[panel][hidden][gate in panel]`, padded with zeros.
    panels: Vec<f32>,
}

impl KernelLstm {
    fn new(weights: &LstmWeights) -> Result<Self> {
        let recurrence = |values: &Vec<f32>| Recurrence::new(values, weights.hidden);
        Ok(Self {
            input: Linear::new(&weights.input, weights.bias.clone())?,
            directions: weights.recurrent.each_ref().map(recurrence),
            hidden: weights.hidden,
        })
    }

    fn forward(&self, x: &Tensor, lens: &[usize], watch: &dyn Watch) -> Result<Tensor> {
        let gates = self.input.forward(x, watch)?;
        let (len, hidden) = (x.dims2()?.0, self.hidden);
        let mut rest: &[f32] = &view(&gates)?;
        let mut out = Vec::with_capacity(len * 2 * hidden);
        for len in lens {
            let (gates, others) = rest.split_at(len * 8 * hidden);
            self.run(gates, &mut out, watch)?;
            rest = others;
        }
        matrix(out, len, 2 * hidden)
    }

    /// One sequence, from the input's part of its gates.
    fn run(&self, values: &[f32], out: &mut Vec<f32>, watch: &dyn Watch) -> Result<()> {
        let hidden = self.hidden;
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
        for (forward, backward) in forward.chunks_exact(hidden).zip(backward.chunks_exact(hidden).rev()) {
            out.extend_from_slice(forward);
            out.extend_from_slice(backward);
        }
        Ok(())
    }
}

impl Recurrence {
    /// `weight` is `[4 * hidden][hidden]`.
    fn new(weight: &[f32], hidden: usize) -> Self {
        let mut panels = vec![0.0; (4 * hidden).div_ceil(PANEL) * hidden * PANEL];
        for (gate, row) in weight.chunks_exact(hidden).enumerate() {
            let panel = &mut panels[gate / PANEL * hidden * PANEL..];
            for (unit, value) in row.iter().enumerate() {
                panel[unit * PANEL + gate % PANEL] = *value;
            }
        }
        Self { panels }
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
                    *sum = math::fma::<FMA>(*h, *weight, *sum);
                }
            }
            gates.copy_from_slice(&sums);
        }
        let (input, rest) = gates.split_at(hidden);
        let (forget, rest) = rest.split_at(hidden);
        let (cell, output) = rest.split_at(hidden);
        for unit in 0..hidden {
            let kept = math::sigmoid::<FMA>(forget[unit]) * c[unit];
            c[unit] = math::fma::<FMA>(math::sigmoid::<FMA>(input[unit]), math::tanh::<FMA>(cell[unit]), kept);
            h[unit] = math::sigmoid::<FMA>(output[unit]) * math::tanh::<FMA>(c[unit]);
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
        for (input, hidden, lens) in [(3, 5, vec![30]), (4, 2, vec![1]), (3, 4, vec![7, 1, 12, 7])] {
            let len = lens.iter().sum::<usize>();
            let recurrent = [(); 2].map(|()| random(&[4 * hidden * hidden]).to_vec1().unwrap());
            let (input, bias, x) =
                (random(&[8 * hidden, input]), random(&[8 * hidden]), random(&[len, input]));
            let weights = LstmWeights { input, bias, recurrent, hidden };
            let ours = KernelLstm::new(&weights).unwrap().forward(&x, &lens, &Unwatched).unwrap();
            assert_same(&ours, &StockLstm::new(&weights).unwrap().forward(&x, &lens, &Unwatched).unwrap());
        }
    }
}
