//! The vocoder out of candle's ops, as on any device but the CPU. The switch is the process's, so this is a program of its own.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "the layers are enough here")]
#[path = "golden_checks/hift.rs"]
mod hift;
#[path = "golden_checks/recorder.rs"]
mod recorder;

use candle_core::Device;
use stentor_types::Precision;

/// Convolutions round to f16 what goes in and what comes out: layers are off by less than 0.005, samples by 0.006.
const HALF: f64 = 1e-2;

#[test]
fn every_layer_agrees_without_our_kernels() {
    stentor_nn::cpu::compute_without_kernels();
    hift::check_layers(1e-4, &Device::Cpu);
}

#[test]
fn half_precision_changes_the_last_digits_only() {
    stentor_nn::cpu::compute_without_kernels();
    hift::check_layers_in(HALF, (&Device::Cpu, Precision::F16));
}
