//! How a token is drawn from logits that stay on a card. The numbers are those of a sampler on the CPU, which stays the reference.

/// The most ids there may be: what the kernel's threads hold.
pub(crate) const MOST_IDS: usize = 512 * 13;
const SAID_WORDS: usize = MOST_IDS / 32;
const LARGEST_FIRST: u32 = 1;
const GREEDY: u32 = 2;
const END_BARRED: u32 = 4;
const GUIDED: u32 = 8;
const WANTED: u32 = 16;

/// What is done to one sequence's scores before a token is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Draw {
    /// The random number, in [0, 1).
    pub drawn: f64,
    /// Zero or less: as `greedy`.
    pub temperature: f32,
    pub top_p: f32,
    /// Zero means none; not looked at with `largest_first`.
    pub min_p: f32,
    /// Zero means all; looked at with `largest_first` only.
    pub top_k: usize,
    pub penalty: f32,
    /// How far the row that sees the text is taken beyond the one that does not, if there is one.
    pub cfg_weight: f32,
    /// Temperature, the largest, their mass and then the penalty; else penalty, temperature, those near the largest, their mass.
    pub largest_first: bool,
    /// The largest score wins.
    pub greedy: bool,
    /// The last id must not be drawn.
    pub end_barred: bool,
    /// A bit for each id that is made less likely; see [`say`](Self::say).
    pub said: Vec<u32>,
}

/// What came of a draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drawn {
    Token(u32),
    /// A score is not a number, or infinitely large.
    NotFinite,
    /// No token has a probability.
    Nothing,
}

impl Default for Draw {
    fn default() -> Self {
        Self {
            drawn: 0.0,
            temperature: 1.0,
            top_p: 1.0,
            min_p: 0.0,
            top_k: 0,
            penalty: 1.0,
            cfg_weight: 0.0,
            largest_first: false,
            greedy: false,
            end_barred: false,
            said: vec![0; SAID_WORDS],
        }
    }
}

impl Draw {
    /// Words of a draw as a card reads it.
    pub const WORDS: usize = 10 + SAID_WORDS;

    /// Notes ids that were said; those beyond the most there may be can't be drawn anyway.
    pub fn say(&mut self, ids: &[u32]) {
        for id in ids {
            if let Some(word) = self.said.get_mut(*id as usize / 32) {
                *word |= 1 << (id % 32);
            }
        }
    }

    /// The draw as a card reads it, for logits in row `row`, behind which come those that do not see the text if it is `guided`.
    pub fn words(&self, row: usize, guided: bool) -> Vec<u32> {
        let drawn = self.drawn.to_bits();
        let flag = |set: bool, flag: u32| if set { flag } else { 0 };
        let flags = WANTED
            | flag(self.largest_first, LARGEST_FIRST)
            | flag(self.greedy, GREEDY)
            | flag(self.end_barred, END_BARRED)
            | flag(guided, GUIDED);
        let numbers = [self.temperature, self.top_p, self.min_p, self.penalty, self.cfg_weight];
        let mut words = vec![drawn as u32, (drawn >> 32) as u32];
        words.extend(numbers.map(f32::to_bits));
        words.extend([u32::try_from(self.top_k).unwrap_or(u32::MAX), flags, row as u32]);
        words.extend((0..SAID_WORDS).map(|word| self.said.get(word).copied().unwrap_or_default()));
        words
    }

    /// What the card's answer means; nothing if nothing was asked.
    pub fn outcome(answer: i32) -> Option<Drawn> {
        match answer {
            -1 => Some(Drawn::NotFinite),
            -2 => Some(Drawn::Nothing),
            token => u32::try_from(token).ok().map(Drawn::Token),
        }
    }
}
