//! How long a newcomer will wait, from what is known of the queue and of the engine's pace. Pure arithmetic.
//!
//! It follows the order of `turns`: a client's older work goes first, other clients of the lane put in as much as the
//! client itself does and a chunk more, and the other lane has its share.

use crate::turns::CYCLE;
use stentor_types::{ClientId, Lane};

/// How much of what was measured before is kept with each new chunk.
const KEEP: f64 = 0.8;
/// Characters of a chunk, where none has been measured that says otherwise.
const LEAST_CHUNK: f64 = 1.0;
/// Interactive turns to one batch turn.
const FAVOUR: f64 = (CYCLE - 1) as f64;

/// Smoothed speed of an engine: sums of which each new chunk makes the older ones count less.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Pace {
    busy_s: f64,
    chars: f64,
    chunks: f64,
}

impl Pace {
    /// The engine was busy for `busy_s` seconds until a chunk of `chars` characters was finished.
    pub(crate) fn observe(&mut self, busy_s: f64, chars: usize) {
        self.busy_s = self.busy_s * KEEP + busy_s;
        self.chars = self.chars * KEEP + chars as f64;
        self.chunks = self.chunks * KEEP + 1.0;
    }

    /// Busy seconds per character; `None` before anything was measured.
    pub(crate) fn per_char(&self) -> Option<f64> {
        (self.chars > 0.0).then(|| self.busy_s / self.chars)
    }

    fn chunk(&self) -> f64 {
        if self.chunks > 0.0 { (self.chars / self.chunks).max(LEAST_CHUNK) } else { LEAST_CHUNK }
    }
}

/// A chunk in the engine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Flying {
    pub(crate) chars: f64,
    /// Seconds since it was sent.
    pub(crate) for_s: f64,
}

/// A session, oldest first in its list.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Queued {
    pub(crate) client: ClientId,
    pub(crate) lane: Lane,
    /// Characters that it still has to send.
    pub(crate) chars: f64,
}

/// What is known at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Forecast {
    pub(crate) pace: Pace,
    /// Chunks that the engine takes at once.
    pub(crate) slots: usize,
    /// Seconds until the model can speak; zero when it is loaded.
    pub(crate) load_s: f64,
    pub(crate) flying: Vec<Flying>,
    pub(crate) queue: Vec<Queued>,
}

impl Forecast {
    /// Seconds until a newcomer's first chunk is handed to the engine; `None` before there is a measure.
    pub(crate) fn wait_s(&self, client: ClientId, lane: Lane) -> Option<f64> {
        let pace = match self.pace.per_char() {
            Some(pace) => pace,
            // Nobody is ahead, so loading is all there is.
            None if self.queue.is_empty() && self.flying.is_empty() => 0.0,
            None => return None,
        };
        let own: f64 = self.of(lane).filter(|other| other.client == client).map(|other| other.chars).sum();
        let ahead = self.work(client, lane, own, self.pace.chunk());
        Some(self.load_s + self.slot_s(pace) + ahead * pace)
    }

    /// Seconds until the session that is nearest its end has been spoken.
    pub(crate) fn first_end_s(&self) -> Option<f64> {
        let pace = self.pace.per_char()?;
        let ends = self.queue.iter().enumerate().map(|(index, session)| {
            let older = &self.queue[..=index];
            let same = |other: &&Queued| other.client == session.client && other.lane == session.lane;
            let own = older.iter().filter(same).map(|other| other.chars).sum();
            self.work(session.client, session.lane, own, 0.0)
        });
        let ahead = ends.min_by(f64::total_cmp)?;
        Some(self.load_s + self.slot_s(pace) + ahead * pace)
    }

    fn of(&self, lane: Lane) -> impl Iterator<Item = &Queued> {
        self.queue.iter().filter(move |other| other.lane == lane)
    }

    /// Characters that the engine speaks while a client gets through `own` of its own; `slack`: how much further
    /// than it the others of its lane may be.
    fn work(&self, client: ClientId, lane: Lane, own: f64, slack: f64) -> f64 {
        let mut others: Vec<(ClientId, f64)> = Vec::new();
        for other in self.of(lane).filter(|other| other.client != client) {
            match others.iter_mut().find(|(known, _)| *known == other.client) {
                Some((_, chars)) => *chars += other.chars,
                None => others.push((other.client, other.chars)),
            }
        }
        let in_lane = own + others.iter().map(|(_, chars)| chars.min(own + slack)).sum::<f64>();
        let (rival, share) = match lane {
            Lane::Interactive => (Lane::Batch, in_lane / FAVOUR),
            Lane::Batch => (Lane::Interactive, (in_lane + slack) * FAVOUR),
        };
        let rivals: f64 = self.of(rival).map(|other| other.chars).sum();
        in_lane + rivals.min(share)
    }

