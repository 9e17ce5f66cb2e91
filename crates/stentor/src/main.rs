//! The program. Everything is in the library, so that tests can run it with other engines.

fn main() -> std::process::ExitCode {
    stentor::main(stentor_worker::default_registry())
}
