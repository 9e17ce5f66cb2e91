//! Activation functions, alone or as the tail of a normalisation.

use crate::{
    Deferred, Packing, Result, Watch,
    cpu::{View, for_new_rows, for_rows, is_cpu, math, matrix, simd, view, written},
    watch::tick,
};
use candle_core::Tensor;
use std::mem::MaybeUninit;

/// What is applied to each element.
#[derive(Debug, Clone, Copy)]
pub enum Activation<'a> {
    Identity,
    /// x for x > 0, else slope times x.
    LeakyRelu(f32),
    /// x + sin²(αx) / α with one α for each channel, a tensor of shape `(channels)`.
    Snake(&'a Tensor),
    /// GELU in its tanh approximation (`gelu_new`).
    GeluTanh,
    /// GELU as it is defined, by the error function.
    GeluErf,
    /// x sigmoid(x), also called swish.
    Silu,
    /// x tanh(log(1 + eˣ)).
    Mish,
    /// x for x > 0, else eˣ - 1.
    Elu,
    Tanh,
    Sigmoid,
}

/// An [`Activation`] whose parameters are at hand as numbers.
pub(crate) enum Ready<'a> {
    LeakyRelu(f32),
    Snake(View<'a>),
    Plain(fn(&[f32], f32, f32, &mut [MaybeUninit<f32>])),
}

impl<'a> Activation<'a> {
    pub(crate) fn ready(self) -> Result<Ready<'a>> {
        Ok(match self {
            Self::Identity => Ready::LeakyRelu(1.0),
            Self::LeakyRelu(slope) => Ready::LeakyRelu(slope),
            Self::Snake(alpha) => Ready::Snake(view(alpha)?),
            Self::GeluTanh => Ready::Plain(modulate_gelu),
            Self::GeluErf => Ready::Plain(modulate_gelu_erf),
            Self::Silu => Ready::Plain(modulate_silu),
            Self::Mish => Ready::Plain(modulate_mish),
            Self::Elu => Ready::Plain(modulate_elu),
            Self::Tanh => Ready::Plain(modulate_tanh),
            Self::Sigmoid => Ready::Plain(modulate_sigmoid),
        })
    }

    /// The same out of candle's ops, for `(channels, time)`.
    pub(crate) fn stock(self, x: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Identity => x.clone(),
            Self::LeakyRelu(slope) => x.maximum(&(x * f64::from(slope))?)?,
            Self::Snake(alpha) => {
                let alpha = alpha.unsqueeze(1)?;
                let wave = x.broadcast_mul(&alpha)?.sin()?.sqr()?;
                (x + wave.broadcast_div(&alpha)?)?
            }
            Self::GeluTanh => x.gelu()?,
            Self::GeluErf => x.gelu_erf()?,
            Self::Silu => x.silu()?,
            // Beyond 20 the tangent is 1 in f32, and the exponential would be infinite.
            Self::Mish => {
                let e = x.minimum(20.0)?.exp()?;
                let square = (e.sqr()? + (e * 2.0)?)?;
                ((x * &square)? / (square + 2.0)?)?
            }
            Self::Elu => x.elu(1.0)?,
            Self::Tanh => x.tanh()?,
            Self::Sigmoid => (x.neg()?.exp()? + 1.0)?.recip()?,
        })
    }
}

impl Ready<'_> {
    /// `activation(x * scale + shift)` of one channel, written to `out`, which is as long as `x` and is returned.
    pub(crate) fn modulate<'b>(
        &self,
        channel: usize,
        affine: (f32, f32),
        x: &[f32],
        out: &'b mut [MaybeUninit<f32>],
    ) -> &'b mut [f32] {
        assert_eq!(x.len(), out.len(), "lengths");
        match self {
            Self::LeakyRelu(slope) => modulate_leaky(x, affine.0, affine.1, *slope, out),
            Self::Snake(alpha) => modulate_snake(x, affine.0, affine.1, alpha[channel], out),
            Self::Plain(modulate) => modulate(x, affine.0, affine.1, out),
        }
        #[expect(unsafe_code, reason = "nothing but this knows")]
        // SAFETY: each of the functions writes as many numbers as both slices have.
        unsafe {
            written(out)
        }
    }
}

simd! {
    fn modulate_leaky(x: &[f32], scale: f32, shift: f32, slope: f32, out: &mut [MaybeUninit<f32>]) {
        for (out, x) in out.iter_mut().zip(x) {
            let y = math::fma::<FMA>(*x, scale, shift);
            out.write(if y > 0.0 { y } else { y * slope });
        }
    }
}

simd! {
    fn modulate_snake(x: &[f32], scale: f32, shift: f32, alpha: f32, out: &mut [MaybeUninit<f32>]) {
        let inverse = 1.0 / alpha;
        for (out, x) in out.iter_mut().zip(x) {
            let y = math::fma::<FMA>(*x, scale, shift);
            let wave = math::sin::<FMA>(alpha * y);
            out.write(math::fma::<FMA>(wave * wave, inverse, y));
        }
    }
}

