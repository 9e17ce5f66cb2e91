//! The whole conversation between server and worker, held in memory over a pair of pipes.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are part of the tests")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use stentor_engine::{Engine, EngineError, LoadError};
use stentor_protocol::{
    ChunkJob, FrameError, FrameReader, FromWorker, Hello, PROTOCOL_VERSION, ToWorker,
    client::{self, HandshakeError},
    frame,
    host::{self, HostEnd, HostError, MAX_COMMANDS},
};
use stentor_testkit::{FakeEngine, FakeOptions, ThreadLog, expected_samples};
use stentor_types::{ChunkId, Language, LoadSpec, Params, Speed, SpokenText, VoiceSource};
use tokio::{
    io::{AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf},
    task::JoinHandle,
};

const BUILD: &str = "this-build";
const BEAT_MS: u64 = 10;

/// The server's end of a conversation with a host that runs beside it.
struct Server {
    reader: FrameReader<ReadHalf<DuplexStream>>,
    writer: WriteHalf<DuplexStream>,
    host: JoinHandle<Result<HostEnd, HostError>>,
    beats: Vec<(u64, u64)>,
}

fn start<L>(load: L, pipe: usize) -> Server
where
    L: FnOnce(&LoadSpec) -> Result<Box<dyn Engine>, LoadError> + Send + 'static,
{
    let (ours, theirs) = tokio::io::duplex(pipe);
    let (reader, writer) = tokio::io::split(theirs);
    let host = tokio::spawn(host::run(reader, writer, BUILD, move |spec: &_| Ok((load(spec)?, 0))));
    let (reader, writer) = tokio::io::split(ours);
    Server { reader: FrameReader::new(reader), writer, host, beats: Vec::new() }
}

/// A host with a fake engine, past the handshake.
async fn ready(options: FakeOptions) -> Server {
    let mut server = start(move |_| Ok(Box::new(FakeEngine::new(options))), 1 << 20);
    server.greet(BUILD).await.unwrap();
    server
}

fn hello(build: &str) -> Hello {
    let load = FakeOptions::default().load_spec("fake");
    Hello { version: PROTOCOL_VERSION, build_id: build.to_owned(), load, beat_ms: BEAT_MS }
}

fn job(id: u64, text: &str) -> ToWorker {
    ToWorker::Speak(ChunkJob {
        chunk: ChunkId(id),
        text: SpokenText { text: text.to_owned(), spans: Vec::new() },
        language: Language::en_us(),
        voice: VoiceSource::Preset { name: "two".to_owned() },
        voice_digest: String::new(),
        speed: Speed::try_from(1.25).unwrap(),
        seed: u64::MAX,
        params: Params::new(),
    })
}

fn expected(options: &FakeOptions, text: &str) -> Vec<f32> {
    expected_samples(options, text, &VoiceSource::Preset { name: "two".to_owned() }, 1.25, u64::MAX)
}

impl Server {
    async fn greet(&mut self, build: &str) -> Result<String, HandshakeError> {
        let descriptor = client::handshake(&mut self.reader, &mut self.writer, hello(build)).await?;
        Ok(descriptor.descriptor.name)
    }

    async fn send(&mut self, message: &ToWorker) {
        self.writer.write_all(&frame::encode(message, &[]).unwrap()).await.unwrap();
    }

    /// The next message that is no beat.
    async fn next(&mut self) -> (FromWorker, Vec<f32>) {
        loop {
            match self.reader.message().await.unwrap().expect("the host goes on") {
                (FromWorker::Beat { steps, samples, .. }, _) => self.beats.push((steps, samples)),
                other => return other,
            }
        }
    }

    /// A chunk's samples and its end.
    async fn hear(&mut self, id: u64) -> (Vec<f32>, Result<u64, EngineError>) {
        let mut heard = Vec::new();
        loop {
            match self.next().await {
                (FromWorker::Pcm { chunk }, samples) if chunk == ChunkId(id) => heard.extend(samples),
                (FromWorker::Timing { .. }, _) => {}
                (FromWorker::Done { chunk, stats }, _) if chunk == ChunkId(id) => {
                    return (heard, Ok(stats.samples));
                }
                (FromWorker::Failed { chunk, error }, _) if chunk == ChunkId(id) => {
                    return (heard, Err(error));
                }
                other => panic!("not about chunk {id}: {other:?}"),
            }
        }
    }

    async fn end(self) -> Result<HostEnd, HostError> {
        let Self { host, .. } = self;
        tokio::time::timeout(Duration::from_secs(10), host).await.expect("the host ends").unwrap()
    }
}

