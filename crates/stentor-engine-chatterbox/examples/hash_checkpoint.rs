//! Writes a full-size model with weights from a counter hash and a voice of the usual length, in the published layout: noise in
//! place of speech, but the real amount of work. usage: hash_checkpoint english|multilingual|turbo|nano FOLDER

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
        return Err("usage: hash_checkpoint english|multilingual|turbo|nano FOLDER".into());
    };
    let folder = PathBuf::from(folder);
    std::fs::create_dir_all(&folder)?;
    let variant = variant.parse::<Variant>()?;
    let files = write_model(&folder, variant, Depth::Full, PROMPT)?;
    // T3 of Turbo and Nano hears more of a recording than the flow does: fifteen seconds.
    if matches!(variant, Variant::Turbo | Variant::Nano) {
        write_voice(&files["conds"], 375, PROMPT)?;
    }
    Ok(())
}
