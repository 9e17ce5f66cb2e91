//! Silence at both ends of a recording, as librosa finds it.

const FRAME: usize = 2048;
const HOP: usize = 512;
/// Power of what counts as nothing at all.
const FLOOR: f64 = 1e-10;

/// The part between the first and the last frame whose level is within `decibels` of the loudest frame's. A signal that is
/// equally loud throughout, silence among them, stays whole.
pub fn trim(samples: &[f32], decibels: f64) -> &[f32] {
    let levels = levels(samples);
    let loudest = levels.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let is_loud = |level: &f64| level - loudest > -decibels;
    let (Some(first), Some(last)) = (levels.iter().position(is_loud), levels.iter().rposition(is_loud))
    else {
        return &[];
    };
    let end = ((last + 1) * HOP).min(samples.len());
    &samples[(first * HOP).min(end)..end]
}

/// Decibels of centred frames, with silence beyond the signal's ends.
fn levels(samples: &[f32]) -> Vec<f64> {
    let level = |frame: usize| {
        let centre = frame * HOP;
        let inside = centre.saturating_sub(FRAME / 2)..(centre + FRAME / 2).min(samples.len());
        let power: f64 = samples[inside].iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        10.0 * (power / FRAME as f64).max(FLOOR).log10()
    };
    (0..=samples.len() / HOP).map(level).collect()
}
