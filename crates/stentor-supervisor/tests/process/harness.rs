//! What the tests share: a supervisor whose workers are this executable, and sessions read to their end.

use libtest_mimic::{Failed, Trial};
use std::{
    future::Future,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use stentor_jobs::KeyBase;
use stentor_supervisor::{
    Counters, ModelOptions, Session, SessionEvent, SessionRequest, SpeechError, Supervisor, SupervisorConfig,
    Ticket, WorkerCommand,
};
use stentor_testkit::{FakeOptions, expected_samples};
use stentor_types::{Chunk, ClientId, Lane, Language, ModelId, Params, Speed, SpokenText, VoiceSource};
use stentor_worker::Registry;

pub(crate) const WORKER: &str = "worker";
pub(crate) const BUILD_ID: &str = "test-build";
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(60);

pub(crate) type Outcome = Result<(), Failed>;

pub(crate) fn registry() -> Registry {
    Registry::empty().with("fake", stentor_testkit::load)
}

/// A test: `test` runs on a runtime of two threads, and must end.
pub(crate) fn trial<F>(name: &str, test: fn() -> F) -> Trial
where
    F: Future<Output = Outcome> + 'static,
{
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(async { tokio::time::timeout(TIME_LIMIT, test()).await })?
    })
}

/// `assert!` is for the test's own thread; this is for any.
pub(crate) fn ensure(condition: bool, otherwise: impl Into<Failed>) -> Outcome {
    if condition { Ok(()) } else { Err(otherwise.into()) }
}

pub(crate) fn model() -> ModelId {
    ModelId::from("fake-model")
}

pub(crate) fn config() -> Result<SupervisorConfig, Failed> {
    let program = std::env::current_exe()?;
    let command = WorkerCommand { program, args: vec![WORKER.into()] };
    let mut config = SupervisorConfig::new(command, BUILD_ID);
    config.stuck_min = Duration::from_millis(1500);
    config.stuck_factor = 2;
    config.beat = Duration::from_millis(20);
    config.backoff_first = Duration::from_millis(10);
    config.backoff_max = Duration::from_millis(200);
    Ok(config)
}

/// One model under a supervisor.
pub(crate) struct Bench {
    pub(crate) supervisor: Supervisor,
    options: FakeOptions,
    marks: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new(options: FakeOptions) -> Result<Self, Failed> {
        Self::with(options, |_| {})
    }

    pub(crate) fn with(
        options: FakeOptions,
        change: impl FnOnce(&mut SupervisorConfig),
    ) -> Result<Self, Failed> {
        let mut config = config()?;
        change(&mut config);
        let supervisor = Supervisor::new(config);
        supervisor.add_model(options.load_spec(model().as_str()), ModelOptions::default());
        Ok(Self { supervisor, options, marks: tempfile::tempdir()? })
    }

    /// A path for the marks of a fault that strikes a limited number of times.
    pub(crate) fn mark(&self, name: &str) -> PathBuf {
        self.marks.path().join(name)
    }

    pub(crate) fn begin(&self, texts: &[&str]) -> Result<Session, Failed> {
        self.begin_as(ticket(), texts, |_| {})
    }

    /// A session whose chunks are shared and kept.
    pub(crate) fn begin_kept(&self, texts: &[&str]) -> Result<Session, Failed> {
        self.begin_as(ticket(), texts, |request| request.keep = Some(KeyBase::new(&[b"test"])))
    }

    pub(crate) fn begin_as(
        &self,
        ticket: Ticket,
        texts: &[&str],
        change: impl FnOnce(&mut SessionRequest),
    ) -> Result<Session, Failed> {
        let permit = self.supervisor.admit(&model(), ticket)?;
        let chunks: Vec<Chunk> = texts.iter().enumerate().map(|(index, text)| chunk(index, text)).collect();
        let mut request = SessionRequest {
            voice: voice(),
            voice_digest: String::new(),
            keep: None,
            language: Language::en_us(),
            speed: Speed::NORMAL,
            styles: Vec::new(),
            seed: 7,
            params: Params::new(),
            later: Params::new(),
            chunks: Box::new(chunks.into_iter()),
            resplit: |chunk, _| vec![chunk],
        };
        change(&mut request);
        Ok(self.supervisor.session(permit, request))
    }

    /// Speaks and hears all of it.
    pub(crate) async fn hear(&self, texts: &[&str]) -> Result<Heard, Failed> {
        Ok(hear(self.begin(texts)?).await)
    }

