//! How long a newcomer will wait, from what is known of the queue and of the engine's pace. Pure arithmetic.
//!
//! It follows the order of `turns`: a client's older work goes first, other clients of the lane put in as much as the
//! client itself does and a chunk more, and the other lane has its share.

use crate::turns::CYCLE;
use std::collections::BTreeMap;
use stentor_types::{ClientId, Lane};

/// How much of what was measured before is kept with each new chunk.
const KEEP: f64 = 0.8;
/// Characters of a chunk, where none has been measured that says otherwise.
const LEAST_CHUNK: f64 = 1.0;
/// Interactive turns to one batch turn.
const FAVOUR: f64 = (CYCLE - 1) as f64;

/// What each chunk costs beside its characters, in characters, until chunks of different lengths tell.
const OVERHEAD: f64 = 8.0;
/// A text of this many characters is cut into chunks no shorter than this, whatever else was spoken lately.
const LONG_CHUNK: f64 = 100.0;
/// However little the length of a chunk matters, it matters a bit.
const LARGEST_OVERHEAD: f64 = 1000.0;
/// Lengths of chunks that differ by less than this share of their mean tell nothing of the overhead.
const SPREAD: f64 = 0.3;

/// A chunk that ends so few seconds after another was spoken together with it.
const TOGETHER_S: f64 = 0.01;

/// Smoothed speed of an engine: sums of which each new chunk makes the older ones count less. A chunk takes so long
/// for each character and so long however short it is; the latter is counted as characters too.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pace {
    busy_s: f64,
    chars: f64,
    chunks: f64,
    /// Sums of squared characters and of characters times seconds.
    squares: f64,
    products: f64,
    overhead: f64,
    /// Seconds and characters of the latest measurement.
    latest: (f64, f64),
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            busy_s: 0.0,
            chars: 0.0,
            chunks: 0.0,
            squares: 0.0,
            products: 0.0,
            overhead: OVERHEAD,
            latest: (0.0, 0.0),
        }
    }
}

impl Pace {
    /// The engine was busy for `busy_s` seconds until a chunk of `chars` characters was finished. Chunks that were spoken together
    /// are one measurement: the first seems to have taken all of the time, and the others none.
    pub(crate) fn observe(&mut self, busy_s: f64, chars: usize) {
        let (mut seconds, mut characters) = (busy_s, chars as f64);
        if busy_s < TOGETHER_S && self.latest.1 > 0.0 {
            let (before_s, before) = self.latest;
            (seconds, characters) = (seconds + before_s, characters + before);
            self.busy_s -= before_s;
            self.chars -= before;
            self.squares -= before * before;
            self.products -= before * before_s;
        } else {
            // Of whole measurements only: the latest may have grown until now.
            self.fit();
            for sum in
                [&mut self.busy_s, &mut self.chars, &mut self.chunks, &mut self.squares, &mut self.products]
            {
                *sum *= KEEP;
            }
            self.chunks += 1.0;
        }
        self.busy_s += seconds;
        self.chars += characters;
        self.squares += characters * characters;
        self.products += characters * seconds;
        self.latest = (seconds, characters);
    }

    /// The straight line through seconds over characters, where they differ enough for one.
    fn fit(&mut self) {
        if self.chunks == 0.0 {
            return;
        }
        let (mean, mean_s) = (self.chars / self.chunks, self.busy_s / self.chunks);
        let variance = self.squares / self.chunks - mean * mean;
        let slope = (self.products / self.chunks - mean * mean_s) / variance;
        if variance > (SPREAD * mean).powi(2) && slope > 0.0 {
            self.overhead = (mean_s / slope - mean).clamp(0.0, LARGEST_OVERHEAD);
        }
    }

    /// What a text of so many characters costs, in characters.
    fn weight(&self, chars: f64) -> f64 {
        let chunk = self.chunk().max(LONG_CHUNK);
        if chars > 0.0 { chars + self.overhead * (chars / chunk).max(1.0) } else { 0.0 }
    }

    /// Busy seconds per character, without the overhead; `None` before anything was measured.
    pub(crate) fn per_char(&self) -> Option<f64> {
        (self.chars > 0.0).then(|| self.busy_s / (self.chars + self.chunks * self.overhead))
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
        let ahead = self.work(client, lane, own, self.pace.weight(self.pace.chunk()));
        Some(self.load_s + self.slot_s(pace) + ahead * pace)
    }

    /// Seconds until the session that is nearest its end has been spoken, or that of one client.
    pub(crate) fn first_end_s(&self, whose: Option<ClientId>) -> Option<f64> {
        let pace = self.pace.per_char()?;
        let ends =
            [Lane::Interactive, Lane::Batch].into_iter().filter_map(|lane| self.first_end(lane, whose));
        let ahead = ends.min_by(f64::total_cmp)?;
        Some(self.load_s + self.slot_s(pace) + ahead * pace)
    }

