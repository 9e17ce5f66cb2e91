//! The flow at its published depth, with weights from a counter hash: `GOLDEN_FOLDER` compares it with what
//! `reference/dump_flow.py GOLDEN_FOLDER --full` wrote, `speed FRAMES` counts the processor time of one
//! evaluation of the estimator (Linux), which other programs disturb less than the clock's.
#![expect(clippy::print_stdout, reason = "a command shows its figures")]

#[path = "../tests/golden_checks"]
mod golden_checks {
    pub(crate) mod flow;
}

use candle_core::Device;
use golden_checks::flow::{Case, check, check_together, load, load_quiet, prompt};
use std::{error::Error, path::Path};
use stentor_engine_chatterbox::voice::S3GenPrompt;
use stentor_nn::Unwatched;
use stentor_testkit::chatterbox::{self, Depth, Golden, Part};

/// Of any layer, and of the mel frames.
const TOLERANCE: [f64; 2] = [1e-4, 1e-4];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["speed", frames] => time(frames.parse()?),
        [folder] => {
            compare(Path::new(folder));
            Ok(())
        }
        _ => Err("usage: full_parity_flow GOLDEN_FOLDER | full_parity_flow speed FRAMES".into()),
    }
}

fn compare(folder: &Path) {
    let case = |name, last, steps| Case { name, last, steps, tolerance: TOLERANCE };
    let flow = load(Part::S3Gen, Depth::Full, 1.0, &Device::Cpu);
    let golden = Golden::read("flow", folder);
    for case in [case("whole", true, 10), case("steps", true, 3), case("begun", false, 4)] {
        println!("{}: {} layers agree", case.name, check(&flow, &golden, &case));
    }
    drop(flow);
    let layers = check(&load_quiet(Depth::Full, &Device::Cpu), &golden, &case("quiet", true, 1));
    println!("quiet: {layers} layers agree");
    let flow = load(Part::S3GenMeanflow, Depth::Full, 1.0, &Device::Cpu);
    let golden = Golden::read("flow-meanflow", folder);
    for case in [case("whole", true, 2), case("steps", true, 3)] {
        println!("mean flow, {}: {} layers agree", case.name, check(&flow, &golden, &case));
    }
    check_together(&flow, 2, 0.0);
    println!("mean flow: several tasks at once are to the bit what each is alone");
}

/// One more step of a mean flow is one evaluation of the estimator.
fn time(frames: usize) -> Result<(), Box<dyn Error>> {
    let flow = load(Part::S3GenMeanflow, Depth::Full, 1.0, &Device::Cpu);
    let prompt = S3GenPrompt { tokens: Vec::new(), mel: Vec::new(), ..prompt() };
    let tokens = chatterbox::integers("tokens", frames / 2, 6561);
    let noise = chatterbox::noise("noise", frames / 2 * 2 * 80);
    let work = 0.1322 * frames as f64 + 1.147e-4 * (frames * frames) as f64;
    for round in 0..3 {
        let [short, long] = [1, 4].map(|steps| {
            let start = processor_seconds();
            let mel = flow.render(&prompt, (&tokens, true), (&noise, steps), &Unwatched);
            (processor_seconds() - start, mel)
        });
        long.1?;
        let evaluation = (long.0 - short.0) / 3.0;
        let (rate, rest) = (work / evaluation, short.0 - evaluation);
        println!("{round}: {evaluation:.3} s, {rate:.0} GFLOP/s; encoder {rest:.3} s");
    }
    Ok(())
}

/// What this process has used so far, all threads together.
fn processor_seconds() -> f64 {
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>()
        / TICKS
}
