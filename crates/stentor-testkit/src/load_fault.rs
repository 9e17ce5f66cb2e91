//! What goes wrong while a model loads: asked for by a file named `fault` in the model's cache folder.
//!
//! Its one line holds the words of a fault in a text, without braces: `slow n=3000`, `exit times=2 mark=/tmp/x`.

use crate::{
    fault::{Fault, Kind},
    strike::strike,
};
use std::{fs, thread, time::Duration};
use stentor_engine::LoadError;
use stentor_types::LoadSpec;

/// The file's name in [`LoadSpec::cache_dir`].
const FILE: &str = "fault";

/// What goes wrong while loading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LoadFault {
    #[default]
    None,
    /// Takes this many milliseconds.
    Slow(u64),
    /// The process exits with status 3.
    Exit,
    /// The engine says that it can't load.
    Fail,
    /// Loading never ends.
    Hang,
}

impl LoadFault {
    pub(crate) fn suffer(self) -> Result<(), LoadError> {
        match self {
            Self::None => Ok(()),
            Self::Slow(ms) => {
                thread::sleep(Duration::from_millis(ms));
                Ok(())
            }
            Self::Exit => std::process::exit(3),
            Self::Fail => Err(missing()),
            Self::Hang => {
                strike(Kind::Hang, "");
                Ok(())
            }
        }
    }
}

fn missing() -> LoadError {
    LoadError("tensor `fake.weight` is missing".to_owned())
}

/// Lets the fault in the model's cache folder strike, if there is one and its marks are not used up.
pub(crate) fn suffer_file(spec: &LoadSpec) -> Result<(), LoadError> {
    let Some(path) = spec.cache_dir.as_ref().map(|folder| folder.join(FILE)) else { return Ok(()) };
    let Ok(text) = fs::read_to_string(&path) else { return Ok(()) };
    let fault = Fault::parse(&text);
    // A fault with a spelling mistake must not pass for a model that loads well.
    let fault = fault.ok_or_else(|| LoadError(format!("{}: no fault is called {text:?}", path.display())))?;
    if !fault.strikes(fault.at) {
        return Ok(());
    }
    match fault.kind {
        Kind::Slow => LoadFault::Slow(fault.n).suffer(),
        Kind::Exit => LoadFault::Exit.suffer(),
        Kind::Fail => Err(missing()),
        kind => {
            strike(kind, &fault.why());
            Ok(())
        }
    }
}
