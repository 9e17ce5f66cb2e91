//! The product with one more engine, the fake one, and with faults that a test can call for in both it and the real
//! engines.

use std::process::ExitCode;
use stentor_worker::{Registry, default_registry};

fn main() -> ExitCode {
    stentor::main(registry())
}

fn registry() -> Registry {
    let real = default_registry().wrapped(|spec, load| stentor_testkit::faulty(spec, load));
    real.with("fake", stentor_testkit::load)
}
