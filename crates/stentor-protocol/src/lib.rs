//! Frames, handshake and both ends of the conversation between server and worker.
//!
//! Everything is generic over reader and writer, so a test holds the whole conversation in memory. [`host`] is
//! the worker's end and drives an engine; [`client`] is the server's end.

pub mod client;
mod engine_loop;
pub mod frame;
pub mod host;
mod message;
mod voice_thread;
mod voices;

pub use frame::{Frame, FrameError, FrameReader};
pub use message::{ChunkJob, FromWorker, Hello, PROTOCOL_VERSION, ToWorker};