simd! {
    fn modulate_gelu(x: &[f32], scale: f32, shift: f32, out: &mut [MaybeUninit<f32>]) {
        // sqrt(2 / pi)
        const ROOT: f32 = 0.797_884_6;
        for (out, x) in out.iter_mut().zip(x) {
            let y = math::fma::<FMA>(*x, scale, shift);
            let inner = ROOT * math::fma::<FMA>(y * y * y, 0.044_715, y);
            out.write(0.5 * y * (1.0 + math::tanh::<FMA>(inner)));
        }
    }
}

/// A kernel `out = f(x * scale + shift)`.
macro_rules! pointwise {
    ($name:ident, |$y:ident| $f:expr) => {
        simd! {
            fn $name(x: &[f32], scale: f32, shift: f32, out: &mut [MaybeUninit<f32>]) {
                for (out, x) in out.iter_mut().zip(x) {
                    let $y = math::fma::<FMA>(*x, scale, shift);
                    out.write($f);
                }
            }
        }
    };
}

pointwise!(modulate_gelu_erf, |y| 0.5 * y * (1.0 + math::erf::<FMA>(y * std::f32::consts::FRAC_1_SQRT_2)));
pointwise!(modulate_silu, |y| y * math::sigmoid::<FMA>(y));
pointwise!(modulate_mish, |y| {
    let e = math::exp::<FMA>(y.min(20.0));
    let square = math::fma::<FMA>(e, e, 2.0 * e);
    y * (square / (square + 2.0))
});
pointwise!(modulate_elu, |y| if y > 0.0 { y } else { math::exp::<FMA>(y.min(0.0)) - 1.0 });
pointwise!(modulate_tanh, |y| math::tanh::<FMA>(y));
pointwise!(modulate_sigmoid, |y| math::sigmoid::<FMA>(y));

/// Applies `activation` to a `(channels, time)` tensor.
pub fn activate(x: &Tensor, activation: Activation<'_>, watch: &dyn Watch) -> Result<Tensor> {
    if !is_cpu(x) {
        tick(watch)?;
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            return crate::card::activate(x, activation, None);
        }
        return activation.stock(x);
    }
    let (rows, cols) = x.dims2()?;
    let (values, ready) = (view(x)?, activation.ready()?);
    let out = for_new_rows(rows, cols, watch, |row, out| {
        ready.modulate(row, (1.0, 0.0), &values[row * cols..][..cols], out)
    })?;
    matrix(out, rows, cols)
}

/// [`activate`], with zeros in the columns that are nobody's; the activation must leave zero alone.
pub fn activate_packed(
    x: &Tensor,
    activation: Activation<'_>,
    packing: &Packing,
    watch: &dyn Watch,
) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        tick(watch)?;
        return crate::card::activate(x, activation, Some(packing));
    }
    if is_cpu(x) {
        return Deferred::active(x.clone(), activation, packing, watch)?.finish(watch);
    }
    activate(&packing.clear_gaps(x)?, activation, watch)
}

simd! {
    fn accumulate(x: &[f32], scale: f32, out: &mut [f32]) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = math::fma::<FMA>(*x, scale, *out);
        }
    }
}

/// The mean of tensors of one shape `(channels, time)`; at least one is given.
pub fn mean_of(parts: &[Tensor], watch: &dyn Watch) -> Result<Tensor> {
    let scale = 1.0 / parts.len() as f32;
    if !is_cpu(&parts[0]) {
        tick(watch)?;
        #[cfg(feature = "cuda")]
        if let ([a, b, c], true) = (parts, parts[0].device().is_cuda()) {
            return crate::card::mean_of_three([a, b, c]);
        }
        let mut sum = parts[0].clone();
        for part in &parts[1..] {
            sum = (sum + part)?;
        }
        return Ok((sum * f64::from(scale))?);
    }
    let (rows, cols) = parts[0].dims2()?;
    let views = parts.iter().map(view).collect::<Result<Vec<_>>>()?;
    let out = for_rows(rows, cols, watch, |row, out| {
        for values in &views {
            accumulate(&values[row * cols..][..cols], scale, out);
        }
    })?;
    matrix(out, rows, cols)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Unwatched, stock_test::assert_same};
    use candle_core::Device;

    #[test]
    fn candles_ops_give_the_same() {
        let x = (Tensor::randn(0f32, 4.0, (7, 300), &Device::Cpu).unwrap()).clamp(-30.0, 30.0).unwrap();
        let all = [
            Activation::GeluTanh,
            Activation::GeluErf,
            Activation::Silu,
            Activation::Mish,
            Activation::Elu,
            Activation::Tanh,
            Activation::Sigmoid,
        ];
        for activation in all {
            assert_same(&activate(&x, activation, &Unwatched).unwrap(), &activation.stock(&x).unwrap());
        }
    }
}
