//! Chunks of speech to one stream: silence trimmed, pauses exact, no clicks, no sample beyond full scale.
//!
//! Works sample by sample, so the output does not depend on how a chunk is cut into pushes. What it holds back is
//! bounded by [`JoinOptions::longest_gap_ms`].

use std::{collections::VecDeque, f32::consts::PI, ops::Range};
use stentor_types::SampleRate;

/// Up to this magnitude samples pass unchanged; above it they are bent towards 1.
const KNEE: f32 = 0.9;
/// Pole of the filter that takes a constant offset out of the level detector (about 20 Hz at 24 kHz).
const DC_POLE: f32 = 0.995;

/// How chunks are trimmed and joined.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JoinOptions {
    /// Level in dB of full scale under which a sample counts as silence.
    pub threshold_db: f32,
    /// Of a chunk's leading silence this much is kept: soft consonants start below the threshold.
    pub keep_head_ms: u32,
    /// Of a chunk's trailing silence this much is kept, as part of the pause: sounds die away below the threshold.
    pub keep_tail_ms: u32,
    /// Length of the raised-cosine fade at each end of a chunk.
    pub fade_ms: u32,
    /// A silence inside a chunk is shortened to this. It is also what the joiner holds back at most, because it cannot
    /// know whether a silence is the last one before that sounds again or ends.
    pub longest_gap_ms: u32,
}

impl Default for JoinOptions {
    fn default() -> Self {
        Self { threshold_db: -45.0, keep_head_ms: 50, keep_tail_ms: 100, fade_ms: 5, longest_gap_ms: 2000 }
    }
}

/// Where a chunk came to lie in the output, for shifting its word timings; see [`Placement::sounds_at`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Placement {
    /// Output sample, counted from the joiner's first, at which the chunk's sample `trimmed` sounds.
    pub start: u64,
    /// Samples cut from the chunk's head; all of them where the chunk was silent.
    pub trimmed: u64,
    /// Chunk samples taken out of silences that were too long, ascending; at most one range per silence.
    pub shortened: Vec<Range<u64>>,
}

impl Placement {
    /// The output sample at which the chunk's sample `sample` sounds, or would, had it not been cut away.
    pub fn sounds_at(&self, sample: u64) -> u64 {
        let before = |cut: &Range<u64>| sample.clamp(cut.start, cut.end) - cut.start;
        let cut: u64 = self.shortened.iter().map(before).sum();
        self.start + sample.saturating_sub(self.trimmed).saturating_sub(cut)
    }
}

/// Joins chunks into one stream. For each chunk call [`begin`](Self::begin), [`push`](Self::push) any number of times
/// and [`end`](Self::end).
#[derive(Debug)]
pub struct Joiner {
    rate: SampleRate,
    threshold: f32,
    keep_head: usize,
    keep_tail: usize,
    longest_gap: usize,
    /// Gains of a fade-in, from near 0 to near 1; read backwards for a fade-out.
    fade: Vec<f32>,
    /// Samples written to the output since the joiner was made.
    written: u64,
    chunk: ChunkState,
}

#[derive(Debug, Default)]
struct ChunkState {
    /// Samples not written yet, faded in already: the last sound (at most a fade long) and the silence after it.
    held: VecDeque<f32>,
    /// How many of `held` come before the end of the last sound.
    sounding: usize,
    /// Output sample of the chunk's first written sample; none while all was silence.
    start: Option<u64>,
    trimmed: u64,
    /// As in [`Placement::shortened`].
    shortened: Vec<Range<u64>>,
    /// Samples accepted since `start`, for the fade-in.
    accepted: usize,
    /// Last input and output of the offset filter; none before the first sample, which counts as the offset.
    detector: Option<(f32, f32)>,
}

impl Joiner {
    /// A joiner of chunks at `rate`, with nothing written yet.
    pub fn new(rate: SampleRate, options: JoinOptions) -> Self {
        let fade = rate.samples_in_ms(options.fade_ms);
        let gain = |i: usize| 0.5 - 0.5 * (PI * (i as f32 + 0.5) / fade as f32).cos();
        Self {
            rate,
            threshold: 10f32.powf(options.threshold_db / 20.0),
            keep_head: rate.samples_in_ms(options.keep_head_ms),
            keep_tail: rate.samples_in_ms(options.keep_tail_ms),
            longest_gap: rate.samples_in_ms(options.longest_gap_ms),
            fade: (0..fade).map(gain).collect(),
            written: 0,
            chunk: ChunkState::default(),
        }
    }

    /// A chunk starts. What an unfinished chunk before it still held back is dropped.
    pub fn begin(&mut self) {
        self.chunk = ChunkState::default();
    }

