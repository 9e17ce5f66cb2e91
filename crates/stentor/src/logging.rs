//! Log lines go to standard error; standard output belongs to what a command was asked for.

use crate::config::LogFormat;
use std::io::{IsTerminal as _, Write as _};
use tracing_subscriber::{EnvFilter, fmt};

/// `RUST_LOG` overrides the level: `info` for the server, `warn` for the other commands.
pub(crate) fn init(format: LogFormat, server: bool) {
    let default = if server { "info" } else { "warn" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let builder =
        fmt().with_env_filter(filter).with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
}

/// Tells the user what went wrong. There is nobody to tell when standard error is closed.
pub(crate) fn complain(message: &str) {
    drop(writeln!(std::io::stderr(), "stentor: {message}"));
}
