//! What a new worker says again of a chunk that an earlier one had begun: skipped, but not unseen.
//!
//! On a CPU it is the same to the bit, and anything else is an error, since a splice would be heard. On a GPU sums
//! may be rounded otherwise, so the replay is blended in.

use stentor_types::WordTiming;

/// Samples over which a replay is blended in: 10 ms at 24 kHz.
const FADE: usize = 240;

#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// Samples and words that are still to come again.
    samples: usize,
    words: usize,
    /// Old less new, of the last samples that came twice.
    seam: Vec<f32>,
    faded: usize,
    /// Some sample came differently.
    differs: bool,
}

impl Replay {
    /// A new worker begins from the start; so much was received before.
    pub(crate) fn begin(&mut self, samples: usize, words: usize) {
        (self.samples, self.words) = (samples, words);
        self.seam.clear();
        self.faded = 0;
    }

    /// Whether the new worker has not come as far as the old one had.
    pub(crate) fn is_behind(&self) -> bool {
        self.samples > 0
    }

    /// The chunk's audio is of two workers and not quite that of either.
    pub(crate) fn differs(&self) -> bool {
        self.differs
    }

    /// Takes off what was received before, which is `known`; `exact`: it must be the same to the bit.
    pub(crate) fn samples<'a>(&mut self, known: &[f32], got: &'a [f32], exact: bool) -> Option<&'a [f32]> {
        let (again, fresh) = got.split_at(self.samples.min(got.len()));
        let at = known.len() - self.samples;
        let pairs = || known[at..].iter().zip(again);
        self.samples -= again.len();
        if pairs().any(|(old, new)| old.to_bits() != new.to_bits()) {
            self.differs = true;
        }
        if exact && self.differs {
            return None;
        }
        if self.differs {
            self.seam.extend(pairs().map(|(old, new)| old - new));
            self.seam.drain(..self.seam.len().saturating_sub(FADE));
        }
        Some(fresh)
    }

    /// Takes off the words that were received before; `None` if they are others, which means other audio too.
    pub(crate) fn words<'a>(
        &mut self,
        known: &[WordTiming],
        got: &'a [WordTiming],
    ) -> Option<&'a [WordTiming]> {
        let (again, fresh) = got.split_at(self.words.min(got.len()));
        let at = known.len() - self.words;
        self.words -= again.len();
        known[at..].starts_with(again).then_some(fresh)
    }

    /// Leads over from the old worker's sound to the new one's: the difference at the end of what came twice is
    /// mirrored into what follows and faded out.
    pub(crate) fn blend(&mut self, fresh: &mut [f32]) {
        let length = self.seam.len();
        for (sample, old_less_new) in fresh.iter_mut().zip(self.seam.iter().rev().skip(self.faded)) {
            self.faded += 1;
            *sample += old_less_new * (1.0 - self.faded as f32 / (length + 1) as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replay(samples: usize) -> Replay {
        let mut replay = Replay::default();
        replay.begin(samples, 0);
        replay
    }

    #[test]
    fn the_same_samples_are_skipped_and_the_rest_is_left_alone() {
        let mut replay = replay(3);
        let known = [0.1, 0.2, 0.3];
        assert_eq!(replay.samples(&known, &[0.1, 0.2], true), Some(&[][..]));
        assert!(replay.is_behind());
        assert_eq!(replay.samples(&known, &[0.3, 0.4], true), Some(&[0.4][..]));
        let mut fresh = [0.4, -0.0];
        replay.blend(&mut fresh);
        assert_eq!(fresh.map(f32::to_bits), [0.4_f32, -0.0].map(f32::to_bits));
        assert!(!replay.differs() && !replay.is_behind());
    }

    #[test]
    fn one_other_bit_is_refused_where_samples_are_exact() {
        let mut replay = replay(2);
        assert_eq!(replay.samples(&[0.0, 0.5], &[-0.0, 0.5, 0.6], true), None);
    }

    #[test]
    fn elsewhere_the_difference_is_faded_out_without_a_step() {
        let known = vec![0.5; 1000];
        let mut replay = replay(1000);
        let got = vec![0.4; 2000];
        let mut fresh = replay.samples(&known, &got, false).expect("blended").to_vec();
        let (head, tail) = fresh.split_at_mut(100);
        replay.blend(head);
        replay.blend(tail);
        assert!(replay.differs());
        let heard: Vec<f32> = known.iter().chain(&fresh).copied().collect();
        let step = heard.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
        assert!(step < 0.001, "a step of {step}; spliced without fading it is 0.1");
        assert_eq!(fresh[FADE..], got[..1000 - FADE], "after 10 ms it is the new sound alone");
    }

    #[test]
    fn other_timings_are_another_sound() {
        let word = |end| WordTiming { text: 0..1, samples: 0..end };
        let mut replay = Replay::default();
        replay.begin(0, 1);
        assert_eq!(replay.words(&[word(5)], &[word(6)]), None);
        replay.begin(0, 1);
        assert_eq!(replay.words(&[word(5)], &[word(5), word(9)]), Some(&[word(9)][..]));
    }
}
