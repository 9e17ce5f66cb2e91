//! Accepts connections and serves HTTP/1.1 on them, with a bound on everything that a client can hold: how many
//! connections, how long the head of a request takes, how long written bytes stay unread.

mod cut;
mod patient;
pub(crate) mod wyoming;

use axum::{Router, extract::ConnectInfo};
use cut::{Resettable, Unfinished, Watched};
use hyper::{Request, Response, Version, body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use patient::Patient;
use rustix::{
    net::sockopt,
    process::{Resource, getrlimit, setrlimit},
};
use std::{convert::Infallible, io, net::SocketAddr, os::fd::AsFd, pin::Pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, oneshot},
    time::sleep,
};

/// More than any request's head needs.
const HEAD_BYTES: usize = 64 * 1024;
/// After a failure to accept that lasts, such as having no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);
/// Descriptors that are kept for everything but HTTP's clients: files, workers, logs, and those of Wyoming.
const RESERVED_FILES: u64 = 192;

/// What a client may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) max_connections: usize,
    /// From the end of a request, or the opening, until the next one's head is complete.
    pub(crate) header_timeout: Duration,
    /// How long written bytes may stay unread.
    pub(crate) stalled_reader: Duration,
}

/// Serves until `stop` is told or dropped, then closes idle connections and lets running requests finish.
pub(crate) async fn run(listener: TcpListener, router: Router, rules: Rules, stop: oneshot::Receiver<()>) {
    let graceful = GracefulShutdown::new();
    tokio::select! {
        () = accept(&listener, &router, rules, &graceful) => {}
        _ = stop => {}
    }
    drop(listener);
    graceful.shutdown().await;
}

/// Finds dead peers within about two minutes; accepted connections inherit it from the listening socket.
pub(crate) fn keep_alive(socket: impl AsFd) -> io::Result<()> {
    sockopt::set_socket_keepalive(&socket, true)?;
    sockopt::set_tcp_keepidle(&socket, Duration::from_secs(60))?;
    sockopt::set_tcp_keepintvl(&socket, Duration::from_secs(15))?;
    Ok(sockopt::set_tcp_keepcnt(&socket, 4)?)
}

/// As many connections as were asked for, or as the descriptors of this process allow; raises their soft limit.
pub(crate) fn connections(asked: usize) -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum || limit.maximum.is_none() {
        let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            limit = getrlimit(Resource::Nofile);
        }
    }
    let allowed = limit.current.map_or(u64::MAX, |files| files.saturating_sub(RESERVED_FILES).max(1));
    let granted = allowed.min(asked as u64) as usize;
    if granted < asked {
        tracing::warn!("max_connections is {granted}: this process may not open more files");
    }
    granted
}

/// Never returns. While every place is taken, new connections wait in the kernel.
async fn accept(listener: &TcpListener, router: &Router, rules: Rules, graceful: &GracefulShutdown) {
    let places = Arc::new(Semaphore::new(rules.max_connections));
    let mut failing = false;
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                failing = false;
                let connection = graceful.watch(connection(stream, peer, router.clone(), rules));
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!("a connection ended: {error}");
                    }
                    drop(place);
                });
            }
            Err(error) if is_clients(&error) => {}
            Err(error) => {
                if !failing {
                    tracing::error!("no connection can be accepted for now: {error}");
                }
                failing = true;
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Only this one connection is gone.
fn is_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// The service of one connection: the router, told who asks.
type Answer = TowerToHyperService<Router>;

struct Peer {
    address: SocketAddr,
    answer: Answer,
    unfinished: Unfinished,
}

impl hyper::service::Service<Request<Incoming>> for Peer {
    type Response = Response<Watched>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(ConnectInfo(self.address));
        let unfinished = (request.version() < Version::HTTP_11).then(|| self.unfinished.clone());
        let answer = self.answer.call(request);
        Box::pin(async move { Ok(answer.await?.map(|body| Watched::new(body, unfinished))) })
    }
}

fn connection(
    stream: TcpStream,
    address: SocketAddr,
    router: Router,
    rules: Rules,
) -> http1::Connection<TokioIo<Patient<Resettable>>, Peer> {
    // Without it the connection works too, only later by a moment.
    let _ = stream.set_nodelay(true);
    let unfinished = Unfinished::default();
    let stream = Resettable::new(stream, unfinished.clone());
    let stream = TokioIo::new(Patient::new(stream, rules.stalled_reader));
    let peer = Peer { address, answer: TowerToHyperService::new(router), unfinished };
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(rules.header_timeout)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(stream, peer)
}
