//! The goldens with AVX2 alone, which most machines have. The limit is the process's, so this is a program of its own. Products that
//! the `gemm` crate makes are not limited.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and shows its figures"
)]

#[expect(dead_code, reason = "other tests use the other goldens")]
mod golden_checks;

use golden_checks::{On, check_some};
use stentor_nn::cpu::{Instructions, compute_with_at_most, instructions};

#[test]
fn every_kind_of_golden_agrees() {
    compute_with_at_most(Instructions::Avx2);
    // A machine that has less rounds twice.
    let slack = if instructions() == Instructions::Avx2 { 1.0 } else { 2.0 };
    check_some(&On { slack: [slack; 3], ..On::cpu() });
}
