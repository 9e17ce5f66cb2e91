//! Logits to a token, in each family's own order of processors.
//!
//! Ids that are no sound and not the end are ruled out before anything else: they have no embedding further on. Every draw
//! is a function of the seed and of how many draws came before it.

use crate::model::{SPEECH_TOKENS, STOP_SPEECH, t3::Family};
use std::{cmp::Ordering, collections::BinaryHeap};
use stentor_nn::{Draw, Drawn};

/// How tokens are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Whose order of processors it is.
    pub family: Family,
    /// Zero or less: as `greedy`.
    pub temperature: f32,
    pub top_p: f32,
    /// English and multilingual only.
    pub min_p: f32,
    /// Turbo and Nano only; zero means all.
    pub top_k: usize,
    pub repetition_penalty: f32,
    /// English and multilingual only; zero means that there is no second row.
    pub cfg_weight: f32,
    /// The largest logit wins; nothing is random.
    pub greedy: bool,
}

/// Why no token can be drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// A logit is not a number, or infinitely large.
    #[error("the model's output is not finite")]
    NotFinite,
    /// The two rows differ in length, or there are fewer logits than tokens.
    #[error("the model's output has {0} values, which is not one for each token")]
    Size(usize),
    /// No token has a probability.
    #[error("the model rules out every token")]
    Nothing,
}

/// Numbers in [0, 1) that depend on a seed and a count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rng {
    seed: u64,
    step: u64,
}

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self { seed: mix(seed), step: 0 }
    }

    /// The next number: step n of splitmix64, started at the seed's own hash.
    pub fn draw(&mut self) -> f64 {
        self.step += 1;
        let hash = mix(self.seed.wrapping_add(self.step.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        (hash >> 11) as f64 / (1u64 << 53) as f64
    }

    /// What [`draw`](Self::draw) will give next.
    fn peek(&self) -> f64 {
        self.clone().draw()
    }
}

fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Sampling {
    /// What the reference uses.
    pub fn of(family: Family) -> Self {
        let turbo = family == Family::Turbo;
        Self {
            family,
            temperature: 0.8,
            top_p: if turbo { 0.95 } else { 1.0 },
            min_p: if turbo { 0.0 } else { 0.05 },
            top_k: if turbo { 1000 } else { 0 },
            repetition_penalty: if family == Family::Multilingual { 2.0 } else { 1.2 },
            cfg_weight: if turbo { 0.0 } else { 0.5 },
            greedy: false,
        }
    }
}

impl Sampling {
    /// What [`sample`] would do, for logits that stay where they are computed. With `end_barred` the end can't be drawn. `rng` is to
    /// go on by one number once the token is there.
    pub fn elsewhere(&self, history: &[u32], rng: &Rng, end_barred: bool) -> Draw {
        let mut draw = Draw {
            drawn: rng.peek(),
            temperature: self.temperature,
            top_p: self.top_p,
            min_p: self.min_p,
            top_k: self.top_k,
            penalty: self.repetition_penalty,
            cfg_weight: self.cfg_weight,
            largest_first: self.family == Family::Turbo,
            greedy: self.greedy,
            end_barred,
            ..Draw::default()
        };
        draw.say(history);
        draw
    }
}

/// A token that was drawn elsewhere. Takes one number of `rng`, as [`sample`] does.
pub fn drawn_elsewhere(drawn: Drawn, rng: &mut Rng) -> Result<u32, SampleError> {
    match drawn {
        Drawn::Token(token) => {
            rng.draw();
            Ok(token)
        }
        Drawn::NotFinite => Err(SampleError::NotFinite),
        Drawn::Nothing => Err(SampleError::Nothing),
    }
}

/// Whether T3 may say `id`: a sound, or the end.
pub fn is_sayable(id: u32) -> bool {
    id < SPEECH_TOKENS || id == STOP_SPEECH
}

/// Draws a token. `unguided` are the logits of the row that does not see the text, if there is one; `history` is what was said
/// so far, with the beginning of speech. Takes one number of `rng`, greedy or not.
pub fn sample(
    logits: &[f32],
    unguided: Option<&[f32]>,
    history: &[u32],
    sampling: &Sampling,
    rng: &mut Rng,
) -> Result<u32, SampleError> {
    let scores = process(logits, unguided, history, sampling)?;
    let drawn = rng.draw();
    if sampling.greedy || sampling.temperature <= 0.0 {
        return Ok(scores.largest()?.0 as u32);
    }
    let weights = scores.weights()?;
    let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
    let mut left = drawn * total;
    for (id, weight) in &weights {
        left -= weight;
        if left < 0.0 {
            return Ok(*id as u32);
        }
    }
    // Rounding may leave a rest: it is the last token's.
    weights.last().map(|(id, _)| *id as u32).ok_or(SampleError::Nothing)
}

/// The tokens that [`sample`] may draw and their probabilities, in ascending order of ids.
pub fn probabilities(
    logits: &[f32],
    unguided: Option<&[f32]>,
    history: &[u32],
    sampling: &Sampling,
) -> Result<Vec<(u32, f32)>, SampleError> {
    let weights = process(logits, unguided, history, sampling)?.weights()?;
    let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
    Ok(weights.into_iter().map(|(id, weight)| (id as u32, (weight / total) as f32)).collect())
}

fn process(
    logits: &[f32],
    unguided: Option<&[f32]>,
    history: &[u32],
    sampling: &Sampling,
) -> Result<Scores, SampleError> {
    let mut scores = Scores::new(logits, unguided, sampling.cfg_weight)?;
    if sampling.family == Family::Turbo {
        scores.soften(sampling.temperature);
        scores.keep_largest(sampling.top_k);
        scores.keep_mass(sampling.top_p)?;
        scores.penalize(history, sampling.repetition_penalty);
    } else {
        scores.penalize(history, sampling.repetition_penalty);
        scores.soften(sampling.temperature);
        scores.keep_near_largest(sampling.min_p)?;
        scores.keep_mass(sampling.top_p)?;
    }
    Ok(scores)
}

/// One score for each id; what is ruled out has minus infinity.
struct Scores(Vec<f32>);

/// A token that the heap gives in order of its weight, of equal ones the highest id first, as a stable ascending sort has it.
#[derive(PartialEq)]
struct Ranked(f64, usize);

impl Eq for Ranked {}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0).then(self.1.cmp(&other.1))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Scores {
    /// c + w (c - u) of the ids that may be said.
    fn new(logits: &[f32], unguided: Option<&[f32]>, weight: f32) -> Result<Self, SampleError> {
        let enough = logits.len() > STOP_SPEECH as usize;
        if !enough || unguided.is_some_and(|unguided| unguided.len() != logits.len()) {
            return Err(SampleError::Size(logits.len()));
        }
        let guide = |id: usize| match unguided {
            Some(unguided) => logits[id] + weight * (logits[id] - unguided[id]),
            None => logits[id],
        };
        let score = |id: usize| if is_sayable(id as u32) { guide(id) } else { f32::NEG_INFINITY };
        let scores: Vec<f32> = (0..=STOP_SPEECH as usize).map(score).collect();
        if scores.iter().any(|score| score.is_nan() || *score == f32::INFINITY) {
            return Err(SampleError::NotFinite);
        }
        Ok(Self(scores))
    }

