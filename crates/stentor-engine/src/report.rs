//! Lines for the operator, beside what a client is told.

use std::io::{self, Write as _};

/// A line on stderr, which a worker's server turns into its log.
pub fn report(line: &str) {
    // Nobody is left to tell when stderr is gone.
    drop(writeln!(io::stderr(), "{line}"));
}
