//! T3 as deep as published, by hand. `t3 parity FOLDER variant ..` compares with goldens that are too large to keep: FOLDER
//! is what `reference/dump_t3.py FOLDER --full` wrote, the variants are english, multilingual, turbo or nano.
//! `t3 speed VARIANT full|reduced THREADS BATCH [DEVICE [PRECISION]]` prints the median and best step of decoding, with the next
//! tokens drawn on the card where DEVICE is one (`cuda:0`), as the engine has them.

#[expect(dead_code, reason = "half precision is not for our kernels")]
#[path = "../tests/golden_checks/t3.rs"]
mod checks;
#[path = "../tests/golden_checks/recorder.rs"]
mod recorder;

use std::{env::args, io::Write as _, path::Path, time::Instant};
use stentor_engine_chatterbox::sampler::{Rng, Sampling};
use stentor_nn::{Opened, Unwatched, open_device};
use stentor_testkit::chatterbox::{Depth, Golden, Part};
use stentor_types::{DeviceSpec, Precision};

const TOLERANCE: f64 = 2e-5;

fn main() -> std::io::Result<()> {
    let args: Vec<String> = args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["parity", folder, variants @ ..] => parity(Path::new(folder), variants),
        ["speed", variant, depth, threads, batch, place @ ..] if place.len() <= 2 => {
            let number = |text: &str| text.parse::<usize>().map_err(std::io::Error::other);
            let opened = opened(place)?;
            let depth = if *depth == "full" { Depth::Full } else { Depth::Reduced };
            let (threads, batch) = (number(threads)?, number(batch)?);
            if !opened.device.is_cpu() {
                return speed(part(variant), depth, batch, &opened);
            }
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.map_err(std::io::Error::other)?.install(|| speed(part(variant), depth, batch, &opened))
        }
        _ => Err(std::io::Error::other(
            "t3 parity FOLDER VARIANT .. | t3 speed VARIANT full|reduced THREADS BATCH [DEVICE [PRECISION]]",
        )),
    }
}

/// The device and the precision that were asked for, or an error: another's speed is no answer.
fn opened(place: &[&str]) -> std::io::Result<Opened> {
    let device = place.first().map_or(Ok(DeviceSpec::Cpu), |device| device.parse());
    let precision = match place.get(1) {
        None | Some(&"f32") => Precision::F32,
        Some(&"f16") => Precision::F16,
        Some(&"int8") => Precision::Int8,
        Some(other) => return Err(std::io::Error::other(format!("f32, f16 or int8, not {other}"))),
    };
    let opened = open_device(device.map_err(std::io::Error::other)?, precision);
    match &opened.degraded {
        Some(why) => Err(std::io::Error::other(why.clone())),
        None => Ok(opened),
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

fn speed(part: Part, depth: Depth, batch: usize, opened: &Opened) -> std::io::Result<()> {
    stentor_nn::keep_big_blocks();
    let t3 = checks::load_on(part, depth, &opened.device, opened.precision);
    let mut sequences: Vec<_> = (0..batch).map(|_| checks::begin(&t3, part, &Unwatched).1).collect();
    let (sampling, rng, mut said) = (Sampling::of(t3.family()), Rng::new(1), vec![6561]);
    let (mut times, mut work) = (Vec::new(), Vec::new());
    for token in 0..23 {
        said.push(token);
        let draw = (!opened.device.is_cpu()).then(|| sampling.elsewhere(&said, &rng, false));
        let mut rows: Vec<_> = sequences.iter_mut().map(|sequence| (sequence, token)).collect();
        let before = (Instant::now(), busy());
        t3.decode_and_draw(&mut rows, vec![draw; batch], &Unwatched).map_err(std::io::Error::other)?;
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
    let how = format!("{part:?} on {} in {:?}, {} layers", opened.spec, opened.precision, t3.layers());
    writeln!(std::io::stdout(), "{how}, {batch} at once: {figures}")?;
    t3.take_remark().map_or(Ok(()), |remark| writeln!(std::io::stdout(), "{remark}"))
}
