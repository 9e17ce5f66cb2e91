//! How fast T3 decodes with hash weights: `t3_speed VARIANT full|reduced THREADS BATCH`. Prints the median step.

#[path = "../tests/golden_checks/t3.rs"]
mod checks;

use std::{env::args, io::Write as _, time::Instant};
use stentor_nn::Unwatched;
use stentor_testkit::chatterbox::{Depth, Part};

fn main() -> std::io::Result<()> {
    let args: Vec<String> = args().skip(1).collect();
    let [variant, depth, threads, batch] = args.as_slice() else { return Ok(()) };
    let part = match variant.as_str() {
        "english" => Part::T3English,
        "turbo" => Part::T3Turbo,
        _ => Part::T3Nano,
    };
    let number = |text: &String| text.parse().unwrap_or(1);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(number(threads)).build();
    stentor_nn::keep_big_blocks();
    let depth = if depth == "full" { Depth::Full } else { Depth::Reduced };
    pool.map_err(std::io::Error::other)?.install(|| {
        let t3 = checks::load(part, depth);
        let before = Instant::now();
        let mut sequences: Vec<_> =
            (0..number(batch)).map(|_| checks::begin(&t3, part, &Unwatched).1).collect();
        let begun = before.elapsed().as_secs_f64() * 1e3;
        let mut times: Vec<f64> = (0..23)
            .map(|token| {
                let mut rows: Vec<_> = sequences.iter_mut().map(|sequence| (sequence, token)).collect();
                let before = Instant::now();
                t3.decode(&mut rows, &Unwatched).map_err(std::io::Error::other)?;
                Ok(before.elapsed().as_secs_f64() * 1e3)
            })
            .collect::<std::io::Result<_>>()?;
        times.sort_by(f64::total_cmp);
        let (median, best) = (times[times.len() / 2], times[0]);
        let figures = format!("step {median:.2} ms, best {best:.2} ms; start {begun:.0} ms");
        writeln!(std::io::stdout(), "{variant}, {} layers, {batch} at once: {figures}", t3.layers())
    })
}
