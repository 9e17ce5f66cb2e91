//! Accepts connections of the Wyoming protocol, under the same bounds as those over HTTP.

use super::{ACCEPT_PAUSE, Rules, is_clients, patient::Patient};
use std::sync::Arc;
use stentor_server::{
    AppState,
    wyoming::{Peer, converse},
};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, oneshot, watch},
    time::sleep,
};

/// Connections at once. Its clients are houses, not crowds.
const MOST: u32 = 64;

/// Serves until `stop` is told or dropped, then lets what is being spoken finish; idle connections are closed.
pub(crate) async fn run(listener: TcpListener, app: AppState, rules: Rules, stop: oneshot::Receiver<()>) {
    let places = Arc::new(Semaphore::new(MOST as usize));
    let (stopping, stopped) = watch::channel(false);
    tokio::select! {
        () = accept(&listener, &app, (rules, &places), &stopped) => {}
        _ = stop => {}
    }
    drop(listener);
    // Without a receiver nobody is left to be told.
    let _ = stopping.send(true);
    let _ = places.acquire_many(MOST).await;
}

/// Never returns. While every place is taken, new connections wait in the kernel.
async fn accept(
    listener: &TcpListener,
    app: &AppState,
    (rules, places): (Rules, &Arc<Semaphore>),
    stop: &watch::Receiver<bool>,
) {
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, address)) => {
                // Without it the connection works too, only later by a moment.
                let _ = stream.set_nodelay(true);
                let stream = Patient::new(stream, rules.stalled_reader);
                let peer = Peer { address: address.ip(), idle: rules.header_timeout, stop: stop.clone() };
                let conversation = converse(app.clone(), stream, peer);
                tokio::spawn(async move {
                    conversation.await;
                    drop(place);
                });
            }
            Err(error) if is_clients(&error) => {}
            Err(error) => {
                tracing::error!("no Wyoming connection can be accepted for now: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
