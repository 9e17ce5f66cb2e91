//! One model on one device: registry of engines, load, serve the protocol, die loudly.
//!
//! A worker is the server's own executable started again. It talks to the server over the socket it finds as
//! its standard input, opens no listener, downloads nothing and lives exactly as long as that socket.

mod registry;

pub use registry::{Registry, default_registry};

use std::process::ExitCode;

/// Serves one model until the server closes the socket on standard input.
///
/// `build_id` must equal the server's. A lost device or a panic aborts the process, with a line on stderr.
pub fn run(registry: Registry, build_id: &str) -> ExitCode {
    let _ = (registry, build_id);
    ExitCode::FAILURE
}