    /// Makes what was said less likely, once for each id: positive scores are divided, negative ones multiplied.
    fn penalize(&mut self, history: &[u32], penalty: f32) {
        if penalty <= 0.0 {
            return;
        }
        let mut said = history.to_vec();
        said.sort_unstable();
        said.dedup();
        for id in said {
            if let Some(score) = self.0.get_mut(id as usize) {
                *score = if *score < 0.0 { *score * penalty } else { *score / penalty };
            }
        }
    }

    fn soften(&mut self, temperature: f32) {
        if temperature > 0.0 {
            self.0.iter_mut().for_each(|score| *score /= temperature);
        }
    }

    /// Id and score of the largest, of equal ones the first.
    fn largest(&self) -> Result<(usize, f32), SampleError> {
        let larger =
            |best: (usize, f32), (id, &score): (usize, &f32)| if score > best.1 { (id, score) } else { best };
        let best = self.0.iter().enumerate().fold((0, f32::NEG_INFINITY), larger);
        if best.1 == f32::NEG_INFINITY { Err(SampleError::Nothing) } else { Ok(best) }
    }

    /// What is not ruled out, and how likely relative to the largest, in ascending order of ids.
    fn weights(&self) -> Result<Vec<(usize, f64)>, SampleError> {
        let (_, largest) = self.largest()?;
        let weight = |(id, &score): (usize, &f32)| (id, f64::from(score - largest).exp());
        let kept = self.0.iter().enumerate().filter(|(_, score)| **score > f32::NEG_INFINITY);
        Ok(kept.map(weight).filter(|(_, weight)| *weight > 0.0).collect())
    }

    /// Rules out all but the `count` largest and what equals the last of those.
    fn keep_largest(&mut self, count: usize) {
        if count == 0 || count >= self.0.len() {
            return;
        }
        let mut sorted = self.0.clone();
        let (_, least, _) = sorted.select_nth_unstable_by(count - 1, |a, b| b.total_cmp(a));
        let least = *least;
        self.keep(|_, score| score >= least);
    }

    /// Rules out what is less likely than `share` of the most likely.
    fn keep_near_largest(&mut self, share: f32) -> Result<(), SampleError> {
        let (_, largest) = self.largest()?;
        if share > 0.0 {
            self.keep(|_, score| score >= largest || f64::from(score - largest).exp() >= f64::from(share));
        }
        Ok(())
    }

    /// Keeps the most likely tokens that together reach `mass` of the probability, with the one that crosses it.
    fn keep_mass(&mut self, mass: f32) -> Result<(), SampleError> {
        if mass >= 1.0 {
            return Ok(());
        }
        let weights = self.weights()?;
        let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
        let mut ranked: BinaryHeap<Ranked> =
            weights.into_iter().map(|(id, weight)| Ranked(weight / total, id)).collect();
        let mut keep = vec![false; self.0.len()];
        let mut reached = 0.0;
        while let Some(Ranked(share, id)) = ranked.pop() {
            keep[id] = true;
            reached += share;
            if reached >= f64::from(mass) {
                break;
            }
        }
        self.keep(|id, _| keep[id]);
        Ok(())
    }

    fn keep(&mut self, keep: impl Fn(usize, f32) -> bool) {
        for (id, score) in self.0.iter_mut().enumerate() {
            if !keep(id, *score) {
                *score = f32::NEG_INFINITY;
            }
        }
    }
}