#[tokio::test]
async fn chunks_go_in_and_their_samples_come_out() {
    let options = FakeOptions { samples_per_step: 30_000, ..FakeOptions::default() };
    let mut server = ready(options).await;
    server.send(&job(1, "First.")).await;
    server.send(&job(2, "Second.")).await;
    for (id, text) in [(1, "First."), (2, "Second.")] {
        let (samples, end) = server.hear(id).await;
        assert_eq!(end, Ok(300_000));
        assert!(samples == expected(&options, text), "{text}");
    }
    let text = SpokenText { text: "hello".to_owned(), spans: Vec::new() };
    server.send(&ToWorker::Phonemize { id: 9, text, language: Language::en_us() }).await;
    let (FromWorker::Phonemes { id: 9, result: Ok(trace) }, _) = server.next().await else {
        panic!("no phonemes");
    };
    assert_eq!(trace.phonemes, "HELLO");
    server.send(&job(3, "{reject}")).await;
    assert!(matches!(server.hear(3).await.1, Err(EngineError::Rejected(_))));
    let ToWorker::Speak(mut job) = job(4, "Fourth.") else { panic!("no chunk") };
    job.voice = VoiceSource::Preset { name: "nobody".to_owned() };
    server.send(&ToWorker::Speak(job)).await;
    assert!(matches!(server.hear(4).await.1, Err(EngineError::VoiceRejected(why)) if why.contains("nobody")));
    server.send(&ToWorker::Shutdown).await;
    assert_eq!(server.end().await.unwrap(), HostEnd::Closed);
}

#[tokio::test]
async fn samples_that_are_no_numbers_are_not_sent_and_fail_their_chunk_only() {
    let options = FakeOptions { slots: 2, ..FakeOptions::default() };
    let mut server = ready(options).await;
    server.send(&job(1, "One {nan at=4} two.")).await;
    let (samples, end) = server.hear(1).await;
    assert!(matches!(&end, Err(EngineError::Failed(why)) if why.contains("not finite")), "{end:?}");
    assert_eq!(samples.len(), 4 * 240, "what came before is good");
    assert!(samples.iter().all(|sample| sample.is_finite()));
    server.send(&job(2, "Next.")).await;
    assert!(server.hear(2).await.0 == expected(&options, "Next."));
}

#[tokio::test]
async fn one_thread_loads_and_steps_for_the_engines_whole_life() {
    let log = ThreadLog::default();
    let seen = Arc::clone(&log);
    let load = move |_: &LoadSpec| -> Result<Box<dyn Engine>, LoadError> {
        Ok(Box::new(FakeEngine::new(FakeOptions { steps: 25, ..FakeOptions::default() }).recording(&seen)))
    };
    let mut server = start(load, 4096);
    server.greet(BUILD).await.unwrap();
    for id in 0..4 {
        server.send(&job(id, "Twenty-five steps.")).await;
        server.hear(id).await.1.unwrap();
        // Other work on the runtime's threads must not move the engine.
        tokio::task::spawn_blocking(|| ()).await.unwrap();
    }
    let threads = log.lock().unwrap().clone();
    assert_eq!(threads.len(), 1 + 100, "one load and a hundred steps");
    assert!(threads.iter().all(|thread| *thread == threads[0]), "{threads:?}");
    assert_ne!(threads[0], std::thread::current().id());
}

#[tokio::test]
async fn a_cancel_is_heard_while_a_step_runs() {
    let options = FakeOptions { slots: 2, steps: 1000, step_ms: 50, ..FakeOptions::default() };
    let mut server = ready(options).await;
    server.send(&job(1, "Fifty seconds.")).await;
    while !matches!(server.next().await, (FromWorker::Pcm { .. }, _)) {}
    let start = Instant::now();
    server.send(&ToWorker::Cancel { chunk: ChunkId(1) }).await;
    assert_eq!(server.hear(1).await.1, Err(EngineError::Cancelled));
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    // A second cancel, and one of a chunk that never was, are answered by nothing.
    server.send(&ToWorker::Cancel { chunk: ChunkId(1) }).await;
    server.send(&ToWorker::Cancel { chunk: ChunkId(77) }).await;
    server.send(&job(2, "{fail at=1}")).await;
    assert!(matches!(server.hear(2).await.1, Err(EngineError::Failed(_))));
}

#[tokio::test]
async fn a_chunk_cancelled_in_the_queue_is_never_spoken() {
    let options = FakeOptions { steps: 4, step_ms: 20, ..FakeOptions::default() };
    let mut server = ready(options).await;
    server.send(&job(1, "Spoken.")).await;
    server.send(&job(2, "Waits for the only slot.")).await;
    server.send(&ToWorker::Cancel { chunk: ChunkId(2) }).await;
    assert!(server.hear(1).await.1.is_ok());
    assert_eq!(server.hear(2).await, (Vec::new(), Err(EngineError::Cancelled)));
}

