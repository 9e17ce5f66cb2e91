//! The residual block of the vocoder: pairs of convolutions, the first of each dilated, each after a snake activation.

use candle_core::Tensor;
use stentor_nn::{Activation, Conv1d, ConvShape, Packing, Result, Scope, Watch, activate_packed};

const DILATIONS: [usize; 3] = [1, 3, 5];
/// Keeps the snake of a channel with α = 0 finite: it is the identity then.
const ALPHA_EPS: f64 = 1e-9;

#[derive(Debug, Clone)]
pub(super) struct SnakeBlock {
    pairs: Vec<[SnakeConv; 2]>,
}

#[derive(Debug, Clone)]
struct SnakeConv {
    alpha: Tensor,
    conv: Conv1d,
    reach: usize,
}

impl SnakeBlock {
    /// The kernel's size follows from the tensors.
    pub(super) fn load(scope: &Scope<'_>, channels: usize) -> Result<Self> {
        const USUAL_KERNEL: usize = 3;
        let shape = scope.at("convs1.0").shape("weight_v");
        let kernel = shape.and_then(|shape| shape.last().copied()).unwrap_or(USUAL_KERNEL);
        let half = |half: usize, index: usize, dilation: usize| -> Result<SnakeConv> {
            let shape = ConvShape::same(channels, channels, kernel, dilation);
            let alpha = scope.at(format!("activations{half}.{index}")).tensor("alpha", &[channels])?;
            Ok(SnakeConv {
                alpha: (alpha + ALPHA_EPS)?,
                conv: Conv1d::load_for_sound(&scope.at(format!("convs{half}.{index}")), shape)?,
                reach: shape.reach(),
            })
        };
        let pair = |(index, &dilation): (usize, &usize)| Ok([half(1, index, dilation)?, half(2, index, 1)?]);
        Ok(Self { pairs: DILATIONS.iter().enumerate().map(pair).collect::<Result<_>>()? })
    }

    /// `(channels, time)` to the same; `packing` is how it is packed.
    pub(super) fn forward(&self, x: &Tensor, packing: &Packing, watch: &dyn Watch) -> Result<Tensor> {
        let mut x = x.clone();
        for [first, second] in &self.pairs {
            let inner = first.conv.forward(&first.activate(&x, packing, watch)?, watch)?;
            x = second.conv.forward_add(&second.activate(&inner, packing, watch)?, &x, watch)?;
        }
        Ok(x)
    }

    /// Columns before or after its own that a column is computed from by one convolution, at most.
    pub(super) fn reach(&self) -> usize {
        self.pairs.iter().flatten().map(|each| each.reach).max().unwrap_or_default()
    }
}

impl SnakeConv {
    fn activate(&self, x: &Tensor, packing: &Packing, watch: &dyn Watch) -> Result<Tensor> {
        activate_packed(x, Activation::Snake(&self.alpha), packing, watch)
    }
}
