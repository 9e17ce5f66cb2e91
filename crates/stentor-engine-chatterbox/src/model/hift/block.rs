//! The residual block of the vocoder: pairs of convolutions, the first of each dilated, each after a snake activation.

use candle_core::Tensor;
use stentor_nn::{Activation, Conv1d, ConvShape, Deferred, Packing, Result, Scope, Watch};

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
            })
        };
        let pair = |(index, &dilation): (usize, &usize)| Ok([half(1, index, dilation)?, half(2, index, 1)?]);
        Ok(Self { pairs: DILATIONS.iter().enumerate().map(pair).collect::<Result<_>>()? })
    }

    /// `(channels, time)` to the same; `packing` is how it is packed. It goes on with the only one of `x` if it is given that, so that there
    /// is room for the rest.
    pub(super) fn forward(&self, mut x: Tensor, packing: &Packing, watch: &dyn Watch) -> Result<Tensor> {
        for [first, second] in &self.pairs {
            let inner = first.forward(x.clone(), None, packing, watch)?;
            x = second.forward(inner, Some(&x), packing, watch)?;
        }
        Ok(x)
    }

    /// Columns before or after its own that a column is computed from by one convolution, at most.
    pub(super) fn reach(&self) -> usize {
        self.pairs.iter().flatten().map(|each| each.conv.reach()).max().unwrap_or_default()
    }
}

impl SnakeConv {
    /// Activation and convolution of `x`, which is as large as anything here and is let go of as soon as it is not needed.
    fn forward(
        &self,
        x: Tensor,
        residual: Option<&Tensor>,
        packing: &Packing,
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        let active = Deferred::active(x, Activation::Snake(&self.alpha), packing, watch)?;
        self.conv.forward_deferred(active, residual, watch)
    }
}
