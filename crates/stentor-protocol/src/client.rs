//! The server's end: greet a worker and wait until its model is loaded.

use crate::{FrameError, FrameReader, FromWorker, Hello, PROTOCOL_VERSION, ToWorker, frame};
use stentor_engine::EngineDescriptor;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("the worker ended before it was ready")]
    Closed,
    /// The text names the file or tensor.
    #[error("the model can't be loaded: {0}")]
    LoadFailed(String),
    /// The text says what to rebuild.
    #[error("{0}")]
    Mismatch(String),
}

/// What a worker is, once its model is loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    pub descriptor: EngineDescriptor,
    /// Bytes that it holds on its device, as the worker measured them.
    pub memory: u64,
}

/// Says what to load, then waits for as long as loading takes. Not cancel-safe: give the worker up.
pub async fn handshake<R, W>(
    reader: &mut FrameReader<R>,
    writer: &mut W,
    hello: Hello,
) -> Result<Loaded, HandshakeError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let build_id = hello.build_id.clone();
    let hello = frame::encode(&ToWorker::Hello(hello), &[])?;
    writer.write_all(&hello).await.map_err(FrameError::Io)?;
    loop {
        let Some((reply, _)) = reader.message::<FromWorker>().await? else {
            return Err(HandshakeError::Closed);
        };
        match reply {
            FromWorker::Beat { .. } => {}
            FromWorker::Ready { version, build_id: theirs, descriptor, memory } => {
                return match mismatch(("worker", version, &theirs), ("server", PROTOCOL_VERSION, &build_id)) {
                    None => Ok(Loaded { descriptor: *descriptor, memory }),
                    Some(message) => Err(HandshakeError::Mismatch(message)),
                };
            }
            FromWorker::Refused { message } => return Err(HandshakeError::Mismatch(message)),
            FromWorker::LoadFailed { message } => return Err(HandshakeError::LoadFailed(message)),
            other => return Err(FrameError::OutOfTurn(format!("{other:?}")).into()),
        }
    }
}

/// Why two ends don't fit, if they don't; each is its name, protocol version and build id.
pub(crate) fn mismatch(theirs: (&str, u32, &str), ours: (&str, u32, &str)) -> Option<String> {
    let advice =
        "server and worker must be the same executable: rebuild and reinstall it, then restart the server";
    if theirs.1 != ours.1 {
        let line = format!(
            "the {} speaks protocol {} and the {} protocol {}; {advice}",
            theirs.0, theirs.1, ours.0, ours.1
        );
        return Some(line);
    }
    (theirs.2 != ours.2).then(|| {
        format!("the {} is build `{}` and the {} build `{}`; {advice}", theirs.0, theirs.2, ours.0, ours.2)
    })
}
