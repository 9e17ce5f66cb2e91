//! Randomness that a printed seed brings back.

/// SplitMix64: one multiplication chain per number, good enough to pick moments and victims.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From zero up to, not including, `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.number() % end.max(1) as u64) as usize
    }

    /// `count` different numbers below `end`, in ascending order.
    pub fn distinct(&mut self, count: usize, end: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..end).collect();
        for index in 0..count.min(end) {
            let other = index + self.below(end - index);
            all.swap(index, other);
        }
        all.truncate(count);
        all.sort_unstable();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_distinct_numbers_again() {
        let drawn = Random::new(7).distinct(20, 40);
        assert_eq!(drawn, Random::new(7).distinct(20, 40));
        assert_ne!(drawn, Random::new(8).distinct(20, 40));
        assert_eq!(drawn.len(), 20);
        assert!(drawn.windows(2).all(|pair| pair[0] < pair[1]) && drawn[19] < 40, "{drawn:?}");
    }
}
