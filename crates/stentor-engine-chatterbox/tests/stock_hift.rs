//! The vocoder out of candle's ops, as on any device but the CPU. The switch is the process's, so this is a program of its own.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "the layers are enough here")]
#[path = "golden_checks/hift.rs"]
mod hift;

use candle_core::Device;

#[test]
fn every_layer_agrees_without_our_kernels() {
    stentor_nn::cpu::compute_without_kernels();
    hift::check_layers(1e-4, &Device::Cpu);
}