    /// Takes the chunk's next samples and appends to `out` those that are certain by now.
    ///
    /// Anything that is not a finite number becomes 0, and no output sample lies beyond ±1.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        let before = out.len();
        for &sample in samples {
            let sample = soft_limit(if sample.is_finite() { sample } else { 0.0 });
            let sounds = self.chunk.detect(sample) > self.threshold;
            match self.chunk.start {
                None => self.hold_leading(sample, sounds),
                Some(_) => self.hold(sample),
            }
            if sounds {
                self.chunk.sounding = self.chunk.held.len();
                // A fade's length of sound stays, in case the chunk ends here.
                while self.chunk.sounding > self.fade.len() {
                    out.extend(self.chunk.held.pop_front());
                    self.chunk.sounding -= 1;
                }
            } else if self.chunk.start.is_some() {
                self.shorten_gap();
            }
        }
        self.written += (out.len() - before) as u64;
    }

    /// The chunk is complete. Writes its end and as much silence that `pause_ms` lie between its last sound and the
    /// next chunk; of its own trailing silence up to `keep_tail_ms` become the start of that pause.
    pub fn end(&mut self, pause_ms: u32, out: &mut Vec<f32>) -> Placement {
        let chunk = std::mem::take(&mut self.chunk);
        let pause = self.rate.samples_in_ms(pause_ms);
        let Some(start) = chunk.start else {
            let placement = Placement {
                start: self.written,
                trimmed: chunk.trimmed + chunk.held.len() as u64,
                shortened: Vec::new(),
            };
            self.append_silence(pause, out);
            return placement;
        };
        let tail = (chunk.held.len() - chunk.sounding).min(self.keep_tail).min(pause);
        let last = chunk.sounding + tail;
        let fade_out = |i: usize| self.fade.get(last - 1 - i).copied().unwrap_or(1.0);
        out.extend(chunk.held.iter().take(last).enumerate().map(|(i, sample)| sample * fade_out(i)));
        self.written += last as u64;
        self.append_silence(pause - tail, out);
        Placement { start, trimmed: chunk.trimmed, shortened: chunk.shortened }
    }

    fn append_silence(&mut self, samples: usize, out: &mut Vec<f32>) {
        out.resize(out.len() + samples, 0.0);
        self.written += samples as u64;
    }

    /// Before the first sound: keeps the last `keep_head` samples. The first sound makes them the chunk's start.
    fn hold_leading(&mut self, sample: f32, sounds: bool) {
        self.chunk.held.push_back(sample);
        if sounds {
            // Nothing of a chunk is written before its first sound, so it starts where earlier chunks ended.
            self.chunk.start = Some(self.written);
            let held = std::mem::take(&mut self.chunk.held);
            for sample in held {
                self.hold(sample);
            }
        } else if self.chunk.held.len() > self.keep_head {
            self.chunk.held.pop_front();
            self.chunk.trimmed += 1;
        }
    }

    /// From the first sound on: fades in.
    fn hold(&mut self, sample: f32) {
        let gain = self.fade.get(self.chunk.accepted).copied().unwrap_or(1.0);
        self.chunk.accepted += 1;
        self.chunk.held.push_back(sample * gain);
    }

    /// Takes from a silence what makes it too long, but not what may lead into the next sound.
    fn shorten_gap(&mut self) {
        let chunk = &mut self.chunk;
        if chunk.held.len() - chunk.sounding > self.longest_gap {
            let kept = self.keep_head.min(self.longest_gap);
            chunk.held.remove(chunk.held.len() - 1 - kept);
            let taken = chunk.trimmed + (chunk.accepted - 1 - kept) as u64;
            match chunk.shortened.last_mut() {
                Some(cut) if cut.end == taken => cut.end += 1,
                _ => chunk.shortened.push(taken..taken + 1),
            }
        }
    }
}

impl ChunkState {
    /// The level of `sample` as the threshold sees it: its magnitude, with or without any constant offset, whichever
    /// is less. (The filter alone would ring on after a sound, the sample alone would take an offset for sound.)
    fn detect(&mut self, sample: f32) -> f32 {
        let (last_in, last_out) = self.detector.unwrap_or((sample, 0.0));
        let output = sample - last_in + DC_POLE * last_out;
        self.detector = Some((sample, output));
        sample.abs().min(output.abs())
    }
}

/// Unchanged up to the knee, from there on along a hyperbolic tangent with the same slope, never beyond ±1.
fn soft_limit(sample: f32) -> f32 {
    let over = sample.abs() - KNEE;
    if over <= 0.0 {
        return sample;
    }
    let room = 1.0 - KNEE;
    (KNEE + room * (over / room).tanh()).min(1.0).copysign(sample)
}
