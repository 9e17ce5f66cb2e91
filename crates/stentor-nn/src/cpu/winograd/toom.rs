//! Products of polynomials out of their values at some points (Toom, "The complexity of a scheme of functional elements", 1963),
//! as Winograd's convolutions need them: values of the input, of the taps, and outputs from their products.
//!
//! Some taps and some outputs need as many points as there are of both, less one. The last of them is infinity.

use crate::cpu::vector::Vector;

/// The points beside infinity, of which the first are taken. With a half the error of seven is a twentieth more than with minus a half,
/// with larger or closer points it is some times as large.
const POINTS: [f64; 6] = [0.0, 1.0, -1.0, 2.0, -2.0, -0.5];

/// What each of `taps` taps counts for at each of the points that they need for `outputs` outputs.
pub(super) fn of_taps(taps: usize, outputs: usize) -> Vec<Vec<f64>> {
    let points = &POINTS[..taps + outputs - 2];
    let finite = points.iter().enumerate().map(|(index, point)| {
        let others = points[..index].iter().chain(&points[index + 1..]);
        let scale: f64 = others.map(|other| point - other).product();
        (0..taps as i32).map(|tap| point.powi(tap) / scale).collect()
    });
    let infinity = (1..=taps).map(|tap| if tap == taps { 1.0 } else { 0.0 }).collect();
    finite.chain([infinity]).collect()
}

/// Replaces so many numbers of the input by what it is at as many points.
///
/// # Safety
/// The machine has the instructions of `V`.
#[inline(always)]
#[expect(clippy::inline_always, unsafe_code, reason = "it must be compiled for the instructions of `V`")]
pub(super) unsafe fn to_points<V: Vector>(x: &mut [V]) {
    // SAFETY: the caller's promise.
    unsafe {
        match x {
            [x0, x1, x2, x3, x4] => {
                let (two, three) = (V::splat(2.0), V::splat(-3.0));
                let odd = x3.sub(*x1);
                let zero = x0.sub(*x2).mul_add(two, odd);
                let one = x1.mul_add(V::splat(-2.0), x3.sub(*x2));
                let minus_one = x2.mul_add(three, x1.mul_add(two, *x3));
                let infinity = odd.mul_add(V::splat(-2.0), x4.sub(*x2));
                [*x0, *x1, *x2, *x3, *x4] = [zero, one, minus_one, odd, infinity];
            }
            [x0, x1, x2, x3, x4, x5] => {
                [*x0, *x1, *x2, *x3, *x4, *x5] = six([*x0, *x1, *x2, *x3, *x4, *x5]);
            }
            [x0, x1, x2, x3, x4, x5, x6] => {
                let half = V::splat(0.5);
                // The polynomial of seven points is that of six times x + 1/2.
                let near = [x0.mul_add(half, *x1), x1.mul_add(half, *x2), x2.mul_add(half, *x3)];
                let far = [x3.mul_add(half, *x4), x4.mul_add(half, *x5), x5.mul_add(half, *x6)];
                let minus_half = x1.mul_add(V::splat(4.0), x3.mul_add(V::splat(-5.0), *x5));
                [*x0, *x1, *x2, *x3, *x4, *x6] = six([near[0], near[1], near[2], far[0], far[1], far[2]]);
                *x5 = minus_half;
            }
            // One segment is its own value.
            [_] => {}
            _ => unreachable!("no tile has so many points"),
        }
    }
}

/// What six numbers of the input are at 0, 1, -1, 2, -2 and infinity.
///
/// # Safety
/// The machine has the instructions of `V`.
#[inline(always)]
#[expect(clippy::inline_always, unsafe_code, reason = "it must be compiled for the instructions of `V`")]
unsafe fn six<V: Vector>([x0, x1, x2, x3, x4, x5]: [V; 6]) -> [V; 6] {
    // SAFETY: the caller's promise.
    unsafe {
        let (four, five) = (V::splat(4.0), V::splat(-5.0));
        let (even, odd) = (x2.mul_add(V::splat(-4.0), x4), x1.mul_add(V::splat(-4.0), x3));
        let (near, far) = (x4.sub(x2), x3.sub(x1));
        [
            x0.mul_add(four, x2.mul_add(five, x4)),
            even.add(odd),
            even.sub(odd),
            far.mul_add(V::splat(2.0), near),
            far.mul_add(V::splat(-2.0), near),
            x1.mul_add(four, x3.mul_add(five, x5)),
        ]
    }
}

/// The outputs, as many as `M`, out of their products at each point.
///
/// # Safety
/// The machine has the instructions of `V`.
#[inline(always)]
#[expect(clippy::inline_always, unsafe_code, reason = "it must be compiled for the instructions of `V`")]
pub(super) unsafe fn outputs<V: Vector, const M: usize>(products: &[V]) -> [V; M] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut outputs = [V::splat(0.0); M];
        match (products, outputs.as_mut_slice()) {
            ([m0], [y0]) => *y0 = *m0,
            ([m0, m1, m2, m3, last], [y0, y1, y2, y3]) => {
                let (sum, difference) = (m1.add(*m2), m1.sub(*m2));
                *y0 = m0.add(sum).add(*m3);
                *y1 = m3.mul_add(V::splat(2.0), difference);
                *y2 = m3.mul_add(V::splat(4.0), sum);
                *y3 = m3.mul_add(V::splat(8.0), difference).add(*last);
            }
            ([m0, m1, m2, m3, m4, half @ .., last], [y0, y1, y2, y3]) => {
                let (near, far) = (m1.add(*m2), m3.add(*m4));
                *y0 = m0.add(near).add(far);
                *y2 = far.mul_add(V::splat(4.0), near);
                let (near, far) = (m1.sub(*m2), m3.sub(*m4));
                *y1 = far.mul_add(V::splat(2.0), near);
                *y3 = far.mul_add(V::splat(8.0), near).add(*last);
                if let Some(half) = half.first() {
                    *y0 = y0.add(*half);
                    *y1 = half.mul_add(V::splat(-0.5), *y1);
                    *y2 = half.mul_add(V::splat(0.25), *y2);
                    *y3 = half.mul_add(V::splat(-0.125), *y3);
                }
            }
            _ => unreachable!("no tile has so many points"),
        }
        outputs
    }
}
