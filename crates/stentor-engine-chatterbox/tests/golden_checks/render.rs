//! Chunks that are rendered together, window by window as their tokens come, against each alone.

use candle_core::Device;
use std::sync::Arc;
use stentor_engine::CancelFlag;
use stentor_engine_chatterbox::{
    render::{Due, Rendering, S3Gen, render_all},
    voice::S3GenPrompt,
};
use stentor_nn::{Unwatched, Weights};
use stentor_testkit::chatterbox::{self, Depth, Part};
use stentor_types::Precision;

const MELS: usize = 80;
/// Tokens that come at a time.
const PACE: usize = 9;

/// Of the voice and of the chunk, tokens of the first window, steps of the flow.
struct Chunk {
    voice: usize,
    tokens: usize,
    window: usize,
    steps: usize,
}

const CHUNKS: [Chunk; 4] = [
    Chunk { voice: 20, tokens: 29, window: 6, steps: 2 },
    Chunk { voice: 7, tokens: 24, window: 6, steps: 2 },
    Chunk { voice: 20, tokens: 27, window: 0, steps: 2 },
    Chunk { voice: 12, tokens: 15, window: 6, steps: 1 },
];

/// Both halves of S3Gen with hash weights.
pub(crate) fn load(part: Part, (device, precision): (&Device, Precision)) -> S3Gen {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("s3gen.safetensors");
    chatterbox::write(&path, part, Depth::Reduced).expect("a checkpoint is written");
    let weights = Weights::open(&path, device).expect("a checkpoint opens");
    S3Gen::load(&weights, device, precision).expect("it loads")
}

/// The samples of each chunk.
fn speak(model: &S3Gen, chunks: &[(usize, &Chunk)]) -> Vec<Vec<f32>> {
    let start = |&(index, chunk): &(usize, &Chunk)| {
        let scaled = |count: usize, scale: f32, shift: f32| {
            let values = chatterbox::noise(&format!("voice {index}"), count).into_iter();
            values.map(|x| x * scale + shift).collect::<Vec<f32>>()
        };
        let prompt = S3GenPrompt {
            tokens: chatterbox::integers(&format!("voice {index}"), chunk.voice, 6561),
            mel: scaled(2 * chunk.voice * MELS, 2.0, -5.0),
            xvector: scaled(192, 3.0, 0.0),
        };
        Rendering::new(Arc::new(prompt), index as u64, chunk.steps, chunk.window)
    };
    let mut renderings: Vec<Rendering> = chunks.iter().map(start).collect();
    let tokens = |&(index, chunk): &(usize, &Chunk)| {
        chatterbox::integers(&format!("chunk {index}"), chunk.tokens, 6561)
    };
    let tokens: Vec<Vec<u32>> = chunks.iter().map(tokens).collect();
    let most = tokens.iter().map(Vec::len).max().unwrap_or_default();
    let mut samples = vec![Vec::new(); chunks.len()];
    for known in (PACE..most + PACE).step_by(PACE) {
        let cancel = CancelFlag::default();
        let each = renderings.iter_mut().zip(&tokens);
        let due = each.map(|(rendering, tokens)| {
            let known = known.min(tokens.len());
            Due { rendering, tokens: &tokens[..known], last: known == tokens.len(), cancel: &cancel }
        });
        let heard = render_all(model, &mut due.collect::<Vec<_>>(), &Unwatched).expect("a pass");
        for (samples, heard) in samples.iter_mut().zip(heard) {
            samples.extend(heard.expect("it is rendered"));
        }
    }
    samples
}

/// With a likeness of one all are the same to the bit.
pub(crate) fn check_together(model: &S3Gen, likeness: f64) {
    let chunks: Vec<(usize, &Chunk)> = CHUNKS.iter().enumerate().collect();
    let together = speak(model, &chunks);
    for (chunk, together) in chunks.iter().zip(together) {
        let alone = speak(model, &[*chunk]).remove(0);
        assert_eq!(together.len(), chunk.1.tokens * 960);
        assert!(alone.iter().any(|x| x.abs() > 0.01), "there is something to hear");
        let differs = |(a, b): (&f32, &f32)| a.to_bits() != b.to_bits();
        let first = alone.iter().zip(&together).position(differs);
        assert!(likeness < 1.0 || first.is_none(), "chunk {} differs from {first:?} on", chunk.0);
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        let like = dot(&alone, &together) / (dot(&alone, &alone) * dot(&together, &together)).sqrt();
        assert!(like >= likeness.min(1.0 - 1e-9), "chunk {}: {like}", chunk.0);
    }
}
