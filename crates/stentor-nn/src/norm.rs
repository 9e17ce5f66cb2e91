//! Normalisations, some with an affine part that depends on a style vector.
//!
//! Mean and variance are taken in two passes over each of some blocks: a row of instance norm may hold 100,000 elements with a
//! mean far from zero, where E[x²] - E[x]² in f32 loses everything.

#[cfg(feature = "cuda")]
use crate::card::AfterNorm;
use crate::{
    Activation, Deferred, Linear, Packing, Result, Scope, Watch,
    cpu::{
        TileSize, for_new_rows, for_rows, for_tiles, is_cpu, math, matrix, rows_at_once, simd, view, zeroed,
    },
    for_each_stretch,
    watch::tick,
};
use candle_core::{D, DType, Tensor};
use stentor_types::Precision;

const STYLE_EPS: f32 = 1e-5;

/// Lanes of few numbers each are put together in single precision first.
#[inline]
fn sum_of_lanes(lanes: &[f32; 64]) -> f64 {
    let [a, b, c, d] = lanes.as_chunks::<16>().0 else { unreachable!("four times sixteen") };
    let quarter = |lane: usize| f64::from((a[lane] + b[lane]) + (c[lane] + d[lane]));
    (0..16).map(quarter).sum()
}

simd! {
    /// The mean of `x` and its biased variance. Blocks have their own, which are put together (Chan, Golub and LeVeque, "Updating
    /// formulae and a pairwise algorithm for computing sample variances", 1979): a row is read from memory once.
    fn moments(x: &[f32]) -> (f32, f32) {
        const LANES: usize = 64;
        const BLOCK: usize = 32 * LANES;
        let (mut count, mut mean, mut squares) = (0.0f64, 0.0f64, 0.0f64);
        for block in x.chunks(BLOCK) {
            let chunks = block.chunks_exact(LANES);
            let (rest, len) = (chunks.remainder(), block.len() as f64);
            let mut lanes = [0.0f32; LANES];
            for chunk in chunks.clone() {
                for (lane, x) in lanes.iter_mut().zip(chunk) {
                    *lane += x;
                }
            }
            let rest_sum = rest.iter().map(|&x| f64::from(x)).sum::<f64>();
            let own = (sum_of_lanes(&lanes) + rest_sum) / len;
            let centre = own as f32;
            let mut lanes = [0.0f32; LANES];
            for chunk in chunks {
                for (lane, x) in lanes.iter_mut().zip(chunk) {
                    let distance = x - centre;
                    *lane = math::fma::<FMA>(distance, distance, *lane);
                }
            }
            let rest = rest.iter().map(|&x| f64::from((x - centre) * (x - centre))).sum::<f64>();
            let around = sum_of_lanes(&lanes) + rest;
            // Around the mean itself, not around its nearest single.
            let own_squares = around - len * (own - f64::from(centre)).powi(2);
            let (distance, total) = (own - mean, count + len);
            squares += own_squares + distance * distance * count * len / total;
            mean += distance * len / total;
            count = total;
        }
        (mean as f32, (squares / count) as f32)
    }
}

/// The scale and shift that bring a row with these moments to zero mean and unit variance, then apply `gain` and `shift`.
fn affine((mean, variance): (f32, f32), eps: f32, gain: f32, shift: f32) -> (f32, f32) {
    let scale = gain / (variance + eps).sqrt();
    (scale, (-mean).mul_add(scale, shift))
}

/// The last dimension of `x` brought to zero mean and unit variance, out of candle's ops.
fn stock_normalize(x: &Tensor, eps: f32) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let deviation = (centred.sqr()?.mean_keepdim(D::Minus1)? + f64::from(eps))?.sqrt()?;
    Ok(centred.broadcast_div(&deviation)?)
}

