//! Seconds that the vocoder needs for some seconds of audio, with hash weights: `hift_speed [SECONDS] [RUNS]`.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use candle_core::{Device, Tensor};
use std::time::Instant;
use stentor_engine_chatterbox::model::{
    MELS,
    hift::{Excitation, Hift, Onset},
};
use stentor_nn::{Unwatched, Weights};
use stentor_testkit::chatterbox::{self, Depth, Part};
use stentor_types::Precision;

const FRAMES_PER_SECOND: usize = 50;
/// Of the published network.
const GFLOP_PER_SECOND_OF_AUDIO: f64 = 30.6;

fn main() {
    stentor_nn::keep_big_blocks();
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>().unwrap());
    let (seconds, runs) = (arguments.next().unwrap_or(4), arguments.next().unwrap_or(5));
    let mut tensors = Part::S3Gen.tensors(Depth::Full);
    tensors.retain(|(name, _)| name.starts_with("mel2wav."));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s3gen.safetensors");
    chatterbox::write_tensors(&path, &tensors, |_, _| ()).unwrap();
    let hift = Hift::load(&Weights::open(&path, &Device::Cpu).unwrap().root(), &Device::Cpu, Precision::F32)
        .unwrap();
    let frames = seconds * FRAMES_PER_SECOND;
    let mel: Vec<f32> = chatterbox::noise("hift.mel", MELS * frames).iter().map(|x| x - 4.0).collect();
    let mel = Tensor::from_vec(mel, (MELS, frames), &Device::Cpu).unwrap();
    let mut best = f64::INFINITY;
    for _ in 0..runs {
        let start = Instant::now();
        let pitch = hift.pitch(&mel, &Unwatched).unwrap();
        hift.render((&mel, &pitch), (Excitation::Seeded(1), Onset::default()), &Unwatched).unwrap();
        best = best.min(start.elapsed().as_secs_f64());
    }
    let work = GFLOP_PER_SECOND_OF_AUDIO * seconds as f64;
    println!("{seconds} s of audio in {best:.3} s at best of {runs}: {:.0} GFLOP/s", work / best);
}
