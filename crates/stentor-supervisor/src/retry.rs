//! When a client should come back for a model that has failed. Pure but for its lock: the time is handed in.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// For a model that needs somebody to mend it.
const GIVEN_UP_S: u32 = 30;
const LONGEST_S: f64 = 60.0;

#[derive(Default)]
pub(crate) struct Retry(Mutex<State>);

#[derive(Default)]
struct State {
    /// When the next worker is started.
    until: Option<Instant>,
    pause: Duration,
    given_up: bool,
}

impl Retry {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker was lost; the next one comes at `until`, after `pause`. `given_up`: it will hardly do better.
    pub(crate) fn note(&self, until: Instant, pause: Duration, given_up: bool) {
        *self.state() = State { until: Some(until), pause, given_up };
    }

    /// Seconds for a `Retry-After`, 1 to 60. While the next worker is being tried, another pause is assumed.
    pub(crate) fn after_s(&self, now: Instant) -> u32 {
        let State { until, pause, given_up } = *self.state();
        let left = until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        let left = if left.is_zero() { pause } else { left };
        let seconds = left.as_secs_f64().ceil().clamp(1.0, LONGEST_S) as u32;
        if given_up { seconds.max(GIVEN_UP_S) } else { seconds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_the_pause_is_told_and_half_a_minute_where_only_mending_helps() {
        let (retry, now, pause) = (Retry::default(), Instant::now(), Duration::from_secs(8));
        assert_eq!(retry.after_s(now), 1, "nothing was lost");
        retry.note(now + pause, pause, false);
        let told = [0.0, 4.5, 7.9, 8.0, 20.0].map(|s| retry.after_s(now + Duration::from_secs_f64(s)));
        assert_eq!(told, [8, 4, 1, 8, 8]);
        retry.note(now + pause, pause, true);
        assert_eq!(retry.after_s(now), 30);
        retry.note(now, Duration::from_secs(500), true);
        assert_eq!(retry.after_s(now), 60);
    }
}
