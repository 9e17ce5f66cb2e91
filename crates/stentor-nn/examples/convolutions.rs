//! The convolutions of vocoders with all their products and with fewer, in turn: CPU time of each and their ratio.
//! Usage: `RAYON_NUM_THREADS=1 cargo run --release -p stentor-nn --example convolutions`
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use candle_core::{Device, Tensor};
use std::collections::HashMap;
use stentor_nn::{Conv1d, ConvShape, Unwatched, Weights, keep_big_blocks};

/// Runs of each, of which the best counts.
const RUNS: usize = 7;
/// Layers of a kind, one after the other.
const LAYERS: usize = 12;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    keep_big_blocks();
    println!(
        "channels, taps, dilation, columns: all products in GFLOP/s of a core; their time over that of fewer"
    );
    for (channels, kernel, dilation, len) in [
        (40, 3, 1, 24_000),
        (40, 11, 5, 24_000),
        (64, 3, 1, 24_000),
        (64, 7, 3, 24_000),
        (64, 11, 5, 24_000),
        (128, 3, 1, 24_000),
        (128, 7, 3, 24_000),
        (128, 11, 5, 24_000),
        (256, 3, 1, 4_000),
        (256, 7, 3, 4_000),
        (256, 11, 1, 4_000),
        (512, 3, 1, 1_000),
    ] {
        let random = |dims: &[usize]| Tensor::randn(0f32, 1.0, dims, &Device::Cpu);
        let shape = ConvShape::same(channels, channels, kernel, dilation);
        // A vocoder has many such layers, so that no cache holds the weights of one when it is its turn again.
        let pair = |_| -> Result<_, Box<dyn std::error::Error>> {
            let file = tempfile::NamedTempFile::new()?;
            let weights =
                [("weight", random(&[channels, channels, kernel])?), ("bias", random(&[channels])?)];
            candle_core::safetensors::save(&HashMap::from(weights), file.path())?;
            let weights = Weights::open(file.path(), &Device::Cpu)?;
            Ok([Conv1d::load(&weights.root(), shape)?, Conv1d::load_for_sound(&weights.root(), shape)?])
        };
        let layers = (0..LAYERS).map(pair).collect::<Result<Vec<_>, _>>()?;
        let x = random(&[channels, len])?;
        let mut best = [f64::MAX; 2];
        for _ in 0..RUNS {
            for (way, best) in best.iter_mut().enumerate() {
                let before = cpu_seconds()?;
                for layer in &layers {
                    layer[way].forward(&x, &Unwatched)?;
                }
                *best = best.min((cpu_seconds()? - before) / LAYERS as f64);
            }
        }
        let operations = 2.0 * (channels * channels * kernel * len) as f64;
        let rate = operations / best[0] / 1e9;
        println!("{channels}, {kernel}, {dilation}, {len}: {rate:.0}; {:.2}", best[0] / best[1]);
    }
    Ok(())
}

/// What this process's threads have used of all cores.
fn cpu_seconds() -> Result<f64, Box<dyn std::error::Error>> {
    let mut nanoseconds = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let counters = std::fs::read_to_string(task?.path().join("schedstat"))?;
        nanoseconds += counters.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(nanoseconds as f64 * 1e-9)
}
