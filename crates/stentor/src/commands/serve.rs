//! `stentor serve`: binds, waits until somebody can speak, answers, and drains when told to stop.

use super::print;
use crate::{
    compose,
    config::{Config, ListenWhen},
    listen::{self, Rules},
    reload,
    signals::{self, StopSignals},
    startup,
};
use anyhow::{Context as _, Result};
use std::{net::SocketAddr, process::ExitCode, time::Duration};
use stentor_server::{AppState, router};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::oneshot,
    task::JoinHandle,
    time::{sleep, timeout},
};

/// Connections that the kernel holds for us while the accept loop is busy.
const BACKLOG: u32 = 1024;
/// What workers get to end after a second signal; those that take longer see their socket close.
const AT_ONCE: Duration = Duration::from_millis(500);
/// For what was spoken last to reach the disk, so that it is found after a restart.
const LAST_WRITES: Duration = Duration::from_secs(5);
/// For the answers of requests that the end of the drain cut off.
const LAST_WORDS: Duration = Duration::from_secs(1);

pub(super) async fn run(config: &Config) -> Result<ExitCode> {
    let mut signals = StopSignals::new()?;
    let hangup = signals::reload()?;
    // Bound before anything is loaded, so that a port in use is told at once; listening comes later.
    let socket = bind(config.listen)?;
    let wyoming = config.wyoming.map(bind).transpose()?;
    let store = compose::chunk_store(config);
    let app = compose::app(config, store.clone())?;
    for open in app.catalog().uploads().sweep() {
        tracing::warn!("an uploaded voice may be readable for others: {open}");
    }
    for warning in app.catalog().warnings() {
        tracing::warn!("{warning}");
    }
    app.readiness.set_fetching(startup::must_fetch(config, &app));
    tokio::spawn(reload::watch(config.clone(), app.clone(), hangup));
    tokio::spawn(startup::keep_ready(config.clone(), app.clone()));
    if config.listen_when == ListenWhen::Ready {
        tokio::select! {
            () = app.readiness.somebody_speaks() => {}
            _ = signals.next() => {
                app.supervisor.shutdown(Duration::ZERO).await;
                return Ok(ExitCode::SUCCESS);
            }
        }
    }
    let listener = socket.listen(BACKLOG)?;
    let wyoming = wyoming.map(|socket| socket.listen(BACKLOG)).transpose()?;
    if let Some(wyoming) = &wyoming {
        tracing::info!("the Wyoming protocol is spoken on tcp://{}", wyoming.local_addr()?);
    }
    print(&format!("stentor listens on http://{}\n", listener.local_addr()?))?;
    let code = serve(config, app, (listener, wyoming), signals).await?;
    if let Some(store) = store
        && code == ExitCode::SUCCESS
        && timeout(LAST_WRITES, store.flush()).await.is_err()
    {
        tracing::warn!("not all finished speech was written to disk within {LAST_WRITES:?}");
    }
    Ok(code)
}

fn bind(address: SocketAddr) -> Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    listen::keep_alive(&socket)?;
    socket.bind(address).with_context(|| format!("binding {address}"))?;
    Ok(socket)
}

/// Answers until a signal: not ready, drain delay, no new connections, running requests finish, workers end. A second
/// signal ends it at once, with the exit status of a process that the signal kills.
async fn serve(
    config: &Config,
    app: AppState,
    (listener, wyoming): (TcpListener, Option<TcpListener>),
    mut signals: StopSignals,
) -> Result<ExitCode> {
    let rules = Rules {
        max_connections: listen::connections(config.max_connections),
        header_timeout: config.header_timeout,
        stalled_reader: config.settings.limits.stalled_reader,
    };
    let ((stop, stopped), (stop_wyoming, wyoming_stopped)) = (oneshot::channel(), oneshot::channel());
    let (http, houses) = (router(app.clone()), app.clone());
    let mut server = tokio::spawn(async move {
        tokio::join!(listen::run(listener, http, rules, stopped), async {
            if let Some(listener) = wyoming {
                listen::wyoming::run(listener, houses, rules, wyoming_stopped).await;
            }
        });
    });
    signals.next().await;
    tracing::info!("stopping: no longer ready");
    app.readiness.drain();
    tokio::select! {
        () = drain(config, [stop, stop_wyoming], &mut server) => {}
        code = signals.next() => {
            tracing::warn!("second signal: stopping at once");
            let _ = timeout(AT_ONCE, app.supervisor.shutdown(Duration::ZERO)).await;
            return Ok(code);
        }
    }
    app.supervisor.shutdown(Duration::ZERO).await;
    if !server.is_finished() {
        let _ = timeout(LAST_WORDS, server).await;
    }
    Ok(ExitCode::SUCCESS)
}

async fn drain(config: &Config, stop: [oneshot::Sender<()>; 2], server: &mut JoinHandle<()>) {
    sleep(config.drain_delay).await;
    drop(stop);
    if timeout(config.drain_timeout, server).await.is_err() {
        tracing::warn!("requests were still running after {:?}", config.drain_timeout);
    }
}
