//! T3 as it is composed on devices other than the CPU, on the CPU: the same numbers and tokens. A target of its own, as the
//! switch is for the whole process.

#[path = "golden_checks/t3.rs"]
mod checks;
#[path = "golden_checks/recorder.rs"]
mod recorder;

use candle_core::Device;
use checks::{check, check_coarse};
use stentor_testkit::chatterbox::{Depth, Golden, Part};
use stentor_types::Precision;

/// Products, keys and values round to f16: logits are off by up to 0.003.
const HALF: f64 = 5e-3;

#[test]
fn both_families_equal_the_reference_without_our_kernels() {
    stentor_nn::cpu::compute_without_kernels();
    check(Part::T3Nano, Depth::Reduced, &Golden::open("t3-nano"), 1e-4);
    check(Part::T3English, Depth::Reduced, &Golden::open("t3-english"), 1e-4);
}

#[test]
fn half_precision_changes_the_last_digits_only() {
    stentor_nn::cpu::compute_without_kernels();
    check_coarse(Part::T3Nano, &Golden::open("t3-nano"), HALF, (&Device::Cpu, Precision::F16));
    check_coarse(Part::T3English, &Golden::open("t3-english"), HALF, (&Device::Cpu, Precision::F16));
}
