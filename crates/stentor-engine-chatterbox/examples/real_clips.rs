//! Compares the front ends with the reference on a recording: `real_clips CLIP.wav GOLDEN.safetensors [full]`, where
//! `reference/dump_real.py` wrote the golden. Both use hash weights; `full` means as many layers as are published.
//!
//! Each figure stands twice: for the reference's resampled signals, and from end to end with our resamplers.
#![expect(clippy::print_stdout, reason = "a command that prints its figures")]

use candle_core::Device;
use std::{error::Error, path::Path, time::Instant};
use stentor_engine_chatterbox::{
    features::{self, Spectrogram},
    model::t3::Family,
    voice::Encoders,
};
use stentor_nn::{Unwatched, Weights};
use stentor_testkit::chatterbox::{Depth, Golden, Part, write};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [clip, golden, depth @ ..] = &arguments[..] else {
        return Err("real_clips CLIP.wav GOLDEN.safetensors [full]".into());
    };
    let depth = if depth.is_empty() { Depth::Reduced } else { Depth::Full };
    let golden = Golden::open(golden.strip_suffix(".safetensors").unwrap_or(golden));
    let encoders = encoders(depth)?;
    println!("-- the reference's signals");
    let [wide, heard, narrow] = ["clip.24k", "clip.16k", "clip.sinc"].map(|name| golden.floats(name));
    compare(&golden, &encoders, &Signals { wide, heard, narrow })?;
    println!("-- our own resamplers");
    let wide = load(Path::new(clip))?;
    decibels("24 kHz", &golden.floats("clip.24k"), &wide);
    let heard = features::resample_hq(&wide, 24_000, 16_000, &Unwatched)?;
    decibels("16 kHz, soxr", &golden.floats("clip.16k"), &heard);
    let narrow = features::resample_sinc_hann(first(&wide, 240_000), 24_000, 16_000, &Unwatched)?;
    decibels("16 kHz, torchaudio", &golden.floats("clip.sinc"), &narrow);
    let start = Instant::now();
    encoders.encode(&wide, Family::Turbo, &Unwatched)?;
    println!("{:.2} s for all of Turbo's conditionals", start.elapsed().as_secs_f64());
    compare(&golden, &encoders, &Signals { wide, heard, narrow })
}

/// One recording: at 24 kHz, and at 16 kHz after each of the two resamplers.
struct Signals {
    wide: Vec<f32>,
    heard: Vec<f32>,
    narrow: Vec<f32>,
}

fn compare(golden: &Golden, encoders: &Encoders, signals: &Signals) -> Outcome {
    let Signals { wide, heard, narrow } = signals;
    let beginning = first(wide, 240_000);
    let watch = &Unwatched;
    if let Some(loudness) = features::integrated_loudness(wide, 24_000) {
        println!("loudness {loudness:.3} LUFS, {:.3} there", golden.floats("loudness")[0]);
    }
    mel(golden, "ve.mel", &features::voice_encoder_mel(features::trim(heard, 20.0))?);
    mel(golden, "s3.mel", &features::s3_log_mel(first(heard, 96_000))?);
    mel(golden, "camp.fbank", &features::fbank(narrow)?);
    let mut flow = features::s3gen_mel(beginning)?;
    flow.truncate(flow.frames() / 2 * 2);
    mel(golden, "s3gen.mel", &flow);
    let tokens =
        timed("T3 prompt's tokens", || encoders.tokenizer.tokenize(first(heard, 96_000), 150, watch))?;
    share(golden, "t3.tokens", &tokens);
    let mut tokens =
        timed("S3Gen prompt's tokens", || encoders.tokenizer.tokenize(narrow, usize::MAX, watch))?;
    tokens.truncate(flow.frames() / 2);
    share(golden, "s3gen.tokens", &tokens);
    let speaker = timed("voice encoder", || encoders.voice_encoder.embed(heard, watch))?;
    cosine(golden, "ve.embedding", &speaker);
    let xvector = timed("CAMPPlus", || encoders.campplus.embed(narrow, watch))?;
    cosine(golden, "s3gen.xvector", &xvector);
    Ok(())
}

fn encoders(depth: Depth) -> Outcome<Encoders> {
    let folder = tempfile::tempdir()?;
    let open = |name: &str, part: Part| -> Outcome<Weights> {
        let path = folder.path().join(name);
        write(&path, part, depth)?;
        Ok(Weights::open(&path, &Device::Cpu)?)
    };
    let (voice, s3gen) =
        (open("ve.safetensors", Part::VoiceEncoder)?, open("s3gen.safetensors", Part::S3Gen)?);
    Ok(Encoders::load(&voice, &s3gen, &Unwatched)?)
}

/// A mono recording of 16-bit samples at any rate, at 24 kHz.
fn load(path: &Path) -> Outcome<Vec<f32>> {
    let mut reader = hound::WavReader::open(path)?;
    let samples =
        reader.samples::<i16>().map(|x| x.map(|x| f32::from(x) / 32768.0)).collect::<Result<Vec<_>, _>>()?;
    Ok(features::resample_hq(&samples, reader.spec().sample_rate, 24_000, &Unwatched)?)
}

fn first(samples: &[f32], count: usize) -> &[f32] {
    &samples[..samples.len().min(count)]
}

fn timed<T, E>(what: &str, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let start = Instant::now();
    let result = work();
    println!("{what}: {:.2} s", start.elapsed().as_secs_f64());
    result
}

fn mel(golden: &Golden, name: &str, ours: &Spectrogram) {
    let theirs = golden.floats(name);
    let same = theirs.len() == ours.values.len();
    println!("{name}: {} frames{}", ours.frames(), if same { "" } else { ", ANOTHER NUMBER THERE" });
    decibels(name, &theirs, &ours.values);
}

/// The energy of the difference against that of the reference, and the largest difference.
fn decibels(name: &str, theirs: &[f32], ours: &[f32]) {
    let energy = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>();
    let mut differences = theirs.iter().zip(ours).map(|(a, b)| f64::from(*a) - f64::from(*b));
    let largest = differences.clone().fold(0.0, |max: f64, x| max.max(x.abs()));
    let ratio = energy(&mut differences) / energy(&mut theirs.iter().map(|&x| f64::from(x)));
    let magnitude = theirs.iter().fold(0.0f64, |max, &x| max.max(f64::from(x).abs()));
    println!("{name}: {:.1} dB, at most {:.1e} of the largest", 10.0 * ratio.log10(), largest / magnitude);
}

fn share(golden: &Golden, name: &str, ours: &[u32]) {
    let theirs = golden.integers(name);
    let equal = theirs.iter().zip(ours).filter(|(a, b)| a == b).count();
    let distinct = theirs.iter().collect::<std::collections::BTreeSet<_>>().len();
    println!("{name}: {equal} of {} equal ({} here), {distinct} different ones", theirs.len(), ours.len());
}

fn cosine(golden: &Golden, name: &str, ours: &[f32]) {
    let theirs = golden.floats(name);
    let product =
        |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let lengths = (product(ours, ours) * product(&theirs, &theirs)).sqrt();
    println!("{name}: 1 - cosine {:.1e}", 1.0 - product(ours, &theirs) / lengths);
    decibels(name, &theirs, ours);
}
