//! Convolutions along the time of `(time, channels)`, of which a linear layer is the narrowest, with what follows them.
//!
//! Rows lie one after the other, so the window of k rows is k * channels numbers in line: on the CPU the whole convolution is
//! one matrix product whose left operand overlaps itself. Nothing is transposed or unfolded.

use crate::{
    Activation, LayerNorm, Result, Scope, Watch,
    cpu::{Panels, Tile, View, view},
    factor::{Factor, multiply},
    watch::tick,
};
use candle_core::{DType, Tensor};
use std::{borrow::Cow, ops::Range};

/// The geometry of a [`RowConv`]: its stride is 1, and `before` and `after` rows of zeros are put around the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowShape {
    pub input: usize,
    pub output: usize,
    pub kernel: usize,
    pub before: usize,
    pub after: usize,
}

impl RowShape {
    /// Keeps the length; a row sees itself and the `kernel - 1` rows before it.
    pub fn causal(input: usize, output: usize, kernel: usize) -> Self {
        Self { input, output, kernel, before: kernel - 1, after: 0 }
    }

    /// Keeps the length; a row sees itself and the `kernel - 1` rows after it.
    pub fn looking_ahead(input: usize, output: usize, kernel: usize) -> Self {
        Self { input, output, kernel, before: 0, after: kernel - 1 }
    }

    fn output_len(self, len: usize) -> usize {
        (len + self.before + self.after + 1).saturating_sub(self.kernel)
    }
}

/// What is done to the output of a [`RowConv`] while it is in cache.
#[derive(Debug, Clone, Copy)]
pub enum Then<'a> {
    Nothing,
    /// An activation without parameters of a channel.
    Activate(Activation<'a>),
    /// Adds a tensor of the output's shape.
    Add(&'a Tensor),
}

#[cfg(feature = "cuda")]
impl<'a> Then<'a> {
    /// As an activation, and what is added to it.
    fn parts(self) -> (Activation<'a>, Option<&'a Tensor>) {
        match self {
            Self::Nothing => (Activation::Identity, None),
            Self::Activate(activation) => (activation, None),
            Self::Add(other) => (Activation::Identity, Some(other)),
        }
    }
}

/// `(time, input)` to `(time', output)`.
#[derive(Debug, Clone)]
pub struct RowConv {
    weight: Weight,
    /// `(output)`, f32.
    bias: Option<Tensor>,
    shape: RowShape,
    /// On a card what comes out of a linear layer is in the precision of the product.
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "a card asks"))]
    stays: bool,
}

#[derive(Debug, Clone)]
enum Weight {
    /// `(kernel * input, output)`.
    Factor(Factor),
    /// On a card, of a convolution.
    #[cfg(feature = "cuda")]
    Card(crate::card::CardConv),
}

impl RowConv {
    /// Reads `weight`, `(output, input, kernel)`, and `bias`.
    pub fn load(scope: &Scope<'_>, shape: RowShape) -> Result<Self> {
        let RowShape { input, output, kernel, .. } = shape;
        let weight = scope.tensor("weight", &[output, input, kernel])?;
        let weight = weight.permute((2, 1, 0))?.contiguous()?.reshape((kernel * input, output))?;
        let bias = Some(scope.tensor("bias", &[output])?);
        #[cfg(feature = "cuda")]
        if weight.device().is_cuda() {
            let plan = crate::implicit::Plan::row_conv(&weight.to_dtype(scope.dtype())?, shape)?;
            let weight = Weight::Card(crate::card::CardConv::new(plan)?);
            return Ok(Self { weight, bias, shape, stays: false });
        }
        Ok(Self::new(Factor::of_inputs(&weight, scope.products())?, bias, shape))
    }

    fn new(factor: Factor, bias: Option<Tensor>, shape: RowShape) -> Self {
        Self { weight: Weight::Factor(factor), bias, shape, stays: false }
    }

    /// A linear layer: reads `weight`, `(output, input)`, and `bias`.
    pub fn load_linear(scope: &Scope<'_>, input: usize, output: usize) -> Result<Self> {
        Self::load_side_by_side(scope, &[""], (input, output), true)
    }

    /// A linear layer: reads `weight`, `(output, input)`.
    pub fn load_linear_without_bias(scope: &Scope<'_>, input: usize, output: usize) -> Result<Self> {
        Self::load_side_by_side(scope, &[""], (input, output), false)
    }

    /// Linear layers of one input as one layer, whose output is theirs side by side: reads `<name>.weight` of each,
    /// `(output, input)`, and if they are `biased` `<name>.bias`.
    pub fn load_side_by_side(
        scope: &Scope<'_>,
        names: &[&str],
        (input, output): (usize, usize),
        biased: bool,
    ) -> Result<Self> {
        let all = names.len() * output;
        let weight = scope.upload(scope.stacked(names, "weight", &[output, input])?, &[all, input])?;
        let bias = biased.then(|| scope.upload(scope.stacked(names, "bias", &[output])?, &[all]));
        let shape = RowShape::causal(input, all, 1);
        Ok(Self::new(Factor::of_outputs(&weight, scope.products())?, bias.transpose()?, shape))
    }

