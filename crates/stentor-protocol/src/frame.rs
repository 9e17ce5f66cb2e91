//! One frame on the wire: two little-endian `u32` lengths, a JSON header, raw little-endian `f32` samples.
//!
//! Lengths are checked against hard limits before anything is allocated, so that garbage (a stray print, another
//! program's bytes) is an error and not a buffer of gigabytes.

use bytes::{Buf, Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
};

/// Longest header in bytes. A chunk's text with its spans is a few kilobytes.
pub const MAX_HEADER: usize = 1 << 20;
/// Longest payload in bytes: 262,144 samples, 11 s at 24 kHz.
pub const MAX_PAYLOAD: usize = 1 << 20;
const PREFIX: usize = 8;
const READ: usize = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("the socket failed: {0}")]
    Io(#[from] std::io::Error),
    #[error("not a frame: its {part} claims {len} bytes, at most {limit} are allowed")]
    TooLarge { part: &'static str, len: usize, limit: usize },
    #[error("not a frame: a payload of {0} bytes is not a whole number of samples")]
    NotSamples(usize),
    #[error("the other end closed the socket in the middle of a frame")]
    Truncated,
    #[error("not a message: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("a message out of turn: {0}")]
    OutOfTurn(String),
}

/// A received frame whose header is not parsed yet.
#[derive(Debug, Clone)]
pub struct Frame {
    header: Bytes,
    pub samples: Vec<f32>,
}

impl Frame {
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, FrameError> {
        Ok(serde_json::from_slice(&self.header)?)
    }
}

/// Cuts a byte stream into frames. Holds at most one frame and [`READ`] bytes.
pub struct FrameReader<R> {
    io: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub fn new(io: R) -> Self {
        Self { io, buffer: BytesMut::new() }
    }

    /// The next frame, or `None` when the other end closed between frames. Cancel-safe.
    pub async fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            if let Some(frame) = self.cut()? {
                return Ok(Some(frame));
            }
            self.buffer.reserve(READ);
            if self.io.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(FrameError::Truncated) };
            }
        }
    }

    /// The next frame as a message and its samples.
    pub async fn message<T: DeserializeOwned>(&mut self) -> Result<Option<(T, Vec<f32>)>, FrameError> {
        let Some(frame) = self.next().await? else { return Ok(None) };
        Ok(Some((frame.parse()?, frame.samples)))
    }

    fn cut(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some((prefix, rest)) = self.buffer.split_first_chunk::<PREFIX>() else { return Ok(None) };
        let [h0, h1, h2, h3, p0, p1, p2, p3] = *prefix;
        let header = u32::from_le_bytes([h0, h1, h2, h3]) as usize;
        let payload = u32::from_le_bytes([p0, p1, p2, p3]) as usize;
        check(header, payload)?;
        if rest.len() < header + payload {
            return Ok(None);
        }
        self.buffer.advance(PREFIX);
        let header = self.buffer.split_to(header).freeze();
        let samples = self.buffer.split_to(payload);
        let samples = samples.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        Ok(Some(Frame { header, samples }))
    }
}

fn check(header: usize, payload: usize) -> Result<(), FrameError> {
    if header > MAX_HEADER {
        return Err(FrameError::TooLarge { part: "header", len: header, limit: MAX_HEADER });
    }
    if payload > MAX_PAYLOAD {
        return Err(FrameError::TooLarge { part: "payload", len: payload, limit: MAX_PAYLOAD });
    }
    if payload.is_multiple_of(size_of::<f32>()) { Ok(()) } else { Err(FrameError::NotSamples(payload)) }
}

/// A message and its samples as bytes for the wire; too large a message is refused here, by its sender.
pub fn encode<T: Serialize>(message: &T, samples: &[f32]) -> Result<Vec<u8>, FrameError> {
    let header = serde_json::to_vec(message)?;
    let payload = size_of_val(samples);
    check(header.len(), payload)?;
    let mut bytes = Vec::with_capacity(PREFIX + header.len() + payload);
    bytes.extend_from_slice(&(header.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&(payload as u32).to_le_bytes());
    bytes.extend_from_slice(&header);
    bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    Ok(bytes)
}

/// Writes encoded frames until the channel closes or the socket fails.
pub async fn pump<W: AsyncWrite + Unpin>(
    mut io: W,
    mut frames: mpsc::Receiver<Vec<u8>>,
) -> std::io::Result<()> {
    while let Some(frame) = frames.recv().await {
        io.write_all(&frame).await?;
    }
    io.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> Result<Option<(String, Vec<f32>)>, FrameError> {
        FrameReader::new(bytes).message::<String>().await
    }

    #[tokio::test]
    async fn a_frame_survives_the_wire_in_pieces_of_any_size() {
        let samples = [0.5, -1.0, f32::MIN_POSITIVE, 1e-30];
        let bytes = [encode(&"one", &samples).unwrap(), encode(&"two", &[]).unwrap()].concat();
        for piece in 1..bytes.len() {
            let (mut tx, rx) = tokio::io::duplex(piece);
            let bytes = bytes.clone();
            tokio::spawn(async move { tx.write_all(&bytes).await });
            let mut reader = FrameReader::new(rx);
            assert_eq!(reader.message().await.unwrap(), Some(("one".to_owned(), samples.to_vec())));
            assert_eq!(reader.message().await.unwrap(), Some(("two".to_owned(), Vec::new())));
            assert!(reader.next().await.unwrap().is_none());
        }
    }

    #[tokio::test]
    async fn garbage_is_an_error_and_never_a_large_buffer() {
        let mut reader = FrameReader::new(&b"hello world, this is no frame at all"[..]);
        assert!(matches!(reader.next().await, Err(FrameError::TooLarge { part: "header", .. })));
        assert!(reader.buffer.capacity() <= 2 * READ, "{}", reader.buffer.capacity());
        let payload = [&2_u32.to_le_bytes()[..], &u32::MAX.to_le_bytes()[..], b"{}"].concat();
        assert!(matches!(read(&payload).await, Err(FrameError::TooLarge { part: "payload", .. })));
        let odd = [&2_u32.to_le_bytes()[..], &3_u32.to_le_bytes()[..], b"{}abc"].concat();
        assert!(matches!(read(&odd).await, Err(FrameError::NotSamples(3))));
        let not_json = [&2_u32.to_le_bytes()[..], &0_u32.to_le_bytes()[..], b"{x"].concat();
        assert!(matches!(read(&not_json).await, Err(FrameError::Malformed(_))));
    }

    #[tokio::test]
    async fn a_frame_cut_short_is_told_apart_from_a_clean_end() {
        let bytes = encode(&"message", &[1.0, 2.0]).unwrap();
        assert!(read(&[]).await.unwrap().is_none());
        for cut in 1..bytes.len() {
            assert!(matches!(read(&bytes[..cut]).await, Err(FrameError::Truncated)), "{cut}");
        }
    }

    #[test]
    fn a_sender_is_refused_what_a_reader_would_refuse() {
        let long = "x".repeat(MAX_HEADER);
        assert!(matches!(encode(&long, &[]), Err(FrameError::TooLarge { part: "header", .. })));
        let many = vec![0.0; MAX_PAYLOAD / 4 + 1];
        assert!(matches!(encode(&"x", &many), Err(FrameError::TooLarge { part: "payload", .. })));
    }
}