    /// Seconds until the engine can take one chunk more. Chunks that run side by side share its pace.
    fn slot_s(&self, pace: f64) -> f64 {
        if self.flying.len() < self.slots.max(1) {
            return 0.0;
        }
        let beside = self.flying.len() as f64;
        let left = |chunk: &Flying| (chunk.chars * pace * beside - chunk.for_s).max(0.0);
        self.flying.iter().map(left).min_by(f64::total_cmp).unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ClientId = ClientId(1);
    const B: ClientId = ClientId(2);
    const C: ClientId = ClientId(3);

    fn queued(client: ClientId, lane: Lane, chars: f64) -> Queued {
        Queued { client, lane, chars }
    }

    /// A tenth of a second per character, chunks of ten characters.
    fn forecast(queue: &[Queued]) -> Forecast {
        let mut pace = Pace::default();
        pace.observe(1.0, 10);
        Forecast { pace, slots: 1, load_s: 0.0, flying: Vec::new(), queue: queue.into() }
    }

    fn assert_wait(forecast: &Forecast, (client, lane): (ClientId, Lane), seconds: f64) {
        let wait = forecast.wait_s(client, lane).expect("measured");
        assert!((wait - seconds).abs() < 1e-9, "{wait} s, not {seconds} s");
    }

    #[test]
    fn an_idle_engine_keeps_nobody_waiting_and_a_busy_one_for_the_rest_of_its_chunk() {
        let mut forecast = forecast(&[]);
        assert_wait(&forecast, (A, Lane::Interactive), 0.0);
        forecast.flying = vec![Flying { chars: 30.0, for_s: 1.0 }];
        assert_wait(&forecast, (A, Lane::Interactive), 2.0);
        forecast.flying[0].for_s = 9.0;
        assert_wait(&forecast, (A, Lane::Interactive), 0.0);
        forecast.slots = 2;
        forecast.flying[0].for_s = 0.0;
        assert_wait(&forecast, (A, Lane::Interactive), 0.0);
    }

    #[test]
    fn own_work_counts_in_full_and_that_of_others_up_to_a_chunk_more() {
        let queue = [queued(A, Lane::Interactive, 50.0), queued(B, Lane::Interactive, 1000.0)];
        assert_wait(&forecast(&queue), (A, Lane::Interactive), 5.0 + 6.0);
        assert_wait(&forecast(&queue), (B, Lane::Interactive), 100.0 + 5.0);
        assert_wait(&forecast(&queue), (C, Lane::Interactive), 1.0 + 1.0);
    }

    #[test]
    fn the_other_lane_has_its_share_and_no_more() {
        let queue = [queued(A, Lane::Batch, 1000.0), queued(B, Lane::Interactive, 30.0)];
        assert_wait(&forecast(&queue), (B, Lane::Interactive), 3.0 + 1.0);
        assert_wait(&forecast(&queue), (C, Lane::Batch), 1.0 + 3.0);
        let greeting = forecast(&queue[..1]);
        assert_wait(&greeting, (B, Lane::Interactive), 0.0);
    }

    #[test]
    fn a_model_that_must_load_is_waited_for_and_nothing_is_said_before_there_is_a_measure() {
        let loading = Forecast { load_s: 7.0, ..forecast(&[queued(A, Lane::Interactive, 10.0)]) };
        assert_wait(&loading, (A, Lane::Interactive), 8.0);
        let unmeasured = Forecast { pace: Pace::default(), ..loading.clone() };
        assert_eq!(unmeasured.wait_s(A, Lane::Interactive), None);
        assert_eq!(unmeasured.first_end_s(), None);
        assert_wait(&Forecast { queue: Vec::new(), ..unmeasured }, (A, Lane::Interactive), 7.0);
    }

    #[test]
    fn the_first_end_is_that_of_the_session_with_least_before_it() {
        let queue = [queued(A, Lane::Interactive, 100.0), queued(A, Lane::Interactive, 1.0)];
        assert_eq!(forecast(&queue).first_end_s(), Some(10.0));
        let queue = [queued(A, Lane::Interactive, 100.0), queued(B, Lane::Interactive, 20.0)];
        assert_eq!(forecast(&queue).first_end_s(), Some(4.0));
        assert_eq!(forecast(&[]).first_end_s(), None);
    }

    #[test]
    fn the_pace_follows_the_engine() {
        let mut pace = Pace::default();
        assert_eq!(pace.per_char(), None);
        pace.observe(0.5, 10);
        assert_eq!(pace.per_char(), Some(0.05));
        for _ in 0..30 {
            pace.observe(2.0, 20);
        }
        let now = pace.per_char().expect("measured");
        assert!((now - 0.1).abs() < 0.001, "{now} seconds per character");
    }
}
