//! `stentor key`: a new key for a client, and the lines that make the server know it by its hash.
//!
//! The key goes to standard error: `stentor key alice >> keys.toml` must not put it into the file.

use super::print;
use crate::{cli::NewKey, compose, config::KEY_PREFIX};
use anyhow::{Result, ensure};
use sha2::{Digest as _, Sha256};
use std::{
    fmt::Write as _,
    io::{self, Write as _},
    process::ExitCode,
};

pub(super) fn run(new: &NewKey) -> Result<ExitCode> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    ensure!(!new.name.is_empty() && new.name.chars().all(plain), "a name holds letters, digits, `-` and `_`");
    let key = format!("{KEY_PREFIX}{}", hex(&compose::secret()?));
    let hash = hex(&Sha256::digest(key.as_bytes()));
    // First: an entry for a key that nobody has seen is of no use.
    writeln!(io::stderr(), "the key, for the client; it is shown only now: {key}")?;
    print(&format!("[keys.{}]\nsha256 = \"{hash}\"\n", new.name))?;
    Ok(ExitCode::SUCCESS)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
