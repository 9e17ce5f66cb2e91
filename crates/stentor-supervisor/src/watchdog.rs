//! Tells a slow engine from a stuck one by its step counter. Pure: time is passed in.

use std::time::Duration;
use tokio::time::Instant;

pub(crate) struct Watchdog {
    min: Duration,
    factor: u32,
    steps: u64,
    /// When the counter last moved, or work began.
    moved: Instant,
    busy: bool,
    /// The longest that a working engine took between two moves.
    longest: Duration,
}

impl Watchdog {
    pub(crate) fn new(min: Duration, factor: u32, now: Instant) -> Self {
        Self { min, factor, steps: 0, moved: now, busy: false, longest: Duration::ZERO }
    }

    /// The engine has work, or has none; the clock starts when it gets some.
    pub(crate) fn set_busy(&mut self, busy: bool, now: Instant) {
        if busy && !self.busy {
            self.moved = now;
        }
        self.busy = busy;
    }

    pub(crate) fn beat(&mut self, steps: u64, now: Instant) {
        if steps != self.steps {
            self.steps = steps;
            self.progress(now);
        }
    }

    /// The engine has shown in another way that it moves.
    pub(crate) fn progress(&mut self, now: Instant) {
        if self.busy {
            self.longest = self.longest.max(now - self.moved);
        }
        self.moved = now;
    }

    /// When the engine counts as stuck, unless it moves before.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.busy.then(|| self.moved + self.min.max(self.longest * self.factor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_grows_with_the_longest_pause_seen_and_idleness_does_not_count() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut dog = Watchdog::new(Duration::from_millis(100), 20, start);
        assert_eq!(dog.deadline(), None, "an idle engine is never stuck");
        dog.set_busy(true, at(1000));
        assert_eq!(dog.deadline(), Some(at(1100)));
        dog.beat(1, at(1040));
        assert_eq!(dog.deadline(), Some(at(1040 + 800)), "20 x the pause of 40 ms");
        dog.beat(1, at(1060));
        assert_eq!(dog.deadline(), Some(at(1040 + 800)), "the same count is no progress");
        dog.set_busy(false, at(1100));
        dog.set_busy(true, at(9000));
        assert_eq!(dog.deadline(), Some(at(9800)));
    }
}
