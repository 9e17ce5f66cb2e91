//! Prints what loading and reading cost. `cargo run -p stentor-g2p --example speed`
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::time::Instant;
use stentor_g2p::{G2p, G2pOptions};
use stentor_types::Language;

const SENTENCES: [&str; 5] = [
    "The quick brown fox jumps over the lazy dog, and nobody in the village is surprised.",
    "When she had read the letter twice, she laid it down, looked out of the window, and said nothing.",
    "Dr. Smith's well-known lecture on COVID-19 drew 350 people to St. Andrews in 2021.",
    "“I don't know,” he said; “perhaps it's the wind, perhaps it isn’t.”",
    "Zylophia frobnicated the quuxes while Thorvaldsson blorped.",
];

const ROUNDS: u32 = 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let g2p = G2p::new(G2pOptions::default());
    for language in [Language::en_us(), Language::en_gb()] {
        let begun = Instant::now();
        g2p.warm(&language)?;
        println!("{language}: loaded in {} ms", begun.elapsed().as_millis());
        for sentence in SENTENCES {
            let begun = Instant::now();
            for _ in 0..ROUNDS {
                g2p.phonemize(sentence, &language)?;
            }
            println!("  {:?} a sentence: {sentence}", begun.elapsed() / ROUNDS);
        }
        let long = SENTENCES.join(" ").repeat(25);
        let begun = Instant::now();
        let read = g2p.phonemize(&long, &language)?;
        println!("  {:?} for {} characters at once, {} words", begun.elapsed(), long.len(), read.words.len());
    }
    Ok(())
}
