//! Elementary functions written so that the compiler can vectorise loops over them.
//!
//! Each is branch-free; errors are measured in the tests below. `FMA` says whether the instructions that the `simd!` macro compiles for
//! multiply and add in one: where they don't, rounding once would be a call for each number.

#![expect(clippy::inline_always, reason = "out of line they would be compiled for the build's target only")]

use std::f32::consts::{FRAC_1_PI, LOG2_E};

/// 1.5 * 2^23. Added to a number below 2^22 it rounds it, ties to even, and leaves the integer in the low bits. Rust's own
/// conversion saturates, for which compilers leave vector registers.
const TO_INTEGER: f32 = 12_582_912.0;

/// `x * factor + sum`.
#[inline(always)]
pub(crate) fn fma<const FMA: bool>(x: f32, factor: f32, sum: f32) -> f32 {
    if FMA { x.mul_add(factor, sum) } else { x * factor + sum }
}

/// e^x; error below 1.5 ulp (1.2 measured), saturating outside -87..=88.
#[inline(always)]
pub(crate) fn exp<const FMA: bool>(x: f32) -> f32 {
    // x = n ln2 + r with |r| <= ln2 / 2; ln2 in two parts so that n * high is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * LOG2_E + TO_INTEGER;
    let n = shifted - TO_INTEGER;
    let r = fma::<FMA>(n, -LN2_LOW, fma::<FMA>(n, -LN2_HIGH, x));
    // Taylor series to degree 7.
    let mut p = 1.0f32 / 5040.0;
    for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = fma::<FMA>(p, r, c);
    }
    f32::from_bits(p.to_bits().wrapping_add(shifted.to_bits() << 23))
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub(crate) fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<FMA>(-x))
}

/// Hyperbolic tangent; absolute error below 2e-7.
#[inline(always)]
pub(crate) fn tanh<const FMA: bool>(x: f32) -> f32 {
    1.0 - 2.0 / (1.0 + exp::<FMA>(2.0 * x))
}

/// Error function; absolute error below 5e-7 (Abramowitz and Stegun, 7.1.26).
#[inline(always)]
pub(crate) fn erf<const FMA: bool>(x: f32) -> f32 {
    let t = 1.0 / fma::<FMA>(0.327_591_1, x.abs(), 1.0);
    let mut p = 1.061_405_4_f32;
    for c in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        p = fma::<FMA>(p, t, c);
    }
    (1.0 - p * t * exp::<FMA>(-x * x)).copysign(x)
}

/// The nearest integer, ties to even, where that is no instruction; what has few or no digits behind the point is left as it is.
#[inline(always)]
fn rounded(x: f32) -> f32 {
    const LARGE: f32 = 4_194_304.0;
    if x.abs() < LARGE { (x + TO_INTEGER) - TO_INTEGER } else { x }
}

/// Sine; absolute error below 3e-7 for |x| <= 1000, and below 2.5 ulp (2.2 measured) for |x| < pi / 2.
#[inline(always)]
pub(crate) fn sin<const FMA: bool>(x: f32) -> f32 {
    // x = q pi + r with |r| <= pi / 2; pi in three parts, the first two short enough for exact products.
    const PI_HIGH: f32 = 3.140_625;
    const PI_MIDDLE: f32 = 9.675_026e-4;
    const PI_LOW: f32 = 1.509_958e-7;
    let q = x * FRAC_1_PI;
    let q = if FMA { q.round_ties_even() } else { rounded(q) };
    let r = fma::<FMA>(q, -PI_LOW, fma::<FMA>(q, -PI_MIDDLE, fma::<FMA>(q, -PI_HIGH, x)));
    let r2 = r * r;
    // Taylor series to degree 11.
    let mut p = -1.0f32 / 39_916_800.0;
    for c in [1.0 / 362_880.0, -1.0 / 5040.0, 1.0 / 120.0, -1.0 / 6.0] {
        p = fma::<FMA>(p, r2, c);
    }
    let s = fma::<FMA>(p * r2, r, r);
    f32::from_bits(s.to_bits() ^ ((q + TO_INTEGER).to_bits() << 31))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f32::consts::FRAC_PI_2;

    #[test]
    fn functions_agree_with_the_standard_library_in_double_precision() {
        agree::<true>();
        agree::<false>();
    }

    /// The error in units of the last place of an f32 that is as large as `exact`.
    fn ulps(found: f32, exact: f64) -> f64 {
        let nearest = exact.abs() as f32;
        (f64::from(found) - exact).abs() / f64::from(nearest.next_up() - nearest)
    }

    fn agree<const FMA: bool>() {
        for i in -200_000..=200_000 {
            let x = i as f32 * 0.005;
            let error = f64::from(sin::<FMA>(x)) - f64::from(x).sin();
            assert!(error.abs() < 3e-7, "sin({x}) is off by {error:e}");
            if x.abs() < FRAC_PI_2 {
                let error = ulps(sin::<FMA>(x), f64::from(x).sin());
                assert!(error < 2.5, "sin({x}) is off by {error} ulp");
            }
        }
        for i in -80_000..=80_000 {
            let x = i as f32 * 0.001;
            let error = ulps(exp::<FMA>(x), f64::from(x).exp());
            assert!(error < 1.5, "exp({x}) is off by {error} ulp");
            let error = f64::from(tanh::<FMA>(x)) - f64::from(x).tanh();
            assert!(error.abs() < 2e-7, "tanh({x}) is off by {error:e}");
            let error = f64::from(sigmoid::<FMA>(x)) - 1.0 / (1.0 + (-f64::from(x)).exp());
            assert!(error.abs() < 2e-7, "sigmoid({x}) is off by {error:e}");
        }
    }
}
