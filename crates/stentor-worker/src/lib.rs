//! One model on one device: registry of engines, load, serve the protocol, die loudly.
//!
//! A worker is the server's own executable started again. It talks to the server over the socket it finds as
//! its standard input, opens no listener, downloads nothing and lives exactly as long as that socket.

mod ending;
mod memory;
mod process;
mod registry;

pub use registry::{Load, Registry, default_registry, embedded_files};

/// What models on the CPU compute with.
pub use stentor_nn::cpu::{Instructions, instructions};
/// How the server's own memory is kept, since nothing but a worker's crates may set that.
pub use stentor_nn::give_back_early;

use std::process::ExitCode;
use stentor_protocol::host::{self, HostEnd, HostError};

/// What ends a worker by its own decision. A lost device and a panic abort the process instead.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error("standard input is not the server's socket ({0}); `stentor serve` starts its workers itself")]
    NoSocket(std::io::Error),
    #[error("the runtime can't be started: {0}")]
    Runtime(std::io::Error),
    #[error(transparent)]
    Conversation(#[from] HostError),
    #[error("the model can't be loaded: {0}")]
    Load(String),
}

/// Serves one model until the server closes the socket on standard input; call it first thing in `main`.
///
/// `build_id` must equal the server's. Whatever ends the worker early is one line on stderr; a lost device or a
/// panic aborts the process, so that no half-dead engine goes on.
pub fn run(registry: Registry, build_id: &str) -> ExitCode {
    stentor_nn::one_heap();
    process::abort_on_panic();
    match serve(registry, build_id) {
        Ok(()) => ExitCode::SUCCESS,
        // The server has been told, and logs it.
        Err(WorkerError::Load(_)) => ExitCode::FAILURE,
        Err(WorkerError::Conversation(HostError::DeviceLost(why))) => {
            stentor_engine::report(&format!("device lost, the worker ends: {why}"));
            std::process::abort()
        }
        Err(error) => {
            stentor_engine::report(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn serve(registry: Registry, build_id: &str) -> Result<(), WorkerError> {
    let socket = process::inherited_socket().map_err(WorkerError::NoSocket)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(WorkerError::Runtime)?;
    let end = runtime.block_on(async move {
        process::outlive_signals();
        let socket = tokio::net::UnixStream::from_std(socket).map_err(WorkerError::NoSocket)?;
        let (reader, writer) = socket.into_split();
        let load = move |spec: &_| {
            let _open = process::prepared(spec)?;
            memory::measured(|| registry.load(spec))
        };
        Ok::<_, WorkerError>(host::run(reader, writer, build_id, load).await?)
    });
    // A load or a step may still run; the process does not wait for it.
    ending::no_later_than(ending::PATIENCE);
    runtime.shutdown_background();
    match end? {
        HostEnd::Closed => Ok(()),
        HostEnd::LoadFailed(why) => Err(WorkerError::Load(why)),
    }
}
