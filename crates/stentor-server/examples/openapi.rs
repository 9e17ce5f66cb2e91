//! Prints the document of the API; `cargo xtask openapi` writes it to `docs/openapi.json`.

use std::io::{self, Write as _};

fn main() -> io::Result<()> {
    let document = stentor_server::document().to_pretty_json().map_err(io::Error::other)?;
    writeln!(io::stdout(), "{document}")
}
