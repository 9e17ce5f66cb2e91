//! The vocoder out of candle's ops, as on any device but the CPU. The switch is the process's, so this is a program of its own.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "the layers are enough here")]
#[path = "golden_checks/hift.rs"]
mod hift;
#[path = "golden_checks/recorder.rs"]
mod recorder;

use candle_core::{Device, Tensor};
use stentor_engine_chatterbox::model::{
    MELS, SAMPLES_PER_FRAME,
    hift::{Excitation, Onset, RENDER_REACH},
};
use stentor_nn::Unwatched;
use stentor_types::Precision;

/// Convolutions round to f16 what goes in and what comes out: layers are off by less than 0.005, samples by 0.006.
const HALF: f64 = 1e-2;

#[test]
fn every_layer_agrees_without_our_kernels() {
    stentor_nn::cpu::compute_without_kernels();
    hift::check_layers(1e-4, &Device::Cpu);
}

#[test]
fn stretches_together_are_what_each_is_alone() {
    stentor_nn::cpu::compute_without_kernels();
    hift::check_together(1e-4, &Device::Cpu);
}

#[test]
fn half_precision_changes_the_last_digits_only() {
    stentor_nn::cpu::compute_without_kernels();
    hift::check_layers_in(HALF, (&Device::Cpu, Precision::F16));
}

/// Frames whose samples are not the same to the bit, as distances from the frame in the middle that was changed.
fn reach_of(change: impl Fn(&mut [f32], &mut [f32])) -> (isize, isize) {
    const FRAMES: usize = 61;
    const MIDDLE: usize = FRAMES / 2;
    let hift = hift::load(0.0, &Device::Cpu);
    let render = |mel: &[f32], pitch: &[f32]| {
        let mel = Tensor::from_slice(mel, (MELS, FRAMES), &Device::Cpu).unwrap();
        hift.render((&mel, pitch), (Excitation::Seeded(3), Onset::default()), &Unwatched).unwrap()
    };
    let mut mel: Vec<f32> = (0..MELS * FRAMES).map(|i| (i as f32 * 0.23).sin() - 3.0).collect();
    let mut pitch = vec![150.0; FRAMES];
    let before = render(&mel, &pitch);
    for bin in mel.chunks_exact_mut(FRAMES) {
        change(&mut bin[MIDDLE..=MIDDLE], &mut []);
    }
    change(&mut [], &mut pitch[MIDDLE..=MIDDLE]);
    let after = render(&mel, &pitch);
    let differs = |frame: &usize| {
        let samples = frame * SAMPLES_PER_FRAME..(frame + 1) * SAMPLES_PER_FRAME;
        before[samples.clone()].iter().zip(&after[samples]).any(|(a, b)| a.to_bits() != b.to_bits())
    };
    let frames: Vec<usize> = (0..FRAMES).filter(differs).collect();
    let distance = |frame: &usize| *frame as isize - MIDDLE as isize;
    (distance(frames.first().unwrap()), distance(frames.last().unwrap()))
}

/// Our kernels leave traces of rounding somewhat farther away, which are below what is heard.
#[test]
fn the_vocoder_reaches_as_far_as_windows_assume() {
    stentor_nn::cpu::compute_without_kernels();
    let reach = RENDER_REACH as isize;
    let (left, right) = reach_of(|mel, _| mel.fill(f32::NAN));
    assert!(-left <= reach && right <= reach, "{left} {right}");
    // Unvoiced for a frame of a whole number of cycles, so that later phases stay.
    let (left, right) = reach_of(|_, pitch| pitch.fill(0.0));
    assert!(-left <= reach && right <= reach, "{left} {right}");
    assert!(-left == reach && right == reach, "windows assume more than is needed: {left}");
}
