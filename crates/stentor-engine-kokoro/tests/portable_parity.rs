//! The goldens with what the program is compiled for, as on machines whose vectors we do not know. The limit is the process's, so this is a
//! program of its own. Products that the `gemm` crate makes are not limited.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and shows its figures"
)]

#[expect(dead_code, reason = "other tests use the other goldens")]
mod golden_checks;

use golden_checks::{On, check_some};
use stentor_nn::cpu::{Instructions, compute_with_at_most};

#[test]
fn every_kind_of_golden_agrees() {
    compute_with_at_most(Instructions::Portable);
    // Products and sums round twice where one instruction does not do both.
    check_some(&On { slack: [2.0; 3], ..On::cpu() });
}
