//! From "started" to "ready", and back there after a loss: fetches the default model, has it speak, and while it
//! can't, has its fallbacks speak, so that a server with anybody who can speak is of use.

use crate::{commands::configured_model, config::Config, reload};
use anyhow::Result;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use stentor_server::{
    ApiError, AppState, ErrorCode, Terms, is_out,
    synthesis::{self, Request},
};
use stentor_types::{AudioFormat, ModelId, Params, Seed, SpeechRequest, Speed};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

/// Between attempts to get a model that can't be had.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A big model on a slow disk; the supervisor gives up on one that does not load before that.
const CANARY_PATIENCE: Duration = Duration::from_secs(900);

/// What the default model gets before its fallbacks are loaded too; one that is well has spoken by then.
const HEAD_START: Duration = Duration::from_secs(5);

/// Runs as long as the server.
pub(crate) async fn keep_ready(config: Config, app: AppState) {
    let fetched = Notify::new();
    let ready = async {
        loop {
            let out = Notify::new();
            // Side by side: a default model that hangs while it loads must not keep everybody silent.
            tokio::select! {
                () = until_it_speaks(&app, &fetched, &out) => {}
                () = stand_in(&app, &out) => {}
            }
            until_it_fails(&app).await;
        }
    };
    tokio::join!(fetch(&config, &app, &fetched), ready);
}

/// Whether the default model's files have to be fetched first; those without a source are put there by hand.
pub(crate) fn must_fetch(config: &Config, app: &AppState) -> bool {
    let catalog = app.catalog();
    let default = catalog.model(&app.default_model);
    config.model.is_some()
        && default.is_some_and(|model| !model.installed && model.manifest().source.is_some())
}

/// Fetches the configured model when it is missing, trying again with growing pauses. One log line per failure.
async fn fetch(config: &Config, app: &AppState, fetched: &Notify) {
    let mut pause = FIRST_PAUSE;
    while app.readiness.is_fetching() {
        let result = match configured_model(config).await {
            Ok(()) => reload::refresh(app).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => {
                app.readiness.set_fetching(false);
                fetched.notify_one();
            }
            Err(error) => {
                tracing::error!("the model can't be fetched: {error:#}");
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Has the default model speak a word, again and again with growing pauses until it succeeds; tells `out` when it can't.
async fn until_it_speaks(app: &AppState, fetched: &Notify, out: &Notify) {
    let model = &app.default_model;
    let (mut pause, mut complaint) = (FIRST_PAUSE, Complaint::default());
    loop {
        if !app.readiness.is_fetching() {
            match canary(app, model).await {
                Ok(()) => return tracing::info!(%model, "ready"),
                Err(error) => complaint.not_ready(model, &error),
            }
        }
        out.notify_one();
        tokio::select! {
            () = sleep(pause) => {}
            () = fetched.notified() => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Once the default model is `out`, or takes its time, has its fallbacks speak a word until one of them does. Never
/// returns, since the configuration may name others later.
async fn stand_in(app: &AppState, out: &Notify) {
    // Either way it is their turn now.
    let _ = timeout(HEAD_START, out.notified()).await;
    let (mut pause, mut complaint) = (FIRST_PAUSE, Complaint::default());
    loop {
        for fallback in app.fallback_of(&app.default_model) {
            if app.readiness.has_passed(&fallback) {
                break;
            }
            match canary(app, &fallback).await {
                Ok(()) => {
                    tracing::info!(model = %app.default_model, %fallback, "ready, with the fallback");
                    break;
                }
                Err(error) => complaint.not_ready(&fallback, &error),
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn until_it_fails(app: &AppState) {
    match app.supervisor.watch(&app.default_model) {
        Some(mut status) => {
            if status.wait_for(is_out).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
        None => std::future::pending().await,
    }
}

/// Has exactly this model speak a word, freshly synthesized.
pub(crate) async fn canary(app: &AppState, model: &ModelId) -> Result<()> {
    let speech = SpeechRequest {
        model: Some(model.to_string()),
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
    let terms = Terms { keep: false, deadline: Some(CANARY_PATIENCE), ..Terms::default() };
    let request = Request { stand_ins: false, counted: false, ..Request::new(&speech, terms) };
    let mut synthesis = synthesis::begin(app, request).await?;
    let mut samples = 0;
    while let Some(piece) = synthesis.next().await {
        samples += piece?.samples.len();
    }
    anyhow::ensure!(samples > 0, "the model spoke silence");
    app.readiness.pass(model);
    Ok(())
}

/// Why a model can't be had, told when it is another reason than last time.
#[derive(Default)]
struct Complaint(BTreeMap<ModelId, String>);

impl Complaint {
    /// What became of a worker has been logged by its supervisor already.
    fn not_ready(&mut self, model: &ModelId, error: &anyhow::Error) {
        let of_worker = error.downcast_ref::<ApiError>().is_some_and(|error| {
            matches!(error.code, ErrorCode::ModelUnavailable | ErrorCode::DeadlinePassed)
        });
        let reason = format!("{error:#}");
        if of_worker || self.0.get(model) == Some(&reason) {
            return tracing::debug!(%model, "not ready: {reason}");
        }
        tracing::warn!(%model, "not ready: {reason}");
        self.0.insert(model.clone(), reason);
    }
}

/// Tells readiness what each model goes through, one small task per model.
pub(crate) struct Trackers {
    app: AppState,
    known: BTreeSet<ModelId>,
}

impl Trackers {
    pub(crate) fn new(app: AppState) -> Self {
        let mut trackers = Self { app, known: BTreeSet::new() };
        trackers.track();
        trackers
    }

    /// Takes on the models that have been added.
    pub(crate) fn track(&mut self) {
        for model in self.app.supervisor.models() {
            if self.known.insert(model.clone()) {
                tokio::spawn(track(self.app.clone(), model));
            }
        }
    }
}

async fn track(app: AppState, model: ModelId) {
    let Some(mut status) = app.supervisor.watch(&model) else { return };
    loop {
        let state = status.borrow_and_update().state;
        app.readiness.note(&model, state);
        if status.changed().await.is_err() {
            return;
        }
    }
}
