//! T3 as deep as published, by hand. `t3 parity FOLDER variant ..` compares with goldens that are too large to keep: FOLDER
//! is what `reference/dump_t3.py FOLDER --full` wrote, the variants are english, multilingual, turbo or nano.
//! `t3 speed VARIANT full|reduced THREADS BATCH` prints the median and best step of decoding.

#[expect(dead_code, reason = "half precision is not for our kernels")]
#[path = "../tests/golden_checks/t3.rs"]
mod checks;
#[path = "../tests/golden_checks/recorder.rs"]
mod recorder;

use std::{env::args, io::Write as _, path::Path, time::Instant};
use stentor_nn::Unwatched;
use stentor_testkit::chatterbox::{Depth, Golden, Part};

const TOLERANCE: f64 = 2e-5;

fn main() -> std::io::Result<()> {
    let args: Vec<String> = args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["parity", folder, variants @ ..] => parity(Path::new(folder), variants),
        ["speed", variant, depth, threads, batch] => {
            let number = |text: &str| text.parse::<usize>().map_err(std::io::Error::other);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(number(threads)?).build();
            let depth = if *depth == "full" { Depth::Full } else { Depth::Reduced };
            let batch = number(batch)?;
            pool.map_err(std::io::Error::other)?.install(|| speed(variant, depth, batch))
        }
        _ => Err(std::io::Error::other(
            "t3 parity FOLDER VARIANT .. | t3 speed VARIANT full|reduced THREADS BATCH",
        )),
    }
}

fn part(variant: &str) -> Part {
    match variant {
        "english" => Part::T3English,
        "multilingual" => Part::T3Multilingual,
        "turbo" => Part::T3Turbo,
        _ => Part::T3Nano,
    }
}

fn parity(folder: &Path, variants: &[&str]) -> std::io::Result<()> {
    let folder = folder.canonicalize()?;
    for variant in variants {
        let golden = Golden::open(&folder.join(format!("t3-{variant}")).to_string_lossy());
        let found = checks::check(part(variant), Depth::Full, &golden, TOLERANCE);
        writeln!(std::io::stdout(), "{variant}: {found}")?;
    }
    Ok(())
}

/// Time of this thread on a processor, in milliseconds, where the system tells.
fn busy() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e6
}

fn speed(variant: &str, depth: Depth, batch: usize) -> std::io::Result<()> {
    stentor_nn::keep_big_blocks();
    let t3 = checks::load(part(variant), depth);
    let mut sequences: Vec<_> = (0..batch).map(|_| checks::begin(&t3, part(variant), &Unwatched).1).collect();
    let (mut times, mut work) = (Vec::new(), Vec::new());
    for token in 0..23 {
        let mut rows: Vec<_> = sequences.iter_mut().map(|sequence| (sequence, token)).collect();
        let before = (Instant::now(), busy());
        t3.decode(&mut rows, &Unwatched).map_err(std::io::Error::other)?;
        times.push(before.0.elapsed().as_secs_f64() * 1e3);
        work.push(busy() - before.1);
    }
    times.sort_by(f64::total_cmp);
    work.sort_by(f64::total_cmp);
    let (median, best) = (times[times.len() / 2], times[0]);
    let busy = (work[work.len() / 2], work[0]);
    let figures = format!(
        "step {median:.2} ms, best {best:.2} ms; on one thread busy {:.2}, best {:.2}",
        busy.0, busy.1
    );
    writeln!(std::io::stdout(), "{variant}, {} layers, {batch} at once: {figures}", t3.layers())
}