/// As [`job`], with the voice of a recording.
fn job_with_recording(id: u64, text: &str) -> ToWorker {
    let ToWorker::Speak(mut job) = job(id, text) else { panic!("no chunk") };
    job.voice = VoiceSource::Reference { path: "anna.wav".into(), transcript: None };
    ToWorker::Speak(job)
}

#[tokio::test]
async fn others_speak_while_a_voice_is_made_and_who_leaves_stops_its_making() {
    let options = FakeOptions { slots: 2, voice_ms: 60_000, ..FakeOptions::default() };
    let mut server = ready(options).await;
    server.send(&job_with_recording(1, "Like Anna.")).await;
    for id in 2..5 {
        server.send(&job(id, "Without a recording.")).await;
        // Anything about chunk 1 would be a surprise.
        assert!(server.hear(id).await.0 == expected(&options, "Without a recording."));
    }
    // A minute of work: a making that goes on would hold up whatever follows.
    let start = Instant::now();
    server.send(&ToWorker::Cancel { chunk: ChunkId(1) }).await;
    assert_eq!(server.hear(1).await.1, Err(EngineError::Cancelled));
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());

    let mut server = ready(FakeOptions { voice_ms: 100, slots: 1, ..options }).await;
    let anna = VoiceSource::Reference { path: "anna.wav".into(), transcript: None };
    let spoken = expected_samples(&options, "Like Anna.", &anna, 1.25, u64::MAX);
    for id in 5..8 {
        server.send(&job_with_recording(id, "Like Anna.")).await;
    }
    for id in 5..8 {
        assert!(server.hear(id).await.0 == spoken, "chunk {id}");
    }
    let Server { reader, writer, host, .. } = server;
    drop((reader, writer));
    let end = tokio::time::timeout(Duration::from_secs(5), host).await.expect("the host ends");
    assert!(matches!(end.unwrap(), Ok(HostEnd::Closed)), "the voice thread holds nothing open");
}

#[tokio::test]
async fn beats_come_while_the_model_loads_and_while_a_step_takes_long() {
    let load = |_: &LoadSpec| -> Result<Box<dyn Engine>, LoadError> {
        std::thread::sleep(Duration::from_millis(300));
        Ok(Box::new(FakeEngine::default()))
    };
    let mut server = start(load, 4096);
    server.send(&ToWorker::Hello(hello(BUILD))).await;
    assert!(matches!(server.next().await, (FromWorker::Ready { .. }, _)));
    let loading = server.beats.len();
    assert!(loading >= 3, "{loading} beats while loading");
    server.send(&job(1, "A step of {slow n=100} more milliseconds.")).await;
    let (samples, _) = server.hear(1).await;
    let speaking = &server.beats[loading..];
    assert!(speaking.len() >= 20, "{} beats in a second of steps", speaking.len());
    assert!(speaking.windows(2).all(|pair| pair[0].0 <= pair[1].0), "steps never go back");
    let last = speaking.last().unwrap();
    assert!(last.0 >= 8 && last.1 >= 8 * 240 && last.1 <= samples.len() as u64, "{last:?}");
}

#[tokio::test]
async fn a_server_that_does_not_read_halts_the_engine_and_loses_nothing() {
    let log = ThreadLog::default();
    let seen = Arc::clone(&log);
    let options = FakeOptions { steps: 200, samples_per_step: 2400, ..FakeOptions::default() };
    let load = move |_: &LoadSpec| -> Result<Box<dyn Engine>, LoadError> {
        Ok(Box::new(FakeEngine::new(options).recording(&seen)))
    };
    let mut server = start(load, 4096);
    server.greet(BUILD).await.unwrap();
    server.send(&job(1, "Twenty seconds of sound.")).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let steps = log.lock().unwrap().len();
    assert!(steps < 20, "the engine ran {steps} of 200 steps ahead of a reader that does not read");
    let (samples, end) = server.hear(1).await;
    assert_eq!(end, Ok(480_000));
    assert!(samples == expected(&options, "Twenty seconds of sound."));
}

