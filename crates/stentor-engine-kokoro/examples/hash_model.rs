//! Writes a full-size Kokoro with weights from a counter hash, in the published layout: noise in place of speech, but the
//! real amount of work. usage: hash_model DIRECTORY

use std::{error::Error, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("usage: hash_model DIRECTORY")?);
    std::fs::create_dir_all(folder.join("voices"))?;
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/kokoro-config.json");
    std::fs::copy(config, folder.join("config.json"))?;
    stentor_testkit::pth::write_kokoro(&folder.join("kokoro-v1_0.pth"))?;
    stentor_testkit::pth::write_voice(&folder.join("voices/hash.pt"), 510, 256)?;
    Ok(())
}
