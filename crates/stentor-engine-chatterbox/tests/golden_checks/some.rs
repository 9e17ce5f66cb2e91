//! Something of every network, for whatever else a process computes with.

use super::{flow, hift, t3};
use candle_core::Device;
use stentor_testkit::chatterbox::{Depth, Golden, Part};
use stentor_types::Precision;

/// `slack` is a factor on the tolerances of single precision.
pub(crate) fn check(slack: f64) {
    t3::check(Part::T3English, Depth::Reduced, &Golden::open("t3-english"), 2e-5 * slack);
    t3::check(Part::T3Nano, Depth::Reduced, &Golden::open("t3-nano"), 2e-5 * slack);
    for (precision, tolerance) in [(Precision::F16, 1e-3), (Precision::Int8, 3e-2)] {
        t3::check_coarse(Part::T3Nano, &Golden::open("t3-nano"), tolerance, (&Device::Cpu, precision));
    }
    let model = flow::load(Part::S3GenMeanflow, Depth::Reduced, 1.0, &Device::Cpu);
    let whole = flow::Case { name: "whole", last: true, steps: 2, tolerance: [1e-5 * slack; 2] };
    assert_eq!(flow::check(&model, &Golden::open("flow-meanflow"), &whole), 15);
    hift::check_layers(1e-4 * slack, &Device::Cpu);
    hift::check_together(0.0, &Device::Cpu);
}