#[tokio::test]
async fn ends_that_do_not_fit_part_with_advice() {
    let mut server = start(|_| Ok(Box::new(FakeEngine::default())), 4096);
    let Err(HandshakeError::Mismatch(why)) = server.greet("another-build").await else { panic!() };
    assert!(why.contains("another-build") && why.contains(BUILD) && why.contains("rebuild"), "{why}");
    assert!(matches!(server.end().await, Err(HostError::Mismatch(_))));

    // A hello of some later protocol, whose other fields are unknown here.
    let mut server = start(|_| Ok(Box::new(FakeEngine::default())), 4096);
    let future =
        frame::encode(&serde_json::json!({"version": 999, "build_id": "x", "new": [1]}), &[]).unwrap();
    server.writer.write_all(&future).await.unwrap();
    let (FromWorker::Refused { message }, _) = server.next().await else { panic!("not refused") };
    assert!(message.contains("999") && message.contains("rebuild"), "{message}");

    // A worker that does not notice is noticed by the server.
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    let descriptor = Box::new(FakeEngine::default().descriptor().clone());
    let reply =
        FromWorker::Ready { version: PROTOCOL_VERSION, build_id: "old".to_owned(), descriptor, memory: 0 };
    theirs.write_all(&frame::encode(&reply, &[]).unwrap()).await.unwrap();
    let (reader, mut writer) = tokio::io::split(ours);
    let result = client::handshake(&mut FrameReader::new(reader), &mut writer, hello(BUILD)).await;
    assert!(matches!(result, Err(HandshakeError::Mismatch(_))), "{result:?}");
}

#[tokio::test]
async fn a_model_that_does_not_load_is_said_to_the_server() {
    let mut server = start(|_| Err(LoadError("tensor `a.b` is missing".to_owned())), 4096);
    let Err(HandshakeError::LoadFailed(why)) = server.greet(BUILD).await else { panic!() };
    assert!(why.contains("a.b"), "{why}");
    assert!(matches!(server.end().await, Ok(HostEnd::LoadFailed(_))));
}

#[tokio::test]
async fn a_lost_device_and_a_panic_end_the_host() {
    let mut server = ready(FakeOptions::default()).await;
    server.send(&job(1, "{lost at=2}")).await;
    assert!(matches!(server.end().await, Err(HostError::DeviceLost(_))));
    let mut server = ready(FakeOptions::default()).await;
    server.send(&job(1, "{panic at=2}")).await;
    assert!(matches!(server.end().await, Err(HostError::Panicked)));
}

#[tokio::test]
async fn garbage_and_haste_from_the_server_end_the_host() {
    let mut server = ready(FakeOptions::default()).await;
    server.writer.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(matches!(server.end().await, Err(HostError::Frame(FrameError::TooLarge { .. }))));

    let mut server = ready(FakeOptions::default()).await;
    server.send(&ToWorker::Hello(hello(BUILD))).await;
    assert!(matches!(server.end().await, Err(HostError::Frame(FrameError::OutOfTurn(_)))));

    let mut server = ready(FakeOptions { steps: 1000, step_ms: 50, ..FakeOptions::default() }).await;
    for id in 0..=MAX_COMMANDS as u64 + 1 {
        server.send(&job(id, "Wait.")).await;
    }
    assert!(matches!(server.end().await, Err(HostError::Flooded)));
}

#[tokio::test]
async fn a_server_that_leaves_ends_the_host_in_the_middle_of_a_chunk() {
    let mut server = ready(FakeOptions { steps: 1000, step_ms: 20, ..FakeOptions::default() }).await;
    server.send(&job(1, "Twenty seconds.")).await;
    while !matches!(server.next().await, (FromWorker::Pcm { .. }, _)) {}
    let Server { reader, writer, host, .. } = server;
    drop((reader, writer));
    let end = tokio::time::timeout(Duration::from_secs(5), host).await.expect("the host ends");
    assert!(matches!(end.unwrap(), Ok(HostEnd::Closed)));
}

#[tokio::test]
async fn garbage_and_silence_from_a_worker_are_errors_for_the_server() {
    for (bytes, truncated) in [(&b"hello from a stray print"[..], false), (&[9, 0, 0, 0, 0][..], true)] {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        theirs.write_all(bytes).await.unwrap();
        theirs.shutdown().await.unwrap();
        let (reader, mut writer) = tokio::io::split(ours);
        let result = client::handshake(&mut FrameReader::new(reader), &mut writer, hello(BUILD)).await;
        match result {
            Err(HandshakeError::Frame(FrameError::Truncated)) => assert!(truncated),
            Err(HandshakeError::Frame(FrameError::TooLarge { .. })) => assert!(!truncated),
            other => panic!("{other:?}"),
        }
    }
    let (ours, theirs) = tokio::io::duplex(4096);
    let (reader, mut writer) = tokio::io::split(ours);
    let silent = tokio::spawn(async move {
        let (reader, _writer) = tokio::io::split(theirs);
        FrameReader::new(reader).next().await
    });
    let result = client::handshake(&mut FrameReader::new(reader), &mut writer, hello(BUILD)).await;
    assert!(matches!(result, Err(HandshakeError::Closed)), "{result:?}");
    silent.await.unwrap().unwrap();
}