    /// Speaks, and checks that every sample is that of an undisturbed run.
    pub(crate) async fn hear_true(&self, texts: &[&str]) -> Outcome {
        let heard = self.hear(texts).await?;
        self.check(&heard, texts)
    }

    pub(crate) fn check(&self, heard: &Heard, texts: &[&str]) -> Outcome {
        ensure(heard.error.is_none(), format!("{texts:?} ended with {:?}", heard.error))?;
        ensure(heard.chunks.len() == texts.len(), format!("{} chunks of {texts:?}", heard.chunks.len()))?;
        for ((chunk, samples), text) in heard.chunks.iter().zip(texts) {
            let expected = self.expected(text);
            ensure(chunk.spoken.text == *text, format!("{:?} in the place of {text}", chunk.spoken.text))?;
            let same = samples.iter().map(|s| s.to_bits()).eq(expected.iter().map(|s| s.to_bits()));
            ensure(same, format!("{text}: {} samples differ from {}", samples.len(), expected.len()))?;
        }
        Ok(())
    }

    pub(crate) fn expected(&self, text: &str) -> Vec<f32> {
        expected_samples(&self.options, text, &voice(), 1.0, 7)
    }

    pub(crate) fn counters(&self) -> Result<Counters, Failed> {
        Ok(self.supervisor.counters(&model()).ok_or("the model is unknown")?)
    }

    pub(crate) fn pid(&self) -> Result<u32, Failed> {
        let status = self.supervisor.status(&model()).ok_or("the model is unknown")?;
        Ok(status.pid.ok_or("the model has no worker")?)
    }

    pub(crate) async fn ready(&self) -> Outcome {
        self.supervisor.ready(&model()).await?;
        Ok(())
    }
}

pub(crate) fn ticket() -> Ticket {
    Ticket { client: ClientId(1), lane: Lane::Interactive, chars: 20, deadline: None }
}

pub(crate) fn voice() -> VoiceSource {
    VoiceSource::Preset { name: "one".to_owned() }
}

pub(crate) fn chunk(index: usize, text: &str) -> Chunk {
    let spoken = SpokenText { text: text.to_owned(), spans: Vec::new() };
    Chunk { index: index as u32, spoken, pause_ms: 0, style: 0, goes_on: false }
}

/// Cuts a text in two.
pub(crate) fn halves(chunk: Chunk, limit: usize) -> Vec<Chunk> {
    let text = chunk.spoken.text;
    let (head, tail) = text.split_at(limit.min(text.len()));
    [head, tail].map(|part| self::chunk(chunk.index as usize, part)).into()
}

/// What came out of a session, chunk by chunk.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) chunks: Vec<(Chunk, Vec<f32>)>,
    pub(crate) words: usize,
    pub(crate) ended: usize,
    pub(crate) error: Option<SpeechError>,
}

impl Heard {
    /// Takes an event in; false when it comes out of order.
    pub(crate) fn take(&mut self, event: SessionEvent) -> bool {
        let speaking = self.chunks.len() > self.ended;
        match event {
            SessionEvent::ChunkStart(chunk) => self.chunks.push((chunk, Vec::new())),
            SessionEvent::Timing(words) => self.words += words.len(),
            SessionEvent::ChunkEnd { .. } => self.ended += 1,
            SessionEvent::Pcm(samples) => {
                if let Some((_, heard)) = self.chunks.last_mut() {
                    heard.extend(samples);
                }
            }
        }
        speaking != (self.chunks.len() > self.ended) || speaking
    }
}

pub(crate) async fn hear(mut session: Session) -> Heard {
    let mut heard = Heard::default();
    while let Some(event) = session.next().await {
        match event {
            Ok(event) => assert!(heard.take(event), "an event outside of a chunk"),
            Err(error) => heard.error = Some(error),
        }
    }
    heard
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) -> Outcome {
    let start = Instant::now();
    while !condition() {
        ensure(start.elapsed() < Duration::from_secs(20), format!("waited in vain until {what}"))?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

pub(crate) fn kill(pid: u32, signal: rustix::process::Signal) -> Outcome {
    let pid = rustix::process::Pid::from_raw(pid as i32).ok_or("no process has the id 0")?;
    Ok(rustix::process::kill_process(pid, signal)?)
}

/// The letter that the kernel shows for the state of a process; `None` when it is gone and reaped.
pub(crate) fn process_state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}
