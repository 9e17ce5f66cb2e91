//! One chunk between being offered and being consumed by all who wait for it, across the deaths of workers.

use crate::{SpeechError, board::Manner, replay::Replay};
use std::sync::Arc;
use stentor_engine::ChunkStats;
use stentor_types::{ChunkId, ChunkKey, SpokenChunk, SpokenText, WordTiming};

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
    pub(crate) manner: Arc<Manner>,
    pub(crate) text: SpokenText,
    /// Sessions with the same key wait for this slot instead of one of their own.
    pub(crate) key: Option<ChunkKey>,
    /// Sessions that have not consumed it, once for each time that it stands in their text.
    pub(crate) readers: Vec<u64>,
    /// In the worker under this id.
    pub(crate) flight: Option<ChunkId>,
    /// Was in an engine that died; it is replayed alone.
    pub(crate) suspect: bool,
    pub(crate) end: Option<SlotEnd>,
    /// All that was received; whole, since each session has its own place in it.
    pub(crate) spoken: Arc<SpokenChunk>,
    replay: Replay,
    deaths: u32,
    kills: u32,
}

impl Slot {
    pub(crate) fn new(manner: Arc<Manner>, text: SpokenText, key: Option<ChunkKey>) -> Self {
        Self {
            manner,
            text,
            key,
            readers: Vec::new(),
            flight: None,
            suspect: false,
            end: None,
            spoken: Arc::default(),
            replay: Replay::default(),
            deaths: 0,
            kills: 0,
        }
    }

    /// A chunk that was spoken before.
    pub(crate) fn found(manner: Arc<Manner>, text: SpokenText, spoken: Arc<SpokenChunk>) -> Self {
        let mut slot = Self::new(manner, text, None);
        slot.adopt(spoken);
        slot
    }

    /// A chunk that is known to end like this.
    pub(crate) fn refused(manner: Arc<Manner>, text: SpokenText, error: SpeechError) -> Self {
        Self { end: Some(SlotEnd::Error(error)), ..Self::new(manner, text, None) }
    }

    /// It was spoken elsewhere.
    pub(crate) fn adopt(&mut self, spoken: Arc<SpokenChunk>) {
        let stats = ChunkStats { samples: spoken.samples.len() as u64, units: spoken.units };
        self.end = Some(SlotEnd::Spoken(stats));
        self.spoken = spoken;
    }

    /// Waits to be sent to a worker.
    pub(crate) fn offered(&self) -> bool {
        self.flight.is_none() && self.end.is_none()
    }

    /// Whether a worker has had it.
    pub(crate) fn begun(&self) -> bool {
        self.flight.is_some() || self.end.is_some() || !self.spoken.samples.is_empty()
    }

    pub(crate) fn chars(&self) -> usize {
        self.text.text.chars().count()
    }

    /// Deaths and kills with it in the engine alone.
    pub(crate) fn tries(&self) -> u32 {
        self.deaths + self.kills
    }

    /// Takes the next samples, without those that an earlier worker sent; returns how many were new, or why the
    /// chunk must be given up. `exact`: samples that come again are the same to the bit.
    pub(crate) fn accept(&mut self, samples: &[f32], exact: bool) -> Result<u64, &'static str> {
        if !samples.iter().all(|sample| sample.is_finite()) {
            return Err("its samples are not numbers");
        }
        let fresh = self.replay.samples(&self.spoken.samples, samples, exact);
        let fresh = fresh.ok_or("a replay did not repeat the samples that were sent before")?;
        let spoken = Arc::make_mut(&mut self.spoken);
        let known = spoken.samples.len();
        spoken.samples.extend_from_slice(fresh);
        self.replay.blend(&mut spoken.samples[known..]);
        Ok(fresh.len() as u64)
    }

    pub(crate) fn accept_words(&mut self, words: &[WordTiming]) -> Result<(), &'static str> {
        let fresh = self.replay.words(&self.spoken.words, words);
        let fresh = fresh.ok_or("a replay did not repeat the timings that were sent before")?;
        Arc::make_mut(&mut self.spoken).words.extend_from_slice(fresh);
        Ok(())
    }

    pub(crate) fn total_samples(&self) -> u64 {
        self.spoken.samples.len() as u64
    }

    pub(crate) fn failed(&self) -> bool {
        matches!(self.end, Some(SlotEnd::Error(_)))
    }

    /// What is worth keeping of it: a chunk that is whole and the work of one engine.
    pub(crate) fn to_keep(&self) -> Option<(ChunkKey, Arc<SpokenChunk>)> {
        let whole = matches!(self.end, Some(SlotEnd::Spoken(_))) && !self.replay.differs();
        self.key.filter(|_| whole).map(|key| (key, Arc::clone(&self.spoken)))
    }

    pub(crate) fn give_up(&mut self, why: &str) {
        self.flight = None;
        self.suspect = false;
        self.end = Some(SlotEnd::Error(SpeechError::Failed(why.to_owned())));
    }

    /// The worker's last word on the chunk. A replay that ends before the point where the first attempt broke off
    /// has not spoken the same thing.
    pub(crate) fn finish(&mut self, end: SlotEnd) {
        match end {
            SlotEnd::Spoken(stats) if self.replay.is_behind() || stats.samples != self.total_samples() => {
                return self.give_up("the worker's samples do not add up to what it reports");
            }
            SlotEnd::TooLong(limit) if self.total_samples() > 0 => return self.give_up(&uncut(limit)),
            SlotEnd::Spoken(stats) => Arc::make_mut(&mut self.spoken).units = stats.units,
            SlotEnd::TooLong(_) | SlotEnd::Error(_) => {}
        }
        self.flight = None;
        self.suspect = false;
        self.end = Some(end);
    }

    /// Its worker died. The chunk is offered again, unless it is the likely cause of too many deaths.
    pub(crate) fn lose(&mut self, death: &Death, alone: bool) {
        self.flight = None;
        self.suspect = true;
        self.replay.begin(self.spoken.samples.len(), self.spoken.words.len());
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

/// Said of a chunk that was cut once and is still too long.
pub(crate) fn uncut(limit: usize) -> String {
    format!("the chunk can't be cut to the {limit} characters that fit")
}
