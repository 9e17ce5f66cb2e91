//! Clients that no server wants: slow to read, slow to write, gone without a word, or just there.

use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::Value;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinHandle,
    time::sleep,
};

/// What the kernel may hold of an answer that is not read, so that the server notices the slow reader.
const SMALL_BUFFER: u32 = 4096;

/// Lets this process open as many files as it may.
pub fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where that is refused, the drill tells by its own figures.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// The bytes of a speech request.
pub fn request(body: &Value) -> Vec<u8> {
    let body = body.to_string();
    format!(
        "POST /v1/audio/speech HTTP/1.1\r\nHost: drill\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Asks for speech and reads one byte of it every `pause`; ends when the server has enough of it.
pub async fn slow_reader(address: &str, body: &Value, pause: Duration) -> std::io::Result<JoinHandle<()>> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(SMALL_BUFFER)?;
    let mut stream = socket.connect(address.parse().map_err(std::io::Error::other)?).await?;
    stream.write_all(&request(body)).await?;
    Ok(tokio::spawn(async move {
        let mut byte = [0];
        while matches!(stream.read(&mut byte).await, Ok(1)) {
            sleep(pause).await;
        }
    }))
}

/// Sends half a request and nothing more, as one whose network is gone; ends when the server closes.
pub async fn half_open(address: &str, body: &Value) -> std::io::Result<JoinHandle<()>> {
    let mut stream = TcpStream::connect(address).await?;
    let bytes = request(body);
    stream.write_all(&bytes[..bytes.len() / 2]).await?;
    Ok(tokio::spawn(async move {
        let mut rest = Vec::new();
        // However it ends, it has ended.
        let _ = stream.read_to_end(&mut rest).await;
    }))
}

/// Sends its request one byte every `pause`; ends when the server has answered or had enough of it.
pub async fn slow_writer(address: &str, body: &Value, pause: Duration) -> std::io::Result<JoinHandle<()>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let bytes = request(body);
    Ok(tokio::spawn(async move {
        for byte in bytes {
            if stream.write_all(&[byte]).await.is_err() {
                return;
            }
            sleep(pause).await;
        }
        let mut rest = Vec::new();
        // However it ends, it has ended.
        let _ = stream.read_to_end(&mut rest).await;
    }))
}

/// Opens `count` connections and says nothing on them; fewer come back when no more could be had.
pub async fn idle(address: &str, count: usize) -> Vec<TcpStream> {
    let mut streams = Vec::with_capacity(count);
    for _ in 0..count {
        match tokio::time::timeout(Duration::from_secs(5), TcpStream::connect(address)).await {
            Ok(Ok(stream)) => streams.push(stream),
            _ => break,
        }
    }
    streams
}
