//! Runs the drills at the scale that is asked for, prints a row for each figure, and fails when a bound breaks.
//!
//! `stentor-soak target/release/stentor-under-test kills drain --scale 0.1`

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};
use stentor_tests::drill::{self, Plan};

#[derive(Parser)]
struct Args {
    /// The program under test.
    program: PathBuf,
    /// Drills to run; all of them when none is named.
    drills: Vec<String>,
    /// 0.01 to 1, the full drill.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Brings a drill's random choices back; drawn anew when it is not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Runs that a median is taken of.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Minutes of one run of the probes; at full scale ten.
    #[arg(long)]
    minutes: Option<f64>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    ensure!((0.01..=1.0).contains(&args.scale), "--scale is from 0.01 to 1");
    let program = fs::canonicalize(&args.program).with_context(|| args.program.display().to_string())?;
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_secs());
    let plan = Plan {
        program: program.to_str().context("a UTF-8 path")?.to_owned(),
        scale: args.scale,
        seed: args.seed.unwrap_or_else(clock),
        runs: args.runs.max(1),
        minutes: args.minutes,
    };
    let named = |name: &String| drill::named(name).with_context(|| format!("no drill is called `{name}`"));
    let mut drills = args.drills.iter().map(named).collect::<Result<Vec<_>>>()?;
    if drills.is_empty() {
        drills = drill::ALL.iter().collect();
    }
    let mut out = std::io::stdout();
    writeln!(out, "| drill | figure | value |\n|---|---|---|")?;
    let mut broken = Vec::new();
    for drill in drills {
        let report = drill.run(&plan).await;
        write!(out, "{report}")?;
        if !report.holds() {
            broken.push(drill.name);
        }
    }
    ensure!(broken.is_empty(), "bounds broke in: {}", broken.join(", "));
    Ok(())
}
