//! What it costs to store T3's weights in half precision or as bytes: `precision FOLDER TOKENS [TEXT_TOKENS]`. FOLDER is what
//! `hash_checkpoint` wrote for Turbo or Nano. The same tokens, drawn from the exact logits, go through all; prints for each how far its logits are off,
//! relative to their spread, how often the most probable token is the same, and the divergence of the distributions.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use candle_core::Device;
use std::path::Path;
use stentor_engine_chatterbox::{
    model::{SPEECH_TOKENS, START_SPEECH, STOP_SPEECH, t3::T3},
    sampler::{Rng, Sampling, sample},
    voice::T3Prompt,
};
use stentor_nn::{Unwatched, Weights};
use stentor_testkit::chatterbox::{integers, noise};
use stentor_types::Precision;

fn logits(
    folder: &str,
    precision: Precision,
    text: &[u32],
    given: &[u32],
    count: usize,
) -> (Vec<Vec<f32>>, Vec<u32>) {
    let weights = Weights::open(&Path::new(folder).join("t3.safetensors"), &Device::Cpu).unwrap();
    let t3 = T3::load(&weights, &Device::Cpu, precision).unwrap();
    let voice = T3Prompt {
        speaker: noise("stages.speaker", 256),
        tokens: integers("stages.t3", 375, SPEECH_TOKENS.into()),
    };
    let prefix = t3.prefix(&voice, 0.0, &Unwatched).unwrap();
    let mut sequence = t3.start(&prefix, text, (false, count), &Unwatched).unwrap();
    let (sampling, mut rng) = (Sampling::of(t3.family()), Rng::new(1));
    let (mut history, mut all) = (vec![START_SPEECH], Vec::new());
    for step in 0..count {
        all.push(sequence.logits().to_vec());
        let mut open = sequence.logits().to_vec();
        open[STOP_SPEECH as usize] = -1e30;
        let drawn = || sample(&open, None, &history, &sampling, &mut rng).unwrap().min(SPEECH_TOKENS - 1);
        let token = given.get(step).copied().unwrap_or_else(drawn);
        history.push(token);
        if step + 1 < count {
            t3.decode(&mut [(&mut sequence, token)], &Unwatched).unwrap();
        }
    }
    (all, history.split_off(1))
}

fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let max = logits.iter().fold(f32::NEG_INFINITY, |max, &x| max.max(x));
    let sum: f64 = logits.iter().map(|&x| f64::from(x - max).exp()).sum();
    logits.iter().map(|&x| f64::from(x - max) - sum.ln()).collect()
}

fn best(logits: &[f32]) -> usize {
    logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (folder, count): (_, usize) = (&args[0], args[1].parse().unwrap());
    let text: Vec<u32> = (0..args.get(2).map_or(12, |text| text.parse().unwrap())).collect();
    let (exact, tokens) = logits(folder, Precision::F32, &text, &[], count);
    for precision in [Precision::F16, Precision::Int8] {
        let (other, _) = logits(folder, precision, &text, &tokens, count);
        let (mut error, mut spread, mut same, mut divergence) = (0.0, 0.0, 0, 0.0);
        for (exact, other) in exact.iter().zip(&other) {
            let mean = exact.iter().sum::<f32>() / exact.len() as f32;
            error += exact.iter().zip(other).map(|(x, y)| f64::from(x - y).powi(2)).sum::<f64>();
            spread += exact.iter().map(|x| f64::from(x - mean).powi(2)).sum::<f64>();
            same += usize::from(best(exact) == best(other));
            let (p, q) = (log_softmax(exact), log_softmax(other));
            divergence += p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum::<f64>();
        }
        println!(
            "{precision:?}: logits off by {:.2e} of their spread, the same best token {same} of {count}, divergence {:.2e} nats",
            (error / spread).sqrt(),
            divergence / count as f64
        );
    }
}
