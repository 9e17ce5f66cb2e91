//! Whether a decoded recording is fit to be a voice.

use super::{Clip, ClipError, ClipNote};
use std::fmt;

/// Frames of this many seconds are loud or silent.
const FRAME: f64 = 0.02;
/// A frame is silent below this level, in dB of full scale; rooms at night are.
const SILENCE: i32 = -55;
/// Seconds of sound without which a recording counts as silent.
const LEAST_SOUND: f64 = 0.5;
/// A peak below this is noted, in dB.
const QUIET: f64 = -30.0;
/// Silence at the beginning longer than this is noted, in seconds.
const LATE: f64 = 2.0;
/// Shares of clipped samples: from the first on it is noted, from the second on it is an error.
const CLIPPED: [f64; 2] = [0.001, 0.1];

/// How long a recording must be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Least {
    /// Seconds.
    AtLeast(f64),
    /// Seconds.
    MoreThan(f64),
}

impl Least {
    fn is_met_by(self, seconds: f64) -> bool {
        match self {
            Self::AtLeast(least) => seconds >= least,
            Self::MoreThan(least) => seconds > least,
        }
    }
}

impl fmt::Display for Least {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(seconds) => write!(f, "at least {seconds} s"),
            Self::MoreThan(seconds) => write!(f, "more than {seconds} s"),
        }
    }
}

/// What a model asks of a recording.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClipNeeds {
    pub least: Least,
    /// Shorter ones are noted, in seconds.
    pub good: f64,
}

impl Clip {
    /// What is to be known of the recording besides [`Clip::notes`], or why it is not fit.
    pub fn check(&self, needs: ClipNeeds) -> Result<Vec<ClipNote>, ClipError> {
        let mut notes = Vec::new();
        let seconds = self.seconds();
        if !needs.least.is_met_by(seconds) {
            return Err(ClipError::TooShort { seconds, needed: needs.least.to_string() });
        }
        if seconds < needs.good {
            notes.push(ClipNote::Short { seconds, good: needs.good });
        }
        notes.extend(self.check_level(seconds)?);
        let percent = self.full_scale * 100.0;
        if self.full_scale >= CLIPPED[1] {
            return Err(ClipError::Clipped { percent });
        }
        if self.full_scale >= CLIPPED[0] {
            notes.push(ClipNote::Clipped { percent });
        }
        Ok(notes)
    }

    fn check_level(&self, seconds: f64) -> Result<Vec<ClipNote>, ClipError> {
        let frame = ((FRAME * f64::from(self.rate)) as usize).max(1);
        let limit = 10_f64.powf(f64::from(SILENCE) / 10.0);
        let loud = |frame: &[f32]| {
            let power: f64 = frame.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
            power > limit * frame.len() as f64
        };
        let frames: Vec<bool> = self.samples.chunks(frame).map(loud).collect();
        let sounding = frames.iter().filter(|loud| **loud).count() as f64 * FRAME;
        if sounding < LEAST_SOUND {
            return Err(ClipError::Silent { sounding, seconds, level: SILENCE });
        }
        let mut notes = Vec::new();
        let late = frames.iter().take_while(|loud| !**loud).count() as f64 * FRAME;
        if late > LATE {
            notes.push(ClipNote::LateStart { seconds: late });
        }
        let peak = self.samples.iter().fold(0.0_f32, |peak, x| peak.max(x.abs()));
        let peak = 20.0 * f64::from(peak).log10();
        if peak < QUIET {
            notes.push(ClipNote::Quiet { peak });
        }
        Ok(notes)
    }
}