/// Instance norm, affine part `(sequences, channels)` and activation out of candle's ops.
fn stock_styled(
    x: &Tensor,
    (gain, shift): (&Tensor, &Tensor),
    packing: &Packing,
    activation: Activation<'_>,
) -> Result<Tensor> {
    let (channels, columns) = x.dims2()?;
    let x = packing.clear_gaps(x)?.reshape((channels, packing.count(), columns / packing.count()))?;
    let normal = match packing.mask()? {
        None => stock_normalize(&x, STYLE_EPS)?,
        Some(mask) => {
            let lens: Vec<f32> = packing.lens().iter().map(|&len| len as f32).collect();
            let lens = Tensor::new(lens, x.device())?.reshape((1, packing.count(), 1))?;
            let mean = |x: &Tensor| x.broadcast_mul(&mask)?.sum_keepdim(D::Minus1)?.broadcast_div(&lens);
            let centred = x.broadcast_sub(&mean(&x)?)?;
            let deviation = (mean(&centred.sqr()?)? + f64::from(STYLE_EPS))?.sqrt()?;
            centred.broadcast_div(&deviation)?
        }
    };
    let affine = |x: &Tensor| x.t()?.contiguous()?.unsqueeze(2);
    let styled = normal.broadcast_mul(&affine(gain)?)?.broadcast_add(&affine(shift)?)?;
    packing.clear_gaps(&activation.stock(&styled.flatten_from(1)?)?)
}

simd! {
    fn normalize_row(x: &[f32], affine: (f32, f32), gain: &[f32], shift: &[f32], out: &mut [f32]) {
        let (scale, offset) = affine;
        for (((out, x), gain), shift) in out.iter_mut().zip(x).zip(gain).zip(shift) {
            *out = math::fma::<FMA>(math::fma::<FMA>(*x, scale, offset), *gain, *shift);
        }
    }
}

/// Normalises every row of `(time, channels)`, then multiplies by `gain` and adds `shift`, both `(channels)`.
fn layer_norm(x: &Tensor, gain: &Tensor, shift: &Tensor, eps: f32, watch: &dyn Watch) -> Result<Tensor> {
    if !is_cpu(x) {
        tick(watch)?;
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            return crate::card::layer_norm(x, (gain, shift, eps), &AfterNorm::nothing(DType::F32));
        }
        return Ok(stock_normalize(x, eps)?.broadcast_mul(gain)?.broadcast_add(shift)?);
    }
    let (rows, cols) = x.dims2()?;
    let (values, gain, shift) = (view(x)?, view(gain)?, view(shift)?);
    let out = for_rows(rows, cols, watch, |row, out| {
        let x = &values[row * cols..][..cols];
        normalize_row(x, affine(moments(x), eps, 1.0, 0.0), &gain, &shift, out);
    })?;
    matrix(out, rows, cols)
}

/// Layer norm over the channels of `(time, channels)`.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    pub(crate) gain: Tensor,
    pub(crate) shift: Tensor,
    pub(crate) eps: f32,
    /// Of what comes out on a card.
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "a card asks"))]
    dtype: DType,
}

impl LayerNorm {
    /// `names` are those of the gain and the shift, e.g. `["weight", "bias"]`.
    pub fn load(scope: &Scope<'_>, names: [&str; 2], channels: usize, eps: f32) -> Result<Self> {
        let [gain, shift] = names.map(|name| scope.tensor(name, &[channels]));
        Ok(Self { gain: gain?, shift: shift?, eps, dtype: DType::F32 })
    }

    /// The same norm, of which only products are made, by layers that are read from `scope`: on a card it comes out in their precision.
    #[must_use]
    pub fn for_products(self, scope: &Scope<'_>) -> Self {
        Self { dtype: scope.dtype(), ..self }
    }

