//! One chunk of one session between being offered and being consumed, across the deaths of workers.

use crate::SpeechError;
use stentor_engine::ChunkStats;
use stentor_types::{Chunk, ChunkId, WordTiming};

/// Deaths of a worker with the chunk alone in its engine, after which the chunk is not tried again.
const FATAL: u32 = 2;
/// Kills from outside are not held against a chunk before this many.
const FREE_KILLS: u32 = 3;

/// How a worker died, as far as its chunks are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Death {
    pub(crate) reason: String,
    /// A SIGKILL that did not come from us: the operator, or the kernel short of memory.
    pub(crate) external: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SlotEnd {
    Spoken(ChunkStats),
    TooLong(usize),
    Error(SpeechError),
}

#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) key: u64,
    pub(crate) chunk: Chunk,
    /// Came from a chunk that was too long; it is not cut a second time.
    pub(crate) resplit: bool,
    /// In the worker under this id.
    pub(crate) flight: Option<ChunkId>,
    /// Was in an engine that died; it is replayed alone.
    pub(crate) suspect: bool,
    pub(crate) end: Option<SlotEnd>,
    /// The session has been told that the chunk begins.
    pub(crate) begun: bool,
    /// Received and not yet taken by the session.
    pub(crate) samples: Vec<f32>,
    pub(crate) words: Vec<WordTiming>,
    received: Received,
    /// What a replay sends again.
    skip: Received,
    deaths: u32,
    kills: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Received {
    samples: u64,
    words: u64,
}

impl Slot {
    pub(crate) fn new(key: u64, chunk: Chunk, resplit: bool) -> Self {
        let (samples, words) = (Vec::new(), Vec::new());
        let (received, skip) = (Received::default(), Received::default());
        let (flight, end) = (None, None);
        Self {
            key,
            chunk,
            resplit,
            flight,
            suspect: false,
            end,
            begun: false,
            samples,
            words,
            received,
            skip,
            deaths: 0,
            kills: 0,
        }
    }

    /// Waits to be sent to a worker.
    pub(crate) fn offered(&self) -> bool {
        self.flight.is_none() && self.end.is_none()
    }

    /// Takes the next samples, without those that an earlier worker sent; returns how many were new.
    pub(crate) fn accept(&mut self, samples: &[f32]) -> u64 {
        let skip = self.skip.samples.min(samples.len() as u64);
        self.skip.samples -= skip;
        let fresh = &samples[skip as usize..];
        self.samples.extend_from_slice(fresh);
        self.received.samples += fresh.len() as u64;
        fresh.len() as u64
    }

    pub(crate) fn accept_words(&mut self, words: &[WordTiming]) {
        let skip = self.skip.words.min(words.len() as u64);
        self.skip.words -= skip;
        let fresh = &words[skip as usize..];
        self.words.extend_from_slice(fresh);
        self.received.words += fresh.len() as u64;
    }

    pub(crate) fn total_samples(&self) -> u64 {
        self.received.samples
    }

    pub(crate) fn failed(&self) -> bool {
        matches!(self.end, Some(SlotEnd::Error(_)))
    }

    /// The worker's last word on the chunk. A replay that ends before the point where the first attempt broke off
    /// has not spoken the same thing.
    pub(crate) fn finish(&mut self, end: SlotEnd) {
        self.flight = None;
        self.suspect = false;
        let diverged = matches!(end, SlotEnd::Spoken(stats) if self.skip.samples > 0 || stats.samples != self.received.samples);
        let too_late = matches!(end, SlotEnd::TooLong(_)) && (self.resplit || self.received.samples > 0);
        self.end = Some(match end {
            _ if diverged => failed("the worker's samples do not add up to what it reports"),
            SlotEnd::TooLong(limit) if too_late => {
                failed(&format!("the chunk can't be cut to the {limit} characters that fit"))
            }
            end => end,
        });
    }

    /// Its worker died. The chunk is offered again, unless it is the likely cause of too many deaths.
    pub(crate) fn lose(&mut self, death: &Death, alone: bool) {
        self.flight = None;
        self.suspect = true;
        self.skip = self.received;
        if !alone {
            return;
        }
        if death.external {
            self.kills += 1;
        }
        if !death.external || self.kills > FREE_KILLS {
            self.deaths += 1;
        }
        if self.deaths >= FATAL {
            self.suspect = false;
            self.end = Some(SlotEnd::Error(SpeechError::Quarantined(death.reason.clone())));
        }
    }
}

fn failed(why: &str) -> SlotEnd {
    SlotEnd::Error(SpeechError::Failed(why.to_owned()))
}
