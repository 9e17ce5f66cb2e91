//! Probes as an orchestrator sends them: a new connection each time, at a steady pace.

use std::time::Duration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

/// An orchestrator that waits longer than this restarts the container.
const PATIENCE: Duration = Duration::from_secs(10);

/// Latencies in milliseconds, and how many probes failed.
#[derive(Debug, Default)]
pub struct Probes {
    pub connect_ms: Vec<f64>,
    /// From before the connection to the end of the answer.
    pub answer_ms: Vec<f64>,
    pub failed: usize,
}

/// Probes `path` every `pause` for `time`.
pub async fn probe(address: &str, path: &str, pause: Duration, time: Duration) -> Probes {
    let mut probes = Probes::default();
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let end = Instant::now() + time;
    while Instant::now() < end {
        ticks.tick().await;
        match timeout(PATIENCE, once(address, path)).await {
            Ok(Ok((connect, answer))) => {
                probes.connect_ms.push(connect.as_secs_f64() * 1e3);
                probes.answer_ms.push(answer.as_secs_f64() * 1e3);
            }
            _ => probes.failed += 1,
        }
    }
    probes
}

async fn once(address: &str, path: &str) -> std::io::Result<(Duration, Duration)> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address).await?;
    let connected = begun.elapsed();
    let request = format!("GET {path} HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    if answer.starts_with(b"HTTP/1.1 200") {
        Ok((connected, begun.elapsed()))
    } else {
        Err(std::io::Error::other(String::from_utf8_lossy(&answer).into_owned()))
    }
}
