//! Sines of a vocoder's excitation: many a second, of a phase that is far too long for single precision.

use crate::cpu::{math, simd};
use std::f64::consts::TAU;

simd! {
    /// Adds `gain` times a sine to `out`, whose phase is `start` cycles at the first sample and `step` cycles more at each. Phase is
    /// in double precision until it is wrapped; the sine is off by 4e-7 at most.
    pub fn add_sines(start: f64, step: f64, gain: f32, out: &mut [f32]) {
        for (index, out) in out.iter_mut().enumerate() {
            let index = f64::from(index as i32);
            let cycles = if FMA { index.mul_add(step, start) } else { index * step + start };
            // Down or to zero is the same for a sine; each is a call where the other is an instruction.
            let whole = if FMA { cycles.floor() } else { (cycles as i64) as f64 };
            *out += gain * math::sin::<FMA>((TAU * (cycles - whole)) as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phase_stays_exact_after_hours() {
        let (start, step) = (3_600.0 * 24_000.0 * 0.1, 0.018_3);
        let mut out = [1.0; 300];
        add_sines(start, step, 0.5, &mut out);
        for (index, out) in out.iter().enumerate() {
            let cycles = start + step * index as f64;
            let expected = 1.0 + 0.5 * (TAU * cycles.fract()).sin();
            assert!((f64::from(*out) - expected).abs() < 4e-7, "{index}: {out} and {expected}");
        }
    }
}
