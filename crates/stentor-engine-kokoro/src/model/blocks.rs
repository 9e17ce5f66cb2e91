//! The two residual blocks of the family, both styled by adaptive instance norm.

use candle_core::Tensor;
use std::f64::consts::FRAC_1_SQRT_2;
use stentor_nn::{
    Activation, AdaIn, Conv1d, ConvShape, DepthwiseUpsample, Packing, Result, Scope, Watch, repeat_twice,
};

const SLOPE: Activation<'static> = Activation::LeakyRelu(0.2);

/// Whose columns are styled how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Styled<'a> {
    /// `(sequences, style)`.
    pub(super) styles: &'a Tensor,
    pub(super) packing: &'a Packing,
    /// The packing after the length has doubled.
    pub(super) doubled: &'a Packing,
}

/// The block of predictor and decoder (`AdainResBlk1d`): two convolutions of kernel 3, optionally to twice the length.
#[derive(Debug, Clone)]
pub(super) struct StyledBlock {
    norm1: AdaIn,
    conv1: Conv1d,
    norm2: AdaIn,
    conv2: Conv1d,
    /// Where the widths differ.
    shortcut: Option<Conv1d>,
    /// Where the length doubles.
    pool: Option<DepthwiseUpsample>,
}

impl StyledBlock {
    /// `widths` are those of input and output; `for_sound` says that nothing is decided by what comes out.
    pub(super) fn load(
        scope: &Scope<'_>,
        [input, output]: [usize; 2],
        style: usize,
        (upsample, for_sound): (bool, bool),
    ) -> Result<Self> {
        let conv = if for_sound { Conv1d::load_for_sound } else { Conv1d::load };
        let shortcut =
            || Conv1d::load_without_bias(&scope.at("conv1x1"), ConvShape::same(input, output, 1, 1));
        let pool = || DepthwiseUpsample::load(&scope.at("pool"), input);
        Ok(Self {
            norm1: AdaIn::load(&scope.at("norm1"), style, input)?,
            conv1: conv(&scope.at("conv1"), ConvShape::same(input, output, 3, 1))?,
            norm2: AdaIn::load(&scope.at("norm2"), style, output)?,
            conv2: conv(&scope.at("conv2"), ConvShape::same(output, output, 3, 1))?,
            shortcut: (input != output).then(shortcut).transpose()?,
            pool: upsample.then(pool).transpose()?,
        })
    }

    /// Columns before or after its own that a column is computed from by one convolution, at most.
    pub(super) fn reach(&self) -> usize {
        self.conv1.reach().max(self.conv2.reach())
    }

    /// `(input, time)` to `(output, time or twice that)`, and how that is packed.
    pub(super) fn forward<'a>(
        &self,
        x: &Tensor,
        styled: Styled<'a>,
        watch: &dyn Watch,
    ) -> Result<(Tensor, Styled<'a>)> {
        let (styles, mut after) = (styled.styles, styled);
        let inner = self.norm1.defer(x.clone(), (styles, styled.packing), SLOPE, watch)?;
        let (inner, mut outer) = match &self.pool {
            None => (self.conv1.forward_deferred(inner, None, watch)?, x.clone()),
            Some(pool) => {
                after = Styled { packing: styled.doubled, ..styled };
                let inner = pool.forward_packed(&inner.finish(watch)?, after.packing, watch)?;
                (self.conv1.forward(&inner, watch)?, repeat_twice(x, watch)?)
            }
        };
        let inner = self.norm2.defer(inner, (styles, after.packing), SLOPE, watch)?;
        if let Some(shortcut) = &self.shortcut {
            outer = shortcut.forward(&outer, watch)?;
        }
        Ok(((self.conv2.forward_deferred(inner, Some(&outer), watch)? * FRAC_1_SQRT_2)?, after))
    }
}

/// The block of the generator (`AdaINResBlock1`): pairs of convolutions, the first of each dilated, with snake activations.
#[derive(Debug, Clone)]
pub(super) struct SnakeBlock {
    pairs: Vec<[SnakeConv; 2]>,
}

#[derive(Debug, Clone)]
struct SnakeConv {
    norm: AdaIn,
    alpha: Tensor,
    conv: Conv1d,
}

impl SnakeBlock {
    pub(super) fn load(
        scope: &Scope<'_>,
        channels: usize,
        kernel: usize,
        dilations: &[usize],
        style: usize,
    ) -> Result<Self> {
        let half = |half: usize, index: usize, dilation: usize| -> Result<SnakeConv> {
            let part = |name: &str| scope.at(format!("{name}{half}.{index}"));
            let shape = ConvShape::same(channels, channels, kernel, dilation);
            Ok(SnakeConv {
                norm: AdaIn::load(&part("adain"), style, channels)?,
                alpha: part("alpha").tensor("", &[1, channels, 1])?.flatten_all()?,
                conv: Conv1d::load_for_sound(&part("convs"), shape)?,
            })
        };
        let pair = |(index, &dilation): (usize, &usize)| Ok([half(1, index, dilation)?, half(2, index, 1)?]);
        Ok(Self { pairs: dilations.iter().enumerate().map(pair).collect::<Result<_>>()? })
    }

    /// Columns before or after its own that a column is computed from by one convolution, at most.
    pub(super) fn reach(&self) -> usize {
        self.pairs.iter().flatten().map(|each| each.conv.reach()).max().unwrap_or_default()
    }

    /// `(channels, time)` to the same. It goes on with the only one of `x` if it is given that, so that there is room for the rest.
    pub(super) fn forward(
        &self,
        mut x: Tensor,
        styled: (&Tensor, &Packing),
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        for [first, second] in &self.pairs {
            let inner = first.forward(x.clone(), None, styled, watch)?;
            x = second.forward(inner, Some(&x), styled, watch)?;
        }
        Ok(x)
    }
}

impl SnakeConv {
    /// Norm, activation and convolution of `x`, which is as large as anything here and is let go of as soon as it is not needed.
    fn forward(
        &self,
        x: Tensor,
        residual: Option<&Tensor>,
        styled: (&Tensor, &Packing),
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        let active = self.norm.defer(x, styled, Activation::Snake(&self.alpha), watch)?;
        self.conv.forward_deferred(active, residual, watch)
    }
}
