//! The goldens with what the program is compiled for, as on machines whose vectors we do not know. The limit is the process's, so this is a
//! program of its own. Products that the `gemm` crate makes are not limited.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod golden_checks {
    #![expect(dead_code, reason = "some of each are enough here")]
    pub(crate) mod flow;
    pub(crate) mod hift;
    pub(crate) mod recorder;
    pub(crate) mod some;
    pub(crate) mod t3;
}

use stentor_nn::cpu::{Instructions, compute_with_at_most};

#[test]
fn every_network_agrees() {
    compute_with_at_most(Instructions::Portable);
    // Products and sums round twice where one instruction does not do both.
    golden_checks::some::check(2.0);
}
