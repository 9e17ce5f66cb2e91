//! Writes a full-size model with weights from a counter hash and a ten-second voice, in the published layout: noise in place
//! of speech, but the real amount of work. usage: hash_checkpoint english|multilingual|turbo|nano FOLDER

use std::{error::Error, path::PathBuf};
use stentor_testkit::{
    chatterbox::Depth,
    chatterbox_model::{Variant, write_model},
};

/// Speech tokens of ten seconds.
const PROMPT: usize = 250;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(variant), Some(folder)) = (args.next(), args.next()) else {
        return Err("usage: hash_checkpoint english|multilingual|turbo|nano FOLDER".into());
    };
    let folder = PathBuf::from(folder);
    std::fs::create_dir_all(&folder)?;
    write_model(&folder, variant.parse::<Variant>()?, Depth::Full, PROMPT)?;
    Ok(())
}
