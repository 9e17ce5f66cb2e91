//! The vocoder against the reference implementation, with weights from a counter hash.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "golden_checks/hift.rs"]
mod hift;
#[path = "golden_checks/recorder.rs"]
mod recorder;

use candle_core::Device;

const TOLERANCE: f64 = 1e-4;

#[test]
fn every_layer_agrees() {
    hift::check_layers(TOLERANCE, &Device::Cpu);
}

#[test]
fn magnitudes_are_clipped() {
    hift::check_loud(TOLERANCE, &Device::Cpu);
}

#[test]
fn the_reference_as_published_differs_by_the_drift_of_its_phase_only() {
    hift::check_unpatched(&Device::Cpu);
}

#[test]
fn stretches_together_are_to_the_bit_what_each_is_alone() {
    hift::check_together(0.0, &Device::Cpu);
}