    /// The same linear layer, of which only products are made, by layers of the same precision, or attention: on a card it comes out in that.
    #[must_use]
    pub fn for_products(self) -> Self {
        Self { stays: true, ..self }
    }

    /// Rows before or after its own that a row sees, at most.
    pub fn reach(&self) -> usize {
        self.shape.before.max(self.shape.after)
    }

    pub fn forward(&self, x: &Tensor, then: Then<'_>, watch: &dyn Watch) -> Result<Tensor> {
        match &self.weight {
            Weight::Factor(Factor::Panels(panels)) => self.fused(x, panels, then, watch),
            Weight::Factor(Factor::Tensor(weight)) => {
                tick(watch)?;
                #[cfg(feature = "cuda")]
                if x.device().is_cuda() {
                    return self.on_card(x, weight, then);
                }
                self.stock(x, weight, then)
            }
            #[cfg(feature = "cuda")]
            Weight::Card(card) => {
                tick(watch)?;
                let (activation, residual) = then.parts();
                card.forward(x, crate::card::Added { bias: self.bias.as_ref(), activation, residual })
            }
        }
    }

    /// The output plus `other`, and what `norm` makes of that: on a card in the launch that follows a linear layer's product.
    pub fn forward_add_norm(
        &self,
        x: &Tensor,
        other: &Tensor,
        norm: &LayerNorm,
        watch: &dyn Watch,
    ) -> Result<(Tensor, Tensor)> {
        #[cfg(feature = "cuda")]
        if let (Weight::Factor(Factor::Tensor(weight)), true) = (&self.weight, x.device().is_cuda()) {
            tick(watch)?;
            let product = x.to_dtype(weight.dtype())?.contiguous()?.matmul(weight)?;
            if let Some(both) = norm.of_sum(&product, (self.bias.as_ref(), other))? {
                return Ok(both);
            }
        }
        let sum = self.forward(x, Then::Add(other), watch)?;
        let normal = norm.forward(&sum, watch)?;
        Ok((sum, normal))
    }

    /// A linear layer on a card: a product, and what follows it in one launch.
    #[cfg(feature = "cuda")]
    fn on_card(&self, x: &Tensor, weight: &Tensor, then: Then<'_>) -> Result<Tensor> {
        let out = x.to_dtype(weight.dtype())?.contiguous()?.matmul(weight)?;
        let dtype = if self.stays { out.dtype() } else { DType::F32 };
        if self.bias.is_none() && matches!(then, Then::Nothing) && out.dtype() == dtype {
            return Ok(out);
        }
        let (activation, other) = then.parts();
        crate::card::finish_rows(&out, self.bias.as_ref(), activation, other, dtype)
    }

    fn fused(&self, x: &Tensor, panels: &Panels, then: Then<'_>, watch: &dyn Watch) -> Result<Tensor> {
        let RowShape { input, output, .. } = self.shape;
        let rows = self.shape.output_len(x.dims2()?.0);
        let x = view(x)?;
        let x = self.padded(&x);
        let bias = self.bias.as_ref().map(view).transpose()?;
        let tail = Tail::of(then)?;
        let write = |row: usize, cols: Range<usize>, sums: &[f32], out: &mut [f32]| {
            out.copy_from_slice(sums);
            if let Some(bias) = &bias {
                out.iter_mut().zip(&bias[cols.clone()]).for_each(|(out, bias)| *out += bias);
            }
            if let Tail::Add(other) = &tail {
                out.iter_mut().zip(&other[row * output..][cols]).for_each(|(out, other)| *out += other);
            }
        };
        let end = |tile: &mut Tile<'_>| {
            if let Tail::Activate(activation) = &tail {
                let mut copy = vec![0.0; tile.cols.len()];
                for row in tile.rows.clone() {
                    copy.copy_from_slice(tile.row(row));
                    tile.fill_row(row, |out| activation.modulate(0, (1.0, 0.0), &copy, out));
                }
            }
        };
        multiply((&x, input, rows), panels, write, end, watch)
    }

    /// The input with its rows of zeros.
    fn padded<'a>(&self, x: &'a [f32]) -> Cow<'a, [f32]> {
        let RowShape { input, before, after, .. } = self.shape;
        if before + after == 0 {
            return Cow::Borrowed(x);
        }
        let mut padded = Vec::with_capacity(x.len() + (before + after) * input);
        padded.resize(before * input, 0.0);
        padded.extend_from_slice(x);
        padded.resize(padded.len() + after * input, 0.0);
        Cow::Owned(padded)
    }

    /// The same out of candle's ops.
    fn stock(&self, x: &Tensor, weight: &Tensor, then: Then<'_>) -> Result<Tensor> {
        let RowShape { kernel, before, after, .. } = self.shape;
        let rows = self.shape.output_len(x.dims2()?.0);
        let mut x = x.to_dtype(weight.dtype())?;
        if kernel > 1 {
            let padded = x.pad_with_zeros(0, before, after)?;
            let taps = (0..kernel)
                .map(|tap| padded.narrow(0, tap, rows))
                .collect::<candle_core::Result<Vec<_>>>()?;
            x = Tensor::cat(&taps, 1)?;
        }
        let mut out = x.contiguous()?.matmul(weight)?.to_dtype(DType::F32)?;
        if let Some(bias) = &self.bias {
            out = out.broadcast_add(bias)?;
        }
        match then {
            Then::Nothing => Ok(out),
            Then::Activate(activation) => activation.stock(&out),
            Then::Add(other) => Ok((out + other)?),
        }
    }
}

