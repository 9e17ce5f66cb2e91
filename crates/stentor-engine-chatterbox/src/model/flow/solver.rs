//! Euler's method from noise to speech. The plain flow takes small steps where it begins, and exaggerates what makes the wanted
//! speech differ from any speech; a mean flow was taught both, and takes few even steps.

use super::estimator::{Condition, Estimator};
use candle_core::Tensor;
use std::f32::consts::PI;
use stentor_nn::{Result, Watch};

/// How far beyond the conditional velocity, in differences to the unconditional one.
const GUIDANCE: f64 = 0.7;

/// `x`, `(time, mels)`, from noise to mel frames.
pub(super) fn solve(
    estimator: &Estimator,
    mut x: Tensor,
    condition: &Condition,
    steps: usize,
    watch: &dyn Watch,
) -> Result<Tensor> {
    let meanflow = estimator.is_meanflow();
    let anything = if meanflow { None } else { Some(condition.unconditional()?) };
    for span in moments(steps, !meanflow).windows(2) {
        let span = (span[0], span[1]);
        let mut velocity = estimator.velocity(&x, condition, span, watch)?;
        if let Some(anything) = &anything {
            let other = estimator.velocity(&x, anything, span, watch)?;
            velocity = ((velocity * (1.0 + GUIDANCE))? - (other * GUIDANCE)?)?;
        }
        x = (x + (velocity * f64::from(span.1 - span.0))?)?;
    }
    Ok(x)
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
