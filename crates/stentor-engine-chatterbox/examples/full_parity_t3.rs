//! T3 as deep as published against goldens that are too large to keep: `full_parity_t3 FOLDER variant ..`, where FOLDER is
//! what `reference/dump_t3.py FOLDER --full` wrote and the variants are english, multilingual, turbo or nano.

#[path = "../tests/golden_checks/t3.rs"]
mod checks;

use std::{env::args, io::Write as _, path::Path};
use stentor_testkit::chatterbox::{Depth, Golden, Part};

const TOLERANCE: f64 = 1e-4;

fn main() -> std::io::Result<()> {
    let folder = args().nth(1).unwrap_or_else(|| ".".to_owned());
    let folder = Path::new(&folder).canonicalize()?;
    for variant in args().skip(2) {
        let part = match variant.as_str() {
            "english" => Part::T3English,
            "multilingual" => Part::T3Multilingual,
            "turbo" => Part::T3Turbo,
            _ => Part::T3Nano,
        };
        let golden = Golden::open(&folder.join(format!("t3-{variant}")).to_string_lossy());
        let masked = checks::check(part, Depth::Full, &golden, TOLERANCE);
        writeln!(std::io::stdout(), "{variant}: equal; the mask ruled out the winner of {masked} steps")?;
    }
    Ok(())
}
