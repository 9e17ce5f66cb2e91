//! Log lines go to standard error; standard output belongs to what a command was asked for.

use crate::config::LogFormat;
use std::io::{IsTerminal as _, Write as _};
use tracing_subscriber::{EnvFilter, fmt};

/// The decoders call it an error when a client's file is none; the client is told, and the operator has nothing to do.
const QUIET: &str = "symphonia=off";

/// The level is `info` for the server and `warn` for the other commands, unless the configuration says otherwise.
pub(crate) fn init(format: LogFormat, filter: Option<&str>, server: bool) {
    let default = format!("{},{QUIET}", if server { "info" } else { "warn" });
    let filter = EnvFilter::new(filter.unwrap_or(&default));
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

/// A message as one line of a log, however it is laid out.
pub(crate) fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
