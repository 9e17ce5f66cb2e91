//! The end of a worker's process, which nothing that still runs in it may put off.

use std::{thread, time::Duration};
use stentor_engine::report;

/// For what runs at a process's exit: a driver's own cleaning up, while a step is still in it, can take for ever.
pub(crate) const PATIENCE: Duration = Duration::from_millis(500);

/// The process is gone after `patience`, whatever its other threads do.
pub(crate) fn no_later_than(patience: Duration) {
    let end = move || {
        thread::sleep(patience);
        // Nothing is left to do if this fails.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    };
    if let Err(error) = thread::Builder::new().name("ending".to_owned()).spawn(end) {
        report(&format!("the worker may linger: {error}"));
    }
}
