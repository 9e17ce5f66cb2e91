//! Euler's method from noise to speech. The plain flow takes small steps where it begins, and exaggerates what makes the wanted
//! speech differ from any speech; a mean flow was taught both, and takes few even steps.

use super::estimator::{Condition, Estimator};
use candle_core::Tensor;
use std::f32::consts::PI;
use stentor_nn::{Result, Watch, cpu::has_kernels};

/// How far beyond the conditional velocity, in differences to the unconditional one.
const GUIDANCE: f64 = 0.7;

/// `starts`, each `(time, mels)` of its own length, from noise to mel frames. `columns` are those of each, see
/// [`columns`](super::estimator::columns); each comes out as if it were alone.
pub(super) fn solve(
    estimator: &Estimator,
    starts: &[Tensor],
    columns: &[Tensor],
    steps: usize,
    watch: &dyn Watch,
) -> Result<Vec<Tensor>> {
    let (meanflow, gap) = (estimator.is_meanflow(), estimator.gap());
    // Side by side both velocities cost any other device hardly more than one; our kernels gain nothing and would need the room.
    let at_once = !meanflow && !has_kernels(columns[0].device());
    let condition =
        if at_once { Condition::with_unconditional(columns, gap)? } else { Condition::new(columns, gap)? };
    let anything = if meanflow || at_once { None } else { Some(condition.unconditional()?) };
    let packing = condition.packing().first(columns.len());
    let mut x = packing.pack_rows(starts)?;
    let rows = x.dims2()?.0;
    for span in moments(steps, !meanflow).windows(2) {
        let span = (span[0], span[1]);
        let mut velocity;
        if at_once {
            let both = estimator.velocity(&Tensor::cat(&[&x, &x], 0)?, &condition, span, watch)?;
            velocity = guided(both.narrow(0, 0, rows)?, both.narrow(0, rows, rows)?)?;
        } else {
            velocity = estimator.velocity(&x, &condition, span, watch)?;
        }
        if let Some(anything) = &anything {
            velocity = guided(velocity, estimator.velocity(&x, anything, span, watch)?)?;
        }
        x = (x + (velocity * f64::from(span.1 - span.0))?)?;
    }
    packing.unpack_rows(&x)
}

/// Beyond `velocity`, away from that of any `other` speech.
fn guided(velocity: Tensor, other: Tensor) -> Result<Tensor> {
    Ok(((velocity * (1.0 + GUIDANCE))? - (other * GUIDANCE)?)?)
}

/// Beginnings of the steps and the end of the last: 0 to 1, evenly or along a quarter of a cosine.
fn moments(steps: usize, cosine: bool) -> Vec<f32> {
    let even = |index: usize| index as f32 / steps as f32;
    let bent = |t: f32| 1.0 - (t * 0.5 * PI).cos();
    (0..=steps).map(|index| if cosine { bent(even(index)) } else { even(index) }).collect()
}

#[cfg(test)]
mod tests {
    use super::moments;

    #[test]
    fn moments_begin_at_noise_and_end_at_speech() {
        for (steps, cosine) in [(1, false), (2, false), (1, true), (10, true)] {
            let moments = moments(steps, cosine);
            assert_eq!(moments.len(), steps + 1);
            assert!(moments[0].abs() < 1e-7 && (moments[steps] - 1.0).abs() < 1e-6, "{moments:?}");
            assert!(moments.windows(2).all(|pair| pair[0] < pair[1]), "{moments:?}");
        }
    }
}
