//! Reads lines from standard input: phonemes, and each word with its origin. `cargo run -p stentor-g2p --example read [language]`
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::io::BufRead;
use stentor_g2p::{G2p, G2pOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let language = std::env::args().nth(1).unwrap_or_else(|| "en-us".to_owned()).parse()?;
    let g2p = G2p::new(G2pOptions::default());
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let read = g2p.phonemize(&line, &language)?;
        println!("{line}\n  {}", read.text);
        let words = read.words.iter().map(|word| format!("{}={}", &line[word.source.clone()], word.origin));
        println!("  {}", words.collect::<Vec<_>>().join(" "));
    }
    Ok(())
}
