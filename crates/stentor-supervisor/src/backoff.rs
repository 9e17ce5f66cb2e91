//! How long to wait before a worker is started again. Pure: the random number is handed in.

use std::time::Duration;

/// Between half and the whole of `first` doubled `failures` times, of which `max` is the most; so that workers
/// which died together are not started together. `random` is any 64 bits.
pub(crate) fn wait(first: Duration, max: Duration, failures: u32, random: u64) -> Duration {
    let nominal = first.saturating_mul(2_u32.saturating_pow(failures)).min(max);
    let share = 0.5 + 0.5 * (random as f64 / u64::MAX as f64);
    nominal.mul_f64(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(10);

    #[test]
    fn the_wait_doubles_up_to_its_cap() {
        let nominal = |failures| wait(FIRST, MAX, failures, u64::MAX);
        assert_eq!([0, 1, 2, 6].map(|n| nominal(n).as_millis()), [100, 200, 400, 6400]);
        assert_eq!(nominal(7), MAX);
        assert_eq!(nominal(u32::MAX), MAX, "no overflow");
    }

    #[test]
    fn jitter_spreads_over_the_upper_half_and_never_beyond() {
        let spread: Vec<_> = (0..=16).map(|n| wait(FIRST, MAX, 1, u64::MAX / 16 * n)).collect();
        assert_eq!(spread.first(), Some(&Duration::from_millis(100)));
        assert!(spread.windows(2).all(|pair| pair[0] < pair[1]), "{spread:?}");
        assert!(spread.iter().all(|wait| *wait <= Duration::from_millis(200)), "{spread:?}");
    }
}