/// A [`Then`] whose numbers are at hand.
enum Tail<'a> {
    Nothing,
    Activate(crate::activation::Ready<'a>),
    Add(View<'a>),
}

impl<'a> Tail<'a> {
    fn of(then: Then<'a>) -> Result<Self> {
        Ok(match then {
            Then::Nothing => Self::Nothing,
            Then::Activate(activation) => Self::Activate(activation.ready()?),
            Then::Add(other) => Self::Add(view(other)?),
        })
    }
}

/// Each row twice: nearest-neighbour upsampling by two of `(time, channels)`.
pub fn repeat_rows_twice(x: &Tensor, watch: &dyn Watch) -> Result<Tensor> {
    tick(watch)?;
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return crate::card::repeat_twice(x, true);
    }
    let (rows, cols) = x.dims2()?;
    Ok(x.unsqueeze(1)?.broadcast_as((rows, 2, cols))?.contiguous()?.reshape((2 * rows, cols))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Conv1d, ConvShape, Unwatched, stock_test::assert_same};
    use candle_core::Device;

    fn random(dims: &[usize]) -> Tensor {
        Tensor::randn(0f32, 1.0, dims, &Device::Cpu).unwrap()
    }

    /// And its weight, `(kernel * input, output)`.
    fn conv(shape: RowShape) -> (RowConv, Tensor) {
        let RowShape { input, output, kernel, .. } = shape;
        let scale = 1.0 / ((kernel * input) as f64).sqrt();
        let weight = (random(&[kernel * input, output]) * scale).unwrap();
        let factor = Factor::of_inputs(&weight, stentor_types::Precision::F32).unwrap();
        (RowConv::new(factor, Some(random(&[output])), shape), weight)
    }

    #[test]
    fn candles_ops_give_the_same() {
        for shape in
            [RowShape::causal(24, 300, 3), RowShape::looking_ahead(24, 30, 4), RowShape::causal(24, 7, 1)]
        {
            let ((conv, weight), x, other) = (conv(shape), random(&[250, 24]), random(&[250, shape.output]));
            for then in [Then::Nothing, Then::Activate(Activation::Mish), Then::Add(&other)] {
                assert_same(
                    &conv.forward(&x, then, &Unwatched).unwrap(),
                    &conv.stock(&x, &weight, then).unwrap(),
                );
            }
        }
    }

    #[test]
    fn a_row_sees_the_rows_that_its_name_says() {
        let x = random(&[9, 4]);
        let changed = Tensor::cat(&[x.narrow(0, 0, 5).unwrap(), random(&[4, 4])], 0).unwrap();
        let (causal, _) = conv(RowShape::causal(4, 6, 3));
        let [was, is] = [&x, &changed].map(|x| causal.forward(x, Then::Nothing, &Unwatched).unwrap());
        assert_same(&was.narrow(0, 0, 5).unwrap(), &is.narrow(0, 0, 5).unwrap());
        let (ahead, _) = conv(RowShape::looking_ahead(4, 6, 3));
        let [was, is] = [&x, &changed].map(|x| ahead.forward(x, Then::Nothing, &Unwatched).unwrap());
        assert_same(&was.narrow(0, 0, 3).unwrap(), &is.narrow(0, 0, 3).unwrap());
        assert_ne!(was.to_vec2::<f32>().unwrap()[3], is.to_vec2::<f32>().unwrap()[3]);
    }

    #[test]
    fn it_is_the_convolution_of_the_transposed_matrix() {
        let ((ours, weight), x) =
            (conv(RowShape { before: 1, ..RowShape::looking_ahead(5, 8, 3) }), random(&[20, 5]));
        let ours = RowConv { shape: RowShape { after: 1, ..ours.shape }, ..ours };
        let kernel = weight.reshape((3, 5, 8)).unwrap().permute((2, 1, 0)).unwrap();
        let shape = ConvShape::same(5, 8, 3, 1);
        let theirs = Conv1d::new(&kernel.contiguous().unwrap(), ours.bias.clone(), shape).unwrap();
        let theirs = theirs.forward(&x.t().unwrap().contiguous().unwrap(), &Unwatched).unwrap();
        let ours = ours.forward(&x, Then::Nothing, &Unwatched).unwrap();
        assert_same(&ours, &theirs.t().unwrap().contiguous().unwrap());
    }

    #[test]
    fn rows_are_repeated_in_place() {
        let x = Tensor::new(&[[1f32, 2.0], [3.0, 4.0]], &Device::Cpu).unwrap();
        let twice = repeat_rows_twice(&x, &Unwatched).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(twice, [[1.0, 2.0], [1.0, 2.0], [3.0, 4.0], [3.0, 4.0]]);
    }
}
