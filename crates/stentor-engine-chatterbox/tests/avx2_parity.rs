//! The goldens with AVX2 alone, which most machines have. The limit is the process's, so this is a program of its own. Products that
//! the `gemm` crate makes are not limited.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod golden_checks {
    #![expect(dead_code, reason = "some of each are enough here")]
    pub(crate) mod flow;
    pub(crate) mod hift;
    pub(crate) mod recorder;
    pub(crate) mod some;
    pub(crate) mod t3;
}

use stentor_nn::cpu::{Instructions, compute_with_at_most, instructions};

#[test]
fn every_network_agrees() {
    compute_with_at_most(Instructions::Avx2);
    // A machine that has less rounds twice.
    golden_checks::some::check(if instructions() == Instructions::Avx2 { 1.0 } else { 2.0 });
}
