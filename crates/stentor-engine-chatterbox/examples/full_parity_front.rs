//! The checks of `tests/parity_front.rs` at the published depth: `full_parity_front FOLDER`, where
//! `reference/dump_front.py FOLDER --full` wrote the goldens. Needs 3 GB of memory.
#![expect(clippy::print_stdout, reason = "a command that says what it has checked")]

#[path = "../tests/golden_checks/front.rs"]
mod checks;

use std::path::PathBuf;
use stentor_testkit::chatterbox::Depth;

fn main() {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| ".".to_owned()));
    let folder = std::path::absolute(&folder).unwrap_or(folder);
    let (golden, encoders) = (checks::golden(Some(&folder)), checks::encoders(Depth::Full));
    checks::resamplers(&golden);
    checks::loudness(&golden);
    println!("resamplers and loudness agree");
    checks::voice_encoder(&golden, &encoders);
    checks::speaker(&golden, &encoders);
    println!("voice encoder and CAMPPlus agree");
    checks::tokenizer(&golden, &encoders, Depth::Full);
    println!("tokens agree");
    checks::conditionals(&golden, &encoders);
    println!("conditionals agree");
}
