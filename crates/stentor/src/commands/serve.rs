//! `stentor serve`: binds, waits until the default model has spoken, answers, and drains when told to stop.

use super::{print, pull};
use crate::{
    compose,
    config::{Config, ListenWhen},
};
use anyhow::{Context as _, Result};
use axum::serve::ListenerExt as _;
use std::{process::ExitCode, time::Duration};
use stentor_server::{AppState, router, synthesis};
use stentor_types::{AudioFormat, Params, Seed, SpeechRequest, Speed};
use tokio::{
    net::{TcpListener, TcpSocket},
    signal::unix::{SignalKind, signal},
    time::{sleep, timeout},
};

/// Connections that the kernel holds for us while the accept loop is busy.
const BACKLOG: u32 = 1024;

/// Between attempts to get a model that can't be had.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

pub(super) async fn run(config: &Config) -> Result<ExitCode> {
    // Bound before anything is loaded, so that a port in use is told at once; listening comes later.
    let socket = bind(config)?;
    // A mistake in a manifest or in the model's name is not cured by waiting.
    compose::catalog(config)?;
    tokio::select! {
        () = fetch(config) => {}
        () = stop_signal() => return Ok(ExitCode::SUCCESS),
    }
    let app = compose::app(config)?;
    for warning in app.catalog.warnings() {
        tracing::warn!("{warning}");
    }
    let canary = tokio::spawn(wait_until_it_speaks(app.clone()));
    if config.listen_when == ListenWhen::Ready {
        tokio::select! {
            result = canary => result?,
            () = stop_signal() => {
                app.supervisor.shutdown(Duration::ZERO).await;
                return Ok(ExitCode::SUCCESS);
            }
        }
    }
    let listener = socket.listen(BACKLOG)?;
    print(&format!("stentor listens on http://{}\n", listener.local_addr()?))?;
    serve(config, app, listener).await
}

fn bind(config: &Config) -> Result<TcpSocket> {
    let socket = if config.listen.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(config.listen).with_context(|| format!("binding {}", config.listen))?;
    Ok(socket)
}

/// Answers until a signal: not ready, drain delay, no new connections, running requests finish, workers end.
async fn serve(config: &Config, app: AppState, listener: TcpListener) -> Result<ExitCode> {
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let graceful = async move { drop(stopped.await) };
    let mut server = tokio::spawn(
        axum::serve(listener, router(app.clone())).with_graceful_shutdown(graceful).into_future(),
    );
    tokio::select! {
        () = stop_signal() => {}
        result = &mut server => return Ok(result?.map(|()| ExitCode::SUCCESS)?),
    }
    tracing::info!("stopping: no longer ready");
    app.readiness.drain();
    tokio::select! {
        () = drain(config, stop, server) => {}
        () = stop_signal() => tracing::warn!("second signal: stopping at once"),
    }
    app.supervisor.shutdown(Duration::ZERO).await;
    Ok(ExitCode::SUCCESS)
}

async fn drain(
    config: &Config,
    stop: tokio::sync::oneshot::Sender<()>,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
) {
    sleep(config.drain_delay).await;
    drop(stop);
    if timeout(config.drain_timeout, server).await.is_err() {
        tracing::warn!("requests were still running after {:?}", config.drain_timeout);
    }
}

/// SIGTERM or SIGINT.
async fn stop_signal() {
    let (Ok(mut term), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Fetches the configured model when it is missing, trying again with growing pauses. One log line per failure.
async fn fetch(config: &Config) {
    let mut pause = FIRST_PAUSE;
    while let Err(error) = pull::configured_model(config).await {
        tracing::error!("the model can't be fetched: {error:#}");
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Speaks a word, again and again with growing pauses until it succeeds. One log line per failure.
async fn wait_until_it_speaks(app: AppState) {
    let mut pause = FIRST_PAUSE;
    loop {
        match canary(&app).await {
            Ok(()) => break,
            Err(error) => tracing::error!(model = %app.default_model, "not ready: {error:#}"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    app.readiness.pass_canary();
    tracing::info!(model = %app.default_model, "ready");
}

pub(super) async fn canary(app: &AppState) -> Result<()> {
    let request = SpeechRequest {
        model: None,
        voice: None,
        input: "Ready.".into(),
        format: AudioFormat::Pcm,
        speed: Speed::NORMAL,
        language: None,
        seed: Seed::FromContent,
        normalize: true,
        stream: None,
        params: Params::new(),
    };
    let resolved = synthesis::resolve(app, &request).await?;
    let mut synthesis = synthesis::open(app, &request, resolved)?;
    let mut samples = 0;
    while let Some(piece) = synthesis.next().await {
        samples += piece?.samples.len();
    }
    anyhow::ensure!(samples > 0, "the model spoke silence");
    Ok(())
}
