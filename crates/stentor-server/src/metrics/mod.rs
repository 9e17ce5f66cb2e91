//! What `/metrics` shows. Labels hold only names of ours: models, formats, statuses, codes; never a client's words.
//!
//! Events are counted where they happen; everything that is a state is read at the scrape, see [`scrape`].

mod scrape;

use crate::error::CLIENT_LEFT;
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        histogram::Histogram,
        info::Info,
    },
    registry::{Metric, Registry},
};
use std::sync::atomic::AtomicU64;
use stentor_jobs::ChunkStore;
use stentor_supervisor::Supervisor;
use stentor_types::ModelId;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByModel {
    model: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByAnswer {
    model: String,
    format: &'static str,
    status: u16,
}

type Seconds = Counter<f64, AtomicU64>;
type Times = Family<ByModel, Histogram, Buckets>;

/// From a cached greeting to a chapter.
#[derive(Debug, Clone, Copy)]
struct Buckets;

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new([
            0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 1200.0,
        ])
    }
}

/// Owned by the app; there is no global registry.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<ByAnswer, Counter>,
    rejected: Family<ByReason, Counter>,
    cancelled: Family<ByModel, Counter>,
    audio: Family<ByModel, Seconds>,
    chars: Family<ByModel, Counter>,
    queue: Times,
    first_audio: Times,
    request: Times,
}

impl Metrics {
    /// `version` is shown as `build_info`.
    pub fn new(supervisor: Supervisor, store: Option<ChunkStore>, version: &'static str) -> Self {
        let mut registry = Registry::default();
        registry.register("build", "This build of the server", Info::new([("version", version)]));
        registry.register_collector(Box::new(scrape::Gauges { supervisor, store }));
        let times = || Times::new_with_constructor(Buckets);
        let mut add = Adder(&mut registry);
        Self {
            requests: add.family("tts_requests", "Speech requests by the status they were answered with"),
            rejected: add.family("tts_rejected", "Speech requests turned away, by error code"),
            cancelled: add.family("tts_cancelled", "Requests whose client left before their audio ended"),
            audio: add.family("tts_audio_seconds", "Seconds of audio handed to encoders"),
            chars: add.family("tts_input_chars", "Characters of text whose speaking began"),
            queue: add.metric("tts_queue_seconds", "From admission to the begin of the first chunk", times()),
            first_audio: add.metric(
                "tts_ttfa_seconds",
                "From the request to its first bytes of audio",
                times(),
            ),
            request: add.metric("tts_request_seconds", "From the request to the end of its audio", times()),
            registry,
        }
    }

    /// OpenMetrics text.
    pub(crate) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }

    /// A request came; what becomes of it is counted when the result is dropped.
    pub(crate) fn request(&self) -> RequestMeter<'_> {
        RequestMeter { metrics: self, model: None, format: None, status: CLIENT_LEFT }
    }

    pub(crate) fn rejected(&self, reason: &'static str) {
        self.rejected.get_or_create(&ByReason { reason }).inc();
    }

    pub(crate) fn cancelled(&self, model: &ModelId) {
        self.cancelled.get_or_create(&by(model)).inc();
    }

    pub(crate) fn audio(&self, model: &ModelId, seconds: f64) {
        self.audio.get_or_create(&by(model)).inc_by(seconds);
    }

    pub(crate) fn chars(&self, model: &ModelId, chars: usize) {
        self.chars.get_or_create(&by(model)).inc_by(chars as u64);
    }

    pub(crate) fn queued(&self, model: &ModelId, seconds: f64) {
        self.queue.get_or_create(&by(model)).observe(seconds);
    }

    pub(crate) fn first_audio(&self, model: &ModelId, seconds: f64) {
        self.first_audio.get_or_create(&by(model)).observe(seconds);
    }

    pub(crate) fn finished(&self, model: &ModelId, seconds: f64) {
        self.request.get_or_create(&by(model)).observe(seconds);
    }
}

fn by(model: &ModelId) -> ByModel {
    ByModel { model: model.to_string() }
}

struct Adder<'a>(&'a mut Registry);

impl Adder<'_> {
    fn metric<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }

    fn family<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        self.metric(name, help, M::default())
    }
}

/// One request on its way to a counter.
pub(crate) struct RequestMeter<'a> {
    metrics: &'a Metrics,
    model: Option<ModelId>,
    format: Option<&'static str>,
    status: u16,
}

impl RequestMeter<'_> {
    /// As in `response_format`.
    pub(crate) fn format(&mut self, format: &'static str) {
        self.format = Some(format);
    }

    /// Who speaks.
    pub(crate) fn model(&mut self, model: &ModelId) {
        self.model = Some(model.clone());
    }

    pub(crate) fn answered(mut self, status: u16) {
        self.status = status;
    }
}

impl Drop for RequestMeter<'_> {
    fn drop(&mut self) {
        let model = self.model.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
        let format = self.format.unwrap_or("none");
        self.metrics.requests.get_or_create(&ByAnswer { model, format, status: self.status }).inc();
    }
}