    pub fn forward(&self, x: &Tensor, watch: &dyn Watch) -> Result<Tensor> {
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            tick(watch)?;
            return self.on_card(x, &AfterNorm::nothing(self.dtype));
        }
        layer_norm(x, &self.gain, &self.shift, self.eps, watch)
    }

    /// `product` plus `bias` plus `other`, and its norm, if a card can give both at once.
    #[cfg(feature = "cuda")]
    pub(crate) fn of_sum(
        &self,
        product: &Tensor,
        (bias, other): (Option<&Tensor>, &Tensor),
    ) -> Result<Option<(Tensor, Tensor)>> {
        if product.dtype() != self.dtype {
            return Ok(None);
        }
        crate::card::add_layer_norm(product, (bias, other), (&self.gain, &self.shift, self.eps)).map(Some)
    }

    #[cfg(feature = "cuda")]
    fn on_card(&self, x: &Tensor, after: &AfterNorm<'_>) -> Result<Tensor> {
        crate::card::layer_norm(x, (&self.gain, &self.shift, self.eps), after)
    }

    /// The norm, then an activation without parameters of a channel, then `offset`, `(channels)`, added to every row; rows between packed
    /// sequences come out as zeros.
    pub fn forward_activate(
        &self,
        x: &Tensor,
        activation: Activation<'_>,
        (offset, packing): (Option<&Tensor>, &Packing),
        watch: &dyn Watch,
    ) -> Result<Tensor> {
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            tick(watch)?;
            let after = AfterNorm { activation, offset, packing: Some(packing), dtype: self.dtype };
            return self.on_card(x, &after);
        }
        if !is_cpu(x) {
            let out = activation.stock(&self.forward(x, watch)?)?;
            let out = if let Some(offset) = offset { out.broadcast_add(offset)? } else { out };
            return packing.clear_row_gaps(&out);
        }
        let (rows, cols) = x.dims2()?;
        let (values, gain, shift) = (view(x)?, view(&self.gain)?, view(&self.shift)?);
        let (ready, offset) = (activation.ready()?, offset.map(view).transpose()?);
        let (pitch, lens) = (packing.pitch(), packing.lens());
        let out = for_new_rows(rows, cols, watch, |row, out| {
            if row % pitch >= lens[row / pitch] {
                return zeroed(out);
            }
            let x = &values[row * cols..][..cols];
            let mut normal = vec![0.0; cols];
            normalize_row(x, affine(moments(x), self.eps, 1.0, 0.0), &gain, &shift, &mut normal);
            let out = ready.modulate(0, (1.0, 0.0), &normal, out);
            if let Some(offset) = &offset {
                for (out, offset) in out.iter_mut().zip(offset.iter()) {
                    *out += offset;
                }
            }
            out
        })?;
        matrix(out, rows, cols)
    }
}

/// A linear map from a style vector to `(1 + gamma, beta)`; gamma comes first.
#[derive(Debug, Clone)]
struct StyleAffine {
    fc: Linear,
    channels: usize,
}

impl StyleAffine {
    fn load(scope: &Scope<'_>, style: usize, channels: usize) -> Result<Self> {
        // One small vector for a whole layer: rounding it would save nothing.
        let scope = scope.at("fc").with_products(Precision::F32);
        Ok(Self { fc: Linear::load(&scope, style, 2 * channels)?, channels })
    }

    /// Gain and shift for each of the `styles`, each `(styles, channels)`.
    fn of(&self, styles: &Tensor, watch: &dyn Watch) -> Result<(Tensor, Tensor)> {
        let both = self.fc.forward(styles, watch)?;
        let gamma = both.narrow(1, 0, self.channels)?;
        Ok(((gamma + 1.0)?.contiguous()?, both.narrow(1, self.channels, self.channels)?.contiguous()?))
    }
}

/// Layer norm over the channels of `(time, channels)` whose affine part comes from a style vector.
#[derive(Debug, Clone)]
pub struct AdaLayerNorm {
    style: StyleAffine,
}

impl AdaLayerNorm {
    /// Reads `fc`.
    pub fn load(scope: &Scope<'_>, style: usize, channels: usize) -> Result<Self> {
        Ok(Self { style: StyleAffine::load(scope, style, channels)? })
    }

    /// Row i of `styles` is that of the i-th stretch of rows; `lens` says how long each is.
    pub fn forward(&self, x: &Tensor, styles: &Tensor, lens: &[usize], watch: &dyn Watch) -> Result<Tensor> {
        let (gain, shift) = self.style.of(styles, watch)?;
        for_each_stretch(x, lens, |index, x| {
            layer_norm(x, &gain.get(index)?, &shift.get(index)?, STYLE_EPS, watch)
        })
    }
}

/// Instance norm over the time of `(channels, time)` whose affine part comes from a style vector, with the activation that
/// follows it. Between packed sequences it leaves zeros.
#[derive(Debug, Clone)]
pub struct AdaIn {
    style: StyleAffine,
}

impl AdaIn {
    /// Reads `fc`.
    pub fn load(scope: &Scope<'_>, style: usize, channels: usize) -> Result<Self> {
        Ok(Self { style: StyleAffine::load(scope, style, channels)? })
    }

