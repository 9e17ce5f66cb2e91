//! The product with one more engine: the fake one, whose faults a test can call for.

use std::process::ExitCode;

fn main() -> ExitCode {
    stentor::main(stentor_worker::default_registry().with("fake", stentor_testkit::load))
}
