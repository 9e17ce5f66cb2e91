//! An answer over HTTP/1.0 has no chunks: it ends where the connection does. One that is cut short must not end so, or its
//! client takes it for complete; until it is complete, whatever closes the connection (even the end of this process)
//! resets it. Proxies ask in HTTP/1.0 unless told otherwise.

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

/// Whether an answer that only the end of its connection completes is still incomplete.
#[derive(Debug, Clone, Default)]
pub(super) struct Unfinished(Arc<AtomicBool>);

/// A body that tells when it begins and when it is complete.
pub(super) struct Watched {
    body: Body,
    /// `None` where the form of the answer shows it.
    unfinished: Option<Unfinished>,
}

impl Watched {
    /// `unfinished` is that of the connection, if the request can be answered without chunks only.
    pub(super) fn new(body: Body, unfinished: Option<Unfinished>) -> Self {
        // A length in the head shows it too.
        let unfinished = unfinished.filter(|_| hyper::body::Body::size_hint(&body).exact().is_none());
        Self { body, unfinished }
    }

    fn tell(&self, is: bool) {
        if let Some(Unfinished(unfinished)) = &self.unfinished {
            unfinished.store(is, Ordering::Relaxed);
        }
    }
}

impl hyper::body::Body for Watched {
    type Data = <Body as hyper::body::Body>::Data;
    type Error = <Body as hyper::body::Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.tell(true);
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() || self.body.is_end_stream() && matches!(frame, Some(Ok(_))) {
            self.tell(false);
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

/// A connection that is reset instead of closed while its answer is unfinished.
pub(super) struct Resettable {
    stream: TcpStream,
    unfinished: Unfinished,
    /// What the kernel has been told to do at the end.
    resets: bool,
}

impl Resettable {
    pub(super) fn new(stream: TcpStream, unfinished: Unfinished) -> Self {
        Self { stream, unfinished, resets: false }
    }

    fn tell_kernel(&mut self) {
        let resets = self.unfinished.0.load(Ordering::Relaxed);
        if resets != self.resets {
            // Where it fails the client sees a proper end, as if nothing had been done.
            let _ = sockopt::set_socket_linger(&self.stream, resets.then_some(Duration::ZERO));
            self.resets = resets;
        }
    }
}

impl Drop for Resettable {
    fn drop(&mut self) {
        self.tell_kernel();
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
        self.tell_kernel();
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.tell_kernel();
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tell_kernel();
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