    /// Characters until a session of the lane ends. A client's oldest one ends first, and of the clients that which
    /// has the least to say.
    fn first_end(&self, lane: Lane, whose: Option<ClientId>) -> Option<f64> {
        let mut oldest: BTreeMap<ClientId, f64> = BTreeMap::new();
        for session in self.of(lane).filter(|session| whose.is_none_or(|client| session.client == client)) {
            oldest.entry(session.client).or_insert(session.chars);
        }
        let (client, own) = oldest.into_iter().min_by(|(_, one), (_, other)| one.total_cmp(other))?;
        Some(self.work(client, lane, own, 0.0))
    }

    /// The sessions of a lane, their characters with the overhead of their chunks.
    fn of(&self, lane: Lane) -> impl Iterator<Item = Queued> {
        let of_lane = self.queue.iter().filter(move |other| other.lane == lane);
        of_lane.map(|other| Queued { chars: self.pace.weight(other.chars), ..*other })
    }

    /// Characters that the engine speaks while a client gets through `own` of its own; `slack`: how much further
    /// than it the others of its lane may be.
    fn work(&self, client: ClientId, lane: Lane, own: f64, slack: f64) -> f64 {
        let mut others: BTreeMap<ClientId, f64> = BTreeMap::new();
        for other in self.of(lane).filter(|other| other.client != client) {
            *others.entry(other.client).or_default() += other.chars;
        }
        let in_lane = own + others.values().map(|chars| chars.min(own + slack)).sum::<f64>();
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
        let left = |chunk: &Flying| (self.pace.weight(chunk.chars) * pace * beside - chunk.for_s).max(0.0);
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
        let mut pace = Pace { overhead: 0.0, ..Pace::default() };
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
    fn chunks_that_were_spoken_together_are_measured_together() {
        let mut pace = Pace { overhead: 0.0, ..Pace::default() };
        for _ in 0..3 {
            pace.observe(2.0, 100);
            for _ in 1..32 {
                pace.observe(0.0001, 100);
            }
        }
        let per_char = pace.per_char().expect("measured");
        assert!((per_char / (2.0031 / 3200.0) - 1.0).abs() < 0.01, "{per_char}");
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
        assert_eq!(unmeasured.first_end_s(None), None);
        assert_wait(&Forecast { queue: Vec::new(), ..unmeasured }, (A, Lane::Interactive), 7.0);
    }

    #[test]
    fn the_first_end_is_that_of_the_session_with_least_before_it() {
        let queue = [queued(A, Lane::Interactive, 100.0), queued(A, Lane::Interactive, 1.0)];
        assert_eq!(forecast(&queue).first_end_s(None), Some(10.0));
        let queue = [queued(A, Lane::Interactive, 100.0), queued(B, Lane::Interactive, 20.0)];
        assert_eq!(forecast(&queue).first_end_s(None), Some(4.0));
        assert_eq!(forecast(&queue).first_end_s(Some(A)), Some(12.0), "both take turns until B has ended");
        let queue = [queued(A, Lane::Batch, 5.0), queued(B, Lane::Interactive, 90.0)];
        assert_eq!(
            forecast(&queue).first_end_s(None),
            Some(2.0),
            "three turns of the other lane to one of its own"
        );
        assert_eq!(forecast(&[]).first_end_s(None), None);
    }

    #[test]
    fn the_pace_follows_the_engine() {
        let mut pace = Pace { overhead: 0.0, ..Pace::default() };
        assert_eq!(pace.per_char(), None);
        pace.observe(0.5, 10);
        assert_eq!(pace.per_char(), Some(0.05));
        for _ in 0..30 {
            pace.observe(2.0, 20);
        }
        let now = pace.per_char().expect("measured");
        assert!((now - 0.1).abs() < 0.001, "{now} seconds per character");
    }

    /// An engine that takes 24 ms for each chunk and 3 ms for each character, as one on a CPU does.
    #[test]
    fn short_chunks_do_not_make_long_texts_seem_slow_nor_long_chunks_short_texts_quick() {
        let seconds = |chars: usize| 0.024 + 0.003 * chars as f64;
        let wait = |lengths: &[usize], queue: &[Queued]| {
            let mut pace = Pace::default();
            for chars in lengths {
                pace.observe(seconds(*chars), *chars);
            }
            let forecast = Forecast { pace, slots: 1, load_s: 0.0, flying: Vec::new(), queue: queue.into() };
            forecast.wait_s(A, Lane::Interactive).expect("measured")
        };
        let close = |wait: f64, truth: f64| (wait / truth - 1.0).abs() < 0.25;
        let long = [queued(A, Lane::Interactive, 3000.0)];
        let truth = 15.0 * seconds(200);
        for lengths in [&[6][..], &[6, 6, 6, 6], &[200, 6, 6, 6], &[6, 200, 200], &[200, 180, 210]] {
            let wait = wait(lengths, &long);
            // In pieces as short as most that were seen, it would take longer.
            assert!(wait < 1.7 * truth && wait > 0.75 * truth, "{lengths:?}: {wait} s, not {truth} s");
        }
        let short = [queued(A, Lane::Interactive, 6.0); 20];
        let wait = wait(&[6, 200, 190, 6, 200], &short);
        assert!(close(wait, 20.0 * seconds(6)), "{wait} s for twenty short ones");
    }
}
