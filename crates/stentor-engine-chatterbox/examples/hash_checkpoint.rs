//! Writes a full-size model with weights from a counter hash and a voice of the usual length, in the published layout: noise in
//! place of speech, but the real amount of work; or, where only proportions matter, with a few layers of the real width.
//! usage: hash_checkpoint english|multilingual|turbo|nano FOLDER [--reduced]

use std::{error::Error, path::PathBuf};
use stentor_testkit::{
    chatterbox::Depth,
    chatterbox_model::{Variant, write_model, write_voice},
};

/// Speech tokens of ten seconds, which the flow continues.
const PROMPT: usize = 250;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(variant), Some(folder)) = (args.next(), args.next()) else {
        return Err("usage: hash_checkpoint english|multilingual|turbo|nano FOLDER [--reduced]".into());
    };
    let folder = PathBuf::from(folder);
    std::fs::create_dir_all(&folder)?;
    let variant = variant.parse::<Variant>()?;
    let depth = match args.next().as_deref() {
        None => Depth::Full,
        Some("--reduced") => Depth::Reduced,
        Some(other) => return Err(format!("{other}?").into()),
    };
    let files = write_model(&folder, variant, depth, PROMPT)?;
    // T3 of Turbo and Nano hears more of a recording than the flow does: fifteen seconds.
    if matches!(variant, Variant::Turbo | Variant::Nano) {
        write_voice(&files["conds"], 375, PROMPT)?;
    }
    Ok(())
}
