//! Many requests at once: an open loop that never waits for answers, and a closed one that does.

use crate::{TestApp, watch::Watch};
use bytes::Bytes;
use futures_util::StreamExt as _;
use reqwest::Client;
use serde_json::Value;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout_at},
};

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With this status and the whole body.
    Whole(u16),
    /// The body broke off.
    Cut(u16),
    /// No connection, or it broke before there was a status.
    Unanswered,
    /// The client's patience was over.
    TimedOut,
}

/// One request as its client saw it.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub index: usize,
    pub sent: Instant,
    pub took: Duration,
    pub end: End,
    pub body: Bytes,
}

impl Outcome {
    pub fn millis(&self) -> f64 {
        self.took.as_secs_f64() * 1e3
    }

    pub fn is_ok(&self) -> bool {
        self.end == End::Whole(200)
    }
}

/// What is sent, where to, and for how long an answer is waited for.
#[derive(Clone)]
pub struct Load {
    pub client: Client,
    pub url: String,
    /// Makes the body of a request from its index.
    pub body: Arc<dyn Fn(usize) -> Value + Send + Sync>,
    pub patience: Duration,
    /// Sent as `X-Request-Timeout`, in seconds.
    pub deadline: Option<u64>,
    /// Clients that the requests come from, told apart by their keys; zero: one without a key.
    pub keys: usize,
    pub watch: Watch,
}

impl Load {
    /// With a connection for each request.
    pub fn new(app: &TestApp, watch: &Watch, body: impl Fn(usize) -> Value + Send + Sync + 'static) -> Self {
        Self {
            client: app.fresh_client(),
            url: format!("{}/v1/audio/speech", app.base),
            body: Arc::new(body),
            patience: Duration::from_secs(120),
            deadline: None,
            keys: 0,
            watch: watch.clone(),
        }
    }

    /// Sends request `index` and reads its answer to the end.
    pub async fn ask(&self, index: usize) -> Outcome {
        let _doing = self.watch.begin(format!("request {index}"));
        let mut request = self.client.post(&self.url).json(&(self.body)(index));
        if self.keys > 0 {
            request = request.bearer_auth(format!("client-{}", index % self.keys));
        }
        if let Some(seconds) = self.deadline {
            request = request.header("x-request-timeout", seconds);
        }
        let sent = Instant::now();
        let mut body = Vec::new();
        let end = until(request, &mut body, sent + self.patience).await;
        Outcome { index, sent, took: sent.elapsed(), end, body: Bytes::from(body) }
    }

    /// `rate` requests a second for `time`, however long each takes; waits for every answer.
    pub async fn open_loop(&self, rate: f64, time: Duration) -> Vec<Outcome> {
        let mut ticks = interval(Duration::from_secs_f64(1.0 / rate));
        // An arrival that the generator has missed still comes.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let total = (rate * time.as_secs_f64()).round() as usize;
        let mut flying = JoinSet::new();
        for index in 0..total {
            ticks.tick().await;
            let load = self.clone();
            flying.spawn(async move { load.ask(index).await });
        }
        flying.join_all().await
    }

    /// `total` requests by `clients` that each wait for their answer; `done` counts the answers.
    pub async fn closed_loop(&self, clients: usize, total: usize, done: &Arc<AtomicUsize>) -> Vec<Outcome> {
        let next = Arc::new(AtomicUsize::new(0));
        let mut flying = JoinSet::new();
        for _ in 0..clients {
            let (load, next, done) = (self.clone(), Arc::clone(&next), Arc::clone(done));
            flying.spawn(async move {
                let mut outcomes = Vec::new();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= total {
                        return outcomes;
                    }
                    outcomes.push(load.ask(index).await);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        flying.join_all().await.into_iter().flatten().collect()
    }
}

async fn until(request: reqwest::RequestBuilder, body: &mut Vec<u8>, deadline: Instant) -> End {
    let response = match timeout_at(deadline, request.send()).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => return End::Unanswered,
        Err(_) => return End::TimedOut,
    };
    let status = response.status().as_u16();
    let mut pieces = response.bytes_stream();
    loop {
        match timeout_at(deadline, pieces.next()).await {
            Ok(Some(Ok(piece))) => body.extend_from_slice(&piece),
            Ok(Some(Err(_))) => return End::Cut(status),
            Ok(None) => return End::Whole(status),
            Err(_) => return End::TimedOut,
        }
    }
}
