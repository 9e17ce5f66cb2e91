//! What a worker does to its own process: socket, signals, panics, priority, threads.

use std::{
    os::{fd::AsFd, unix::net::UnixStream},
    panic,
};
use stentor_audio::DECODER_THREAD;
use stentor_engine::{LoadError, report};
use stentor_nn::{Opened, open_device};
use stentor_types::{DeviceSpec, LoadSpec};
use tokio::signal::unix::{SignalKind, signal};

/// How much nicer than the server a worker's compute threads are on CPU; the lowest priority is 19.
const CPU_NICER: i32 = 10;

/// After the usual report of a panic the process aborts: no engine is half alive. A thread that decodes somebody's recording
/// is no part of an engine; its panic is an answer about the file, which others must not die of.
pub(crate) fn abort_on_panic() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        report(info);
        if std::thread::current().name() != Some(DECODER_THREAD) {
            std::process::abort();
        }
    }));
}

/// The server's end is the peer of standard input.
pub(crate) fn inherited_socket() -> std::io::Result<UnixStream> {
    let socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    socket.peer_addr()?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// A Ctrl-C or a stop sent to the whole process group is the server's to handle: while it drains, its workers
/// go on. They end with their socket.
pub(crate) fn outlive_signals() {
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        // The handler stays for the life of the process, though nobody listens to it.
        if let Err(error) = signal(kind) {
            report(&format!("signal {kind:?} stays deadly: {error}"));
        }
    }
}

/// Sets priority and threads for the model to come, and gives the device that settled it: whoever keeps that while the
/// model loads spares it from being opened all over again. Must run on the engine's thread: on Linux a nice value is a
/// thread's own and is inherited by the pool that this thread starts, so the side that answers the server keeps
/// its priority. A thread that only feeds a card keeps it too.
pub(crate) fn prepared(spec: &LoadSpec) -> Result<Opened, LoadError> {
    let opened = open_device(spec.device, spec.precision);
    if opened.spec == DeviceSpec::Cpu
        && let Err(error) = yield_to_the_server()
    {
        report(&format!("the priority stays as it is: {error}"));
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(spec.threads).build_global();
    pool.map_err(|error| LoadError(format!("the thread pool can't be started: {error}")))?;
    Ok(opened)
}

fn yield_to_the_server() -> rustix::io::Result<()> {
    let nice = rustix::process::getpriority_process(None)?;
    rustix::process::setpriority_process(None, (nice + CPU_NICER).min(19))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        os::unix::process::ExitStatusExt as _,
        process::{Command, ExitStatus},
        thread,
    };

    /// Which thread panics in the child.
    const WHO: &str = "STENTOR_TEST_PANICS_ON";

    /// What becomes of a process like a worker one of whose threads, called `name`, panics.
    fn panic_on(name: &str) -> ExitStatus {
        let mut child = Command::new(std::env::current_exe().expect("this program"));
        child
            .args([
                "--exact",
                "process::tests::a_panic_ends_the_worker_unless_it_is_a_decoders",
                "--nocapture",
            ])
            .env(WHO, name);
        let output = child.output().expect("the child runs");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("a recording made this panic"), "it is reported: {told}");
        output.status
    }

    fn be_the_child(name: String) {
        abort_on_panic();
        let thread = thread::Builder::new().name(name).spawn(|| panic!("a recording made this panic"));
        assert!(thread.expect("a thread").join().is_err());
    }

    #[test]
    fn a_panic_ends_the_worker_unless_it_is_a_decoders() {
        if let Ok(name) = std::env::var(WHO) {
            be_the_child(name);
        } else {
            assert!(panic_on(DECODER_THREAD).success());
            assert_eq!(panic_on("chatterbox-0").signal(), Some(6), "no engine is half alive");
        }
    }
}
