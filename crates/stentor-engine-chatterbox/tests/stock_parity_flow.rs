//! From tokens to mel frames out of candle's ops, as on any device but the CPU.

mod golden_checks {
    pub(crate) mod flow;
}

use candle_core::Device;
use golden_checks::flow::{Case, check, check_together, load, load_in, load_quiet};
use stentor_testkit::chatterbox::{Depth, Golden, Part};
use stentor_types::Precision;

const TOLERANCE: [f64; 2] = [1e-5, 1e-5];
/// Products round to f16 what goes in and what comes out: layers are off by up to 0.002, mel frames by less than 0.001.
const HALF: [f64; 2] = [3e-3, 2e-3];

#[test]
fn candles_ops_are_the_same_network() {
    stentor_nn::cpu::compute_without_kernels();
    let golden = Golden::open("flow");
    let flow = load(Part::S3Gen, Depth::Reduced, 1.0, &Device::Cpu);
    check(&flow, &golden, &Case { name: "whole", last: true, steps: 10, tolerance: TOLERANCE });
    let quiet = load_quiet(Depth::Reduced, &Device::Cpu);
    check(&quiet, &golden, &Case { name: "quiet", last: true, steps: 1, tolerance: TOLERANCE });
    let flow = load(Part::S3GenMeanflow, Depth::Reduced, 1.0, &Device::Cpu);
    let whole = Case { name: "whole", last: true, steps: 2, tolerance: TOLERANCE };
    check(&flow, &Golden::open("flow-meanflow"), &whole);
}

/// Sums of rows that are as long as the longest are in another order.
#[test]
fn tasks_together_are_what_each_is_alone() {
    stentor_nn::cpu::compute_without_kernels();
    for part in [Part::S3Gen, Part::S3GenMeanflow] {
        check_together(&load(part, Depth::Reduced, 1.0, &Device::Cpu), 2, 1e-4);
    }
}

#[test]
fn half_precision_changes_the_last_digits_only() {
    stentor_nn::cpu::compute_without_kernels();
    for (part, golden, steps) in [(Part::S3Gen, "flow", 10), (Part::S3GenMeanflow, "flow-meanflow", 2)] {
        let flow = load_in(part, Depth::Reduced, 1.0, (&Device::Cpu, Precision::F16));
        let whole = Case { name: "whole", last: true, steps, tolerance: HALF };
        check(&flow, &Golden::open(golden), &whole);
    }
}