    /// For a convolution to read; row i of `styles` is that of the packing's i-th sequence.
    pub fn defer<'a>(
        &self,
        x: Tensor,
        (styles, packing): (&Tensor, &'a Packing),
        activation: Activation<'a>,
        watch: &dyn Watch,
    ) -> Result<Deferred<'a>> {
        #[cfg(feature = "cuda")]
        if let (true, Some((weight, bias))) =
            (x.device().is_cuda() && crate::card::can_style(activation), self.style.fc.stock_parts()?)
        {
            tick(watch)?;
            let out = crate::card::styled_norm(&x, (styles, &weight, bias), packing, activation, STYLE_EPS);
            return Ok(Deferred::finished(out?));
        }
        let (gain, shift) = self.style.of(styles, watch)?;
        if !is_cpu(&x) {
            tick(watch)?;
            return Ok(Deferred::finished(stock_styled(&x, (&gain, &shift), packing, activation)?));
        }
        let affine = affines(&x, (&gain, &shift), packing, watch)?;
        Ok(Deferred::normal(x, affine, (activation, packing)))
    }
}

/// Scale and shift of each channel of each packed sequence of `(channels, columns)`, whose gain and shift are
/// `(sequences, channels)`: `(channels, sequences, 2)`.
fn affines(
    x: &Tensor,
    (gain, shift): (&Tensor, &Tensor),
    packing: &Packing,
    watch: &dyn Watch,
) -> Result<Vec<f32>> {
    let (rows, cols) = x.dims2()?;
    assert_eq!(packing.count() * packing.pitch(), cols, "columns of the packing");
    let (values, gain, shift) = (view(x)?, view(gain)?, view(shift)?);
    let grid = TileSize { cols: 2 * packing.count(), ..rows_at_once(rows, cols) };
    for_tiles(rows, 2 * packing.count(), grid, watch, |tile| {
        for row in tile.rows.clone() {
            let sequences = values[row * cols..][..cols].chunks(packing.pitch()).zip(packing.lens());
            let affines = tile.row(row).as_chunks_mut().0;
            for (index, ((x, &len), both)) in sequences.zip(affines).enumerate() {
                let place = index * rows + row;
                *both = affine(moments(&x[..len]), STYLE_EPS, gain[place], shift[place]).into();
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Unwatched, activate, stock_test::assert_same};
    use candle_core::Device;

    #[test]
    fn candles_ops_give_the_same() {
        let random = |dims: &[usize]| Tensor::randn(0f32, 1.0, dims, &Device::Cpu).unwrap();
        let (x, gain, shift) = (random(&[4, 50]), random(&[50]), random(&[50]));
        let ours = layer_norm(&x, &gain, &shift, 1e-5, &Unwatched).unwrap();
        let stock = stock_normalize(&x, 1e-5).unwrap();
        assert_same(&ours, &stock.broadcast_mul(&gain).unwrap().broadcast_add(&shift).unwrap());
        let norm = LayerNorm { gain, shift, eps: 1e-5, dtype: DType::F32 };
        let (offset, alone) = (random(&[50]), Packing::alone(4));
        let ours = norm.forward_activate(&x, Activation::Mish, (Some(&offset), &alone), &Unwatched).unwrap();
        let stock = Activation::Mish.stock(&norm.forward(&x, &Unwatched).unwrap()).unwrap();
        assert_same(&ours, &stock.broadcast_add(&offset).unwrap());
        let alpha = (random(&[4]).abs().unwrap() + 0.5).unwrap();
        for activation in [Activation::LeakyRelu(0.1), Activation::Snake(&alpha), Activation::GeluTanh] {
            assert_same(&activate(&x, activation, &Unwatched).unwrap(), &activation.stock(&x).unwrap());
        }
    }

    #[test]
    fn moments_survive_a_long_row_far_from_zero() {
        let row: Vec<f32> = (0..144_001).map(|i| 1000.0 + if i % 2 == 0 { 0.5 } else { -0.5 }).collect();
        let (mean, variance) = moments(&row);
        assert!((mean - 1000.0).abs() < 1e-3, "{mean}");
        assert!((variance - 0.25).abs() < 1e-4, "{variance}");
    }
}
