//! An answer over HTTP/1.0 has no chunks: it ends where the connection does. One that was cut short must not end so, or
//! its client takes it for complete; the connection is reset instead. (Proxies ask in HTTP/1.0 unless told otherwise.)

use axum::body::Body;
use hyper::body::{Frame, SizeHint};
use rustix::net::sockopt;
use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// Whether an answer on a connection was cut short.
#[derive(Debug, Clone, Default)]
pub(super) struct Cut(Arc<AtomicBool>);

/// A body that tells when it fails.
pub(super) struct Watched {
    body: Body,
    /// `None` where the form of the answer shows it.
    cut: Option<Cut>,
}

impl Watched {
    pub(super) fn new(body: Body, cut: Option<Cut>) -> Self {
        Self { body, cut }
    }
}

impl hyper::body::Body for Watched {
    type Data = <Body as hyper::body::Body>::Data;
    type Error = <Body as hyper::body::Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let (Some(Err(_)), Some(Cut(cut))) = (&frame, &self.cut) {
            cut.store(true, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection that is reset instead of closed once its answer was cut short.
pub(super) struct Resettable {
    stream: TcpStream,
    cut: Cut,
}

impl Resettable {
    pub(super) fn new(stream: TcpStream, cut: Cut) -> Self {
        Self { stream, cut }
    }
}

impl Drop for Resettable {
    fn drop(&mut self) {
        if self.cut.0.load(Ordering::Relaxed) {
            // Without it the client sees a proper end: no worse than nothing being done.
            let _ = sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
        }
    }
}

impl AsyncRead for Resettable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Resettable {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
