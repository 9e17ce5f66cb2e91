//! Activation functions, alone or as the tail of a normalisation.

use crate::{
    Result, Watch,
    cpu::{View, for_rows, is_cpu, math, matrix, simd, view},
    watch::tick,
};
use candle_core::Tensor;

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
}

/// An [`Activation`] whose parameters are at hand as numbers.
pub(crate) enum Ready<'a> {
    LeakyRelu(f32),
    Snake(View<'a>),
    GeluTanh,
}

impl<'a> Activation<'a> {
    pub(crate) fn ready(self) -> Result<Ready<'a>> {
        Ok(match self {
            Self::Identity => Ready::LeakyRelu(1.0),
            Self::LeakyRelu(slope) => Ready::LeakyRelu(slope),
            Self::Snake(alpha) => Ready::Snake(view(alpha)?),
            Self::GeluTanh => Ready::GeluTanh,
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
        })
    }
}

impl Ready<'_> {
    /// `activation(x * scale + shift)` of one channel.
    pub(crate) fn modulate(&self, channel: usize, affine: (f32, f32), x: &[f32], out: &mut [f32]) {
        match self {
            Self::LeakyRelu(slope) => modulate_leaky(x, affine.0, affine.1, *slope, out),
            Self::Snake(alpha) => modulate_snake(x, affine.0, affine.1, alpha[channel], out),
            Self::GeluTanh => modulate_gelu(x, affine.0, affine.1, out),
        }
    }
}

simd! {
    fn modulate_leaky(x: &[f32], scale: f32, shift: f32, slope: f32, out: &mut [f32]) {
        for (out, x) in out.iter_mut().zip(x) {
            let y = x.mul_add(scale, shift);
            *out = if y > 0.0 { y } else { y * slope };
        }
    }
}

simd! {
    fn modulate_snake(x: &[f32], scale: f32, shift: f32, alpha: f32, out: &mut [f32]) {
        let inverse = 1.0 / alpha;
        for (out, x) in out.iter_mut().zip(x) {
            let y = x.mul_add(scale, shift);
            let wave = math::sin(alpha * y);
            *out = (wave * wave).mul_add(inverse, y);
        }
    }
}

simd! {
    fn modulate_gelu(x: &[f32], scale: f32, shift: f32, out: &mut [f32]) {
        // sqrt(2 / pi)
        const ROOT: f32 = 0.797_884_6;
        for (out, x) in out.iter_mut().zip(x) {
            let y = x.mul_add(scale, shift);
            let inner = ROOT * (y * y * y).mul_add(0.044_715, y);
            *out = 0.5 * y * (1.0 + math::tanh(inner));
        }
    }
}

/// Applies `activation` to a `(channels, time)` tensor.
pub fn activate(x: &Tensor, activation: Activation<'_>, watch: &dyn Watch) -> Result<Tensor> {
    if !is_cpu(x) {
        tick(watch)?;
        return activation.stock(x);
    }
    let (rows, cols) = x.dims2()?;
    let (values, ready) = (view(x)?, activation.ready()?);
    let out = for_rows(rows, cols, watch, |row, out| {
        ready.modulate(row, (1.0, 0.0), &values[row * cols..][..cols], out);
    })?;
    matrix(out, rows, cols)
}

simd! {
    fn accumulate(x: &[f32], scale: f32, out: &mut [f32]) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = x.mul_add(scale, *out);
        }
    }
}

/// The mean of tensors of one shape `(channels, time)`; at least one is given.
pub fn mean_of(parts: &[Tensor], watch: &dyn Watch) -> Result<Tensor> {
    let scale = 1.0 / parts.len() as f32;
    if !is_cpu(&parts[0]) {
        tick(watch)?;
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
