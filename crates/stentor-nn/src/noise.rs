//! Random draws that are functions of a seed and a position, so that neither the order of a computation nor where it is cut
//! changes them.

/// Splitmix64 of the position, offset by the seed.
fn bits(seed: u64, index: u64) -> u64 {
    let mut bits = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A seed of its own for each use that one seed is put to.
pub fn stream(seed: u64, purpose: u64) -> u64 {
    bits(bits(seed, 0), purpose)
}

/// A draw from a nearly normal distribution of mean 0 and variance 1: the scaled sum of four uniform ones. Cheap enough for
/// every sample; its tails end at 3.5.
pub fn nearly_normal(seed: u64, index: u64) -> f32 {
    // Each part below has the mean 65535 / 2 and the variance 65536^2 / 12.
    const DEVIATION: f32 = 37_837.23;
    let bits = bits(seed, index);
    let sum = (0..4).map(|part| (bits >> (16 * part)) as u16 as i32).sum::<i32>();
    (sum - 2 * 65_535) as f32 / DEVIATION
}

/// A draw from the normal distribution of mean 0 and variance 1.
pub fn normal(seed: u64, index: u64) -> f32 {
    const RANGE: f64 = 4_294_967_296.0;
    let bits = bits(seed, index);
    // In (0, 1], so that the logarithm is finite, and in [0, 1).
    let radius = ((bits >> 32) + 1) as f64 / RANGE;
    let turn = (bits & u64::from(u32::MAX)) as f64 / RANGE;
    ((-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * turn).cos()) as f32
}

/// A draw from the uniform distribution over [-1, 1).
pub fn uniform(seed: u64, index: u64) -> f32 {
    (bits(seed, index) >> 40) as f32 / (1 << 23) as f32 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean, variance and share beyond two deviations of 100 000 draws.
    fn moments(draw: fn(u64, u64) -> f32) -> [f64; 3] {
        const COUNT: u64 = 100_000;
        let mean_of =
            |f: &dyn Fn(f64) -> f64| (0..COUNT).map(|i| f(f64::from(draw(7, i)))).sum::<f64>() / COUNT as f64;
        let mean = mean_of(&|x| x);
        [mean, mean_of(&|x| (x - mean).powi(2)), mean_of(&|x| f64::from(u8::from(x.abs() > 2.0)))]
    }

    #[test]
    fn draws_have_the_moments_of_their_distributions() {
        for (draw, beyond) in [(normal as fn(u64, u64) -> f32, 0.0455), (nearly_normal, 0.0409)] {
            let [mean, variance, share] = moments(draw);
            assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
            assert!((share - beyond).abs() < 0.003, "{share}");
        }
        let [mean, variance, _] = moments(uniform);
        assert!(mean.abs() < 0.01 && (variance * 3.0 - 1.0).abs() < 0.02, "{mean} {variance}");
    }

    #[test]
    fn streams_of_one_seed_are_unrelated() {
        let product = |a, b| (0..10_000).map(|i| normal(a, i) * normal(b, i)).sum::<f32>() / 10_000.0;
        assert!(product(stream(3, 0), stream(3, 1)).abs() < 0.04);
        assert!(product(stream(3, 0), stream(4, 0)).abs() < 0.04);
        assert_ne!(stream(3, 0), stream(3, 1));
    }
}
