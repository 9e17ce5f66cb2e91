//! What keeps a recording from being a voice, and what does not but should be known. The texts go on after the file's name.

use std::io;

/// Why a recording can't be used. Reads on after `recording NAME: `.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClipError {
    #[error("it cannot be read: {source}")]
    Io { source: io::Error },
    #[error("it is no regular file")]
    NoFile,
    #[error("the file is empty")]
    Empty,
    #[error(
        "it is no audio file of a known kind (wav, aiff, caf, mp3, flac, ogg, opus, m4a, aac, mkv and webm are)"
    )]
    Unknown,
    #[error("it holds no sound, only other kinds of tracks")]
    NoTrack,
    /// `codec`: the container's or symphonia's word for it.
    #[error("its sound is coded in a way that is not supported ({codec})")]
    Codec { codec: String },
    #[error("it is damaged: {why}")]
    Damaged { why: String },
    #[error("it is cut off or damaged: no sound could be decoded")]
    NoSound,
    /// More was read than a recording of any common format needs.
    #[error("no sound was found in the first {mib} MiB that were read of it")]
    TooFar { mib: u64 },
    #[error("its sample rate of {rate} Hz lies outside 8000 to 192000 Hz")]
    Rate { rate: u32 },
    /// `needed` has its unit and how it is meant: `at least 1 s`.
    #[error("it is too short: it lasts {seconds:.1} s, {needed} are needed")]
    TooShort { seconds: f64, needed: String },
    #[error("it is silent: only {sounding:.1} s of the {seconds:.1} s looked at are louder than {level} dB")]
    Silent { sounding: f64, seconds: f64, level: i32 },
    #[error("it is overdriven: {percent:.0}% of its samples are clipped")]
    Clipped { percent: f64 },
    #[error("it holds values that are not finite numbers")]
    NotFinite,
}

/// What an operator should know of a recording that can be used. Reads on after `recording NAME: `.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ClipNote {
    #[error("only its first {used:.0} s are used{}", whole_length(*whole))]
    Trimmed { used: f64, whole: Option<f64> },
    #[error("it lasts only {seconds:.1} s; from {good:.0} s on a voice is caught better")]
    Short { seconds: f64, good: f64 },
    #[error("{percent:.1}% of its samples are clipped; a cleaner recording will sound better")]
    Clipped { percent: f64 },
    #[error("it is very quiet (peak at {peak:.0} dB); a louder recording will sound better")]
    Quiet { peak: f64 },
    #[error("its first {seconds:.1} s are silent; cut them off, for a voice is taken from the beginning")]
    LateStart { seconds: f64 },
    #[error("{count} damaged pieces of it were left out")]
    Damaged { count: usize },
    #[error("the file is cut off: it announces {announced:.1} s and holds {held:.1} s")]
    CutOff { announced: f64, held: f64 },
    #[error("its sample rate of {rate} Hz is low; from 24000 Hz on a voice is caught better")]
    LowRate { rate: u32 },
}

fn whole_length(seconds: Option<f64>) -> String {
    let Some(seconds) = seconds else { return String::new() };
    let minutes = (seconds / 60.0).round() as u64;
    match minutes {
        0..=1 => format!(" (it lasts {seconds:.0} s)"),
        2..=119 => format!(" (it lasts {minutes} minutes)"),
        _ => format!(" (it lasts {} h {} min)", minutes / 60, minutes % 60),
    }
}
