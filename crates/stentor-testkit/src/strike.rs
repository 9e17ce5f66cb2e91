//! Faults that end the process, or keep it from ever going on: how each of them is brought about.

use crate::fault::Kind;
use rustix::process::{Resource, Rlimit, Signal, getpid, kill_process, setrlimit};
use std::{hint::black_box, io::Write, os::fd::AsFd, thread, time::Duration};

/// Far less than any engine holds already, so that nothing more can be had.
const NO_MEMORY: u64 = 1 << 20;

/// Does not return for the kinds that a process does not survive; does nothing for those that an engine survives.
pub(crate) fn strike(kind: Kind, why: &str) {
    match kind {
        Kind::Abort => std::process::abort(),
        Kind::Segfault => segfault(),
        Kind::Panic => panic!("{why}"),
        Kind::Exit => std::process::exit(7),
        Kind::Hang => loop {
            thread::sleep(Duration::from_secs(3600));
        },
        Kind::OutOfMemory => run_out_of_memory(),
        Kind::Garbage => send_garbage(),
        _ => {}
    }
}

/// The first signal only takes the standard library's handler away, which looks for overflown stacks.
fn segfault() -> ! {
    loop {
        // A process may always signal itself.
        let _ = kill_process(getpid(), Signal::SEGV);
        thread::sleep(Duration::from_millis(1));
    }
}

/// The machine's own memory is left alone: this process forbids itself more, then asks for it.
fn run_out_of_memory() {
    let none = Rlimit { current: Some(NO_MEMORY), maximum: Some(NO_MEMORY) };
    // Where there is no such limit, the request is still beyond any machine.
    let _ = setrlimit(Resource::As, none);
    drop(black_box(Vec::<u8>::with_capacity(1 << 46)));
    std::process::abort();
}

fn send_garbage() {
    if let Ok(socket) = std::io::stdin().as_fd().try_clone_to_owned() {
        // A socket that is gone takes the garbage with it.
        let _ = std::fs::File::from(socket).write_all(b"this is not a frame");
    }
}
