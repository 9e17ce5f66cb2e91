//! The worker's end: one thread owns the engine from load to exit, the async side never stops reading.
//!
//! The reading side sets cancel flags while a step runs and sends beats while a model loads. What the engine
//! yields goes through a channel of [`OUT_FRAMES`] frames: a server that reads slowly halts the engine, memory
//! does not grow.

use crate::{
    ChunkJob, FrameError, FrameReader, FromWorker, Hello, PROTOCOL_VERSION, ToWorker,
    client::mismatch,
    engine_loop::{self, Command, EngineEnd, Shared},
    frame,
    voice_thread::Waiting,
};
use serde::Deserialize;
use std::{sync::Arc, time::Duration};
use stentor_engine::{Engine, LoadError};
use stentor_types::LoadSpec;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
    task::JoinHandle,
    time::MissedTickBehavior,
};

/// Commands that a server may have on their way to the engine; one more is a breach of protocol.
pub const MAX_COMMANDS: usize = 128;
/// Frames between engine and socket, each at most a second of audio.
const OUT_FRAMES: usize = 8;
const FLUSH: Duration = Duration::from_secs(1);

/// How a conversation ended without a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostEnd {
    /// The server closed the socket or said `Shutdown`.
    Closed,
    /// The server has been told why the model can't be loaded.
    LoadFailed(String),
}

#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Mismatch(String),
    /// The process must not go on.
    #[error("device lost: {0}")]
    DeviceLost(String),
    #[error("the engine's thread panicked")]
    Panicked,
    #[error("the server sent more than {MAX_COMMANDS} commands ahead of the engine")]
    Flooded,
}

/// What must stay readable in the first frame across protocol versions.
#[derive(Deserialize)]
struct Greeting {
    version: u32,
    build_id: String,
}

/// Serves one model until the server leaves. Must run within a tokio runtime; `load`, which also says how many
/// bytes the model holds on its device, and every step run in one
/// `spawn_blocking` task. When this returns, a running step may still be on its way to its next checkpoint.
pub async fn run<R, W, L>(reader: R, mut writer: W, build_id: &str, load: L) -> Result<HostEnd, HostError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin + Send + 'static,
    L: FnOnce(&LoadSpec) -> Result<(Box<dyn Engine>, u64), LoadError> + Send + 'static,
{
    let mut reader = FrameReader::new(reader);
    let Some(hello) = greet(&mut reader, &mut writer, build_id).await? else { return Ok(HostEnd::Closed) };
    let shared = Arc::new(Shared::default());
    let (out, frames) = mpsc::channel(OUT_FRAMES);
    let beat = Duration::from_millis(hello.beat_ms.max(1));
    let mut writing = tokio::spawn(write(writer, frames, beat, Arc::clone(&shared)));
    let (commands, inbox) = mpsc::channel(MAX_COMMANDS);
    let ready = build_id.to_owned();
    // Weak, so that the engine's thread ends with the reading side.
    let inbox = (inbox, commands.downgrade());
    let engine_side = Arc::clone(&shared);
    let mut engine = tokio::task::spawn_blocking(move || {
        engine_loop::run(|| load(&hello.load), &ready, inbox, engine_loop::Out::new(out, engine_side))
    });
    let end = tokio::select! {
        end = read(&mut reader, commands, &shared) => end,
        joined = &mut engine => ended(joined, &mut writing).await,
    };
    shared.cancel_all();
    end
}

/// Reads the first frame; what it must hold in every version is checked before the rest is parsed.
async fn greet<R, W>(
    reader: &mut FrameReader<R>,
    writer: &mut W,
    build_id: &str,
) -> Result<Option<Hello>, HostError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let Some(first) = reader.next().await? else { return Ok(None) };
    let Greeting { version, build_id: theirs } = first.parse()?;
    if let Some(message) = mismatch(("server", version, &theirs), ("worker", PROTOCOL_VERSION, build_id)) {
        let refusal = frame::encode(&FromWorker::Refused { message: message.clone() }, &[])?;
        writer.write_all(&refusal).await.map_err(FrameError::Io)?;
        return Err(HostError::Mismatch(message));
    }
    match first.parse()? {
        ToWorker::Hello(hello) => Ok(Some(hello)),
        other => Err(FrameError::OutOfTurn(format!("{other:?}")).into()),
    }
}

/// Takes commands until the server leaves. Never waits for the engine.
async fn read<R: AsyncRead + Unpin>(
    reader: &mut FrameReader<R>,
    commands: mpsc::Sender<Command>,
    shared: &Shared,
) -> Result<HostEnd, HostError> {
    loop {
        let Some((message, _)) = reader.message::<ToWorker>().await? else { return Ok(HostEnd::Closed) };
        let command = match message {
            ToWorker::Speak(job) => speak(job, shared),
            ToWorker::Phonemize { id, text, language } => Command::Phonemize { id, text, language },
            ToWorker::Cancel { chunk } => {
                shared.cancel(chunk);
                continue;
            }
            ToWorker::Shutdown => return Ok(HostEnd::Closed),
            ToWorker::Hello(_) => return Err(FrameError::OutOfTurn("a second hello".to_owned()).into()),
        };
        match commands.try_send(command) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return Err(HostError::Flooded),
            // The engine's thread has ended and says why through its handle.
            Err(mpsc::error::TrySendError::Closed(_)) => std::future::pending().await,
        }
    }
}

/// The flag is known from here on, so that a cancel that follows finds it while the engine is busy.
fn speak(job: ChunkJob, shared: &Shared) -> Command {
    let waiter = shared.register(job.chunk);
    Command::Speak(Waiting { job: Box::new(job), waiter })
}

/// Sends what the engine yields, and a beat at a steady pace whether or not the engine moves. Gives the socket back
/// once the engine is silent: were it closed here, the server would hang up before the engine's thread has said why.
async fn write<W: AsyncWrite + Unpin>(
    mut io: W,
    mut frames: mpsc::Receiver<Vec<u8>>,
    beat: Duration,
    shared: Arc<Shared>,
) -> Result<W, FrameError> {
    let mut ticks = tokio::time::interval(beat);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let frame = tokio::select! {
            frame = frames.recv() => frame,
            _ = ticks.tick() => Some(frame::encode(&shared.beat(), &[])?),
        };
        let Some(frame) = frame else {
            io.flush().await?;
            return Ok(io);
        };
        io.write_all(&frame).await?;
    }
}

/// The engine's thread is over: lets what it said last go out.
async fn ended<W>(
    joined: Result<EngineEnd, tokio::task::JoinError>,
    writing: &mut JoinHandle<Result<W, FrameError>>,
) -> Result<HostEnd, HostError> {
    match joined.map_err(|_| HostError::Panicked)? {
        EngineEnd::DeviceLost(why) => Err(HostError::DeviceLost(why)),
        EngineEnd::Unspeakable(error) => Err(error.into()),
        EngineEnd::Closed => Ok(HostEnd::Closed),
        EngineEnd::LoadFailed(why) => {
            // A server that does not read its answer is not waited for longer than this.
            let _ = tokio::time::timeout(FLUSH, writing).await;
            Ok(HostEnd::LoadFailed(why))
        }
    }
}
