//! The convolutions of vocoders with all their products and with fewer, in turn: CPU time of each and their ratio.
//! Usage: `RAYON_NUM_THREADS=1 cargo run --release -p stentor-nn --example convolutions`
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use candle_core::{Device, Tensor};
use std::collections::HashMap;
use stentor_nn::{Conv1d, ConvShape, Unwatched, Weights, keep_big_blocks};

/// Runs of each, of which the best counts.
const RUNS: usize = 15;

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
        let file = tempfile::NamedTempFile::new()?;
        let weights = [("weight", random(&[channels, channels, kernel])?), ("bias", random(&[channels])?)];
        candle_core::safetensors::save(&HashMap::from(weights), file.path())?;
        let weights = Weights::open(file.path(), &Device::Cpu)?;
        let shape = ConvShape::same(channels, channels, kernel, dilation);
        let all = Conv1d::load(&weights.root(), shape)?;
        let fewer = Conv1d::load_for_sound(&weights.root(), shape)?;
        let x = random(&[channels, len])?;
        let mut best = [f64::MAX; 2];
        for _ in 0..RUNS {
            for (conv, best) in [&all, &fewer].into_iter().zip(&mut best) {
                let before = cpu_seconds()?;
                conv.forward(&x, &Unwatched)?;
                *best = best.min(cpu_seconds()? - before);
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
