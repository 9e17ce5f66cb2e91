//! The Wyoming protocol as Home Assistant speaks it, and clients that speak it badly.

use super::{PROGRAM, say};
use serde_json::{Value, json};
use std::time::Duration;
use stentor_testkit::FakeOptions;
use stentor_tests::{TestApp, app::Setup, process::kill};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::{Instant, timeout},
};

/// A busy machine may be slow; a conversation that never goes on must still end the test.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct House {
    stream: BufReader<TcpStream>,
}

#[derive(Debug)]
pub(super) struct Event {
    pub(super) kind: String,
    data: Value,
    payload: Vec<u8>,
}

/// What an answer sounded like.
struct Audio {
    start: Value,
    bytes: Vec<u8>,
    /// Milliseconds, as told at the end.
    length: u64,
}

fn setup() -> Setup {
    Setup::new(PROGRAM).with_fake_model().arg("--wyoming", "127.0.0.1:0").keep_log()
}

/// A server whose engine takes a tenth of a second for a chunk.
fn slow_setup() -> Setup {
    setup().with_fake(&FakeOptions { step_ms: 10, ..FakeOptions::default() })
}

/// Each paragraph is a chunk, and none is like another, so none is found in the store.
fn long(name: &str, paragraphs: usize) -> String {
    let paragraphs = (0..paragraphs).map(|number| format!("Long {name} number {number}."));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

impl House {
    pub(super) async fn enter(app: &TestApp) -> Self {
        let line = app.logged(&["tcp://"]).pop().expect("the address is logged");
        let address = line.split("tcp://").nth(1).expect("an address").split_whitespace().next();
        let address = address.expect("an address").trim_end_matches('\u{1b}');
        let stream = TcpStream::connect(address).await.expect("a connection");
        Self { stream: BufReader::new(stream) }
    }

    pub(super) async fn send(&mut self, kind: &str, data: &Value) {
        let data = data.to_string();
        let header = json!({"type": kind, "version": "1.8.0", "data_length": data.len()});
        self.raw(format!("{header}\n{data}").as_bytes()).await;
    }

    async fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("it is open");
    }

    /// The next event; `None` when the server has closed the connection.
    pub(super) async fn next(&mut self) -> Option<Event> {
        timeout(PATIENCE, self.read()).await.expect("an event in time")
    }

    async fn read(&mut self) -> Option<Event> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await.expect("it is open") == 0 {
            return None;
        }
        let header: Value = serde_json::from_str(&line).expect("a JSON header");
        let mut data = vec![0; header["data_length"].as_u64().unwrap_or(0) as usize];
        self.stream.read_exact(&mut data).await.expect("all of the data");
        let data = if data.is_empty() { Value::Null } else { serde_json::from_slice(&data).expect("JSON") };
        let mut payload = vec![0; header["payload_length"].as_u64().unwrap_or(0) as usize];
        self.stream.read_exact(&mut payload).await.expect("all of the payload");
        Some(Event { kind: header["type"].as_str().expect("a type").to_owned(), data, payload })
    }

    async fn expect(&mut self, kind: &str) -> Event {
        let event = self.next().await.expect("an event");
        assert_eq!(event.kind, kind, "{}", event.data);
        event
    }

    /// From `audio-start` to `audio-stop`.
    async fn audio(&mut self) -> Audio {
        let start = self.expect("audio-start").await.data;
        let mut bytes = Vec::new();
        loop {
            let event = self.next().await.expect("an event");
            if event.kind == "audio-stop" {
                let length = event.data["timestamp"].as_u64().expect("milliseconds");
                return Audio { start, bytes, length };
            }
            assert_eq!(event.kind, "audio-chunk", "{}", event.data);
            for key in ["rate", "width", "channels"] {
                assert_eq!(event.data[key], start[key], "{key}");
            }
            assert!((1..=8192).contains(&event.payload.len()));
            bytes.extend(event.payload);
        }
    }

    /// More audio, but not its end, then an `error` with this code and the end of the connection.
    async fn cut(&mut self, code: &str) {
        loop {
            let event = self.next().await.expect("an event");
            if event.kind == "error" {
                assert_eq!(event.data["code"], code, "{}", event.data);
                assert!(self.next().await.is_none(), "the connection is closed after an error");
                return;
            }
            assert_eq!(event.kind, "audio-chunk", "what was cut short does not look complete");
        }
    }

    /// An `error` with this code, and then the end of the connection.
    async fn refused(&mut self, code: &str) -> String {
        let data = self.expect("error").await.data;
        assert_eq!(data["code"], code, "{data}");
        assert!(self.next().await.is_none(), "the connection is closed after an error");
        data["text"].as_str().expect("words").to_owned()
    }
}

/// The samples of a WAV file that was streamed.
fn samples(wav: &[u8]) -> &[u8] {
    let at = wav.windows(4).position(|name| name == b"data").expect("a data chunk");
    &wav[at + 8..]
}

#[tokio::test]
async fn describe_tells_programs_voices_languages_and_that_text_may_stream() {
    let app = setup().start().await;
    let mut house = House::enter(&app).await;
    // As clients send it: without any data.
    house.raw(b"{\"type\": \"describe\", \"version\": \"1.8.0\"}\n").await;
    let info = house.expect("info").await.data;
    for other in ["asr", "handle", "intent", "wake"] {
        assert_eq!(info[other], json!([]), "{other}");
    }
    let program = &info["tts"][0];
    assert_eq!((&program["name"], &program["installed"]), (&json!("fake"), &json!(true)));
    assert_eq!(program["supports_synthesize_streaming"], true);
    assert!(program["version"].is_string() && program["description"].is_string(), "{program}");
    let voices = program["voices"].as_array().expect("voices");
    let names: Vec<_> = voices.iter().map(|voice| voice["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["one", "two"]);
    for voice in voices {
        assert_eq!((&voice["languages"], &voice["installed"]), (&json!(["en-US"]), &json!(true)));
    }
    for named in voices.iter().chain([program]) {
        assert!(named["attribution"]["name"].is_string() && named["attribution"]["url"].is_string());
    }
    let builtin = info["tts"].as_array().expect("programs").iter().find(|p| p["name"] == "builtin");
    assert!(builtin.is_some_and(|program| program["installed"] == true), "{info}");
    house.send("ping", &json!({"text": "are you there"})).await;
    assert_eq!(house.expect("pong").await.data["text"], "are you there");
}

#[tokio::test]
async fn synthesize_gives_the_samples_that_http_gives() {
    let app = Setup::new(PROGRAM).arg("--wyoming", "127.0.0.1:0").keep_log().start().await;
    let wav = app.audio(&say("Hello there, house.")).await;
    let mut house = House::enter(&app).await;
    // Twice on one connection, and with each way to leave the voice to the server.
    for voice in [json!(null), json!({"name": null, "speaker": null})] {
        house.send("synthesize", &json!({"text": "Hello there, house.", "voice": voice})).await;
        let audio = house.audio().await;
        assert_eq!((&audio.start["width"], &audio.start["channels"]), (&json!(2), &json!(1)));
        assert_eq!(audio.start["rate"], 24000);
        assert_eq!(audio.bytes, samples(&wav));
        assert_eq!(audio.length, audio.bytes.len() as u64 / 48);
        assert!(audio.length > 300, "{} ms", audio.length);
    }
}

#[tokio::test]
async fn a_voice_is_chosen_by_name_or_by_language_and_a_model_by_its_program() {
    let app = setup().start().await;
    let mut house = House::enter(&app).await;
    let mut spoken = Vec::new();
    for voice in [json!({"name": "one"}), json!({"name": "two"}), json!({"language": "en_US"})] {
        house.send("synthesize", &json!({"text": "Hello.", "voice": voice})).await;
        spoken.push(house.audio().await.bytes);
    }
    assert_ne!(spoken[0], spoken[1]);
    assert_eq!(spoken[0], spoken[2], "the default voice speaks the language");
    house.send("select-program", &json!({"name": "builtin"})).await;
    house.send("synthesize", &json!({"text": "Hello.", "text_format": "ssml"})).await;
    house.audio().await;
    assert_eq!(app.get_json("/v1/models/builtin").await["chunks_done"], 1);
    house.send("synthesize", &json!({"text": "Hello.", "voice": {"name": "nobody"}})).await;
    assert!(house.refused("voice_not_found").await.contains("nobody"));
}

#[tokio::test]
async fn an_uploaded_voice_is_described_and_chosen_by_its_name() {
    let app = setup().start().await;
    let voice = super::uploads::uploaded(&app, "Emily").await;
    let mut house = House::enter(&app).await;
    house.send("describe", &json!({})).await;
    let info = house.expect("info").await.data;
    let names = info["tts"][0]["voices"].as_array().expect("voices").iter().map(|voice| &voice["name"]);
    let names: Vec<_> = names.collect();
    assert!(names.contains(&&json!("Emily")) && !names.contains(&&voice["id"]), "{names:?}");
    house.send("synthesize", &json!({"text": "Hello.", "voice": {"name": "Emily"}})).await;
    house.audio().await;
}

/// Home Assistant shows the voices of all programs and never sends `select-program`.
#[tokio::test]
async fn a_voice_brings_its_model_along_unless_a_program_was_chosen() {
    let app = setup().start().await;
    let mut house = House::enter(&app).await;
    house.send("synthesize", &json!({"text": "Hello.", "voice": {"name": "slt"}})).await;
    house.audio().await;
    assert_eq!(app.number("builtin", "chunks_done").await, 1);
    house.send("synthesize-start", &json!({"voice": {"name": "rms"}})).await;
    house.send("synthesize-chunk", &json!({"text": "Good morning."})).await;
    house.send("synthesize-stop", &json!({})).await;
    house.audio().await;
    house.expect("synthesize-stopped").await;
    assert_eq!(app.number("builtin", "chunks_done").await, 2);
    // The default model is not left by that.
    let before = app.number("fake", "chunks_done").await;
    house.send("synthesize", &json!({"text": "Hello.", "voice": {"name": "two"}})).await;
    house.audio().await;
    assert_eq!(app.number("fake", "chunks_done").await, before + 1);
    house.send("select-program", &json!({"name": "builtin"})).await;
    house.send("synthesize", &json!({"text": "Hello.", "voice": {"name": "two"}})).await;
    house.refused("voice_not_supported").await;
}

#[tokio::test]
async fn a_stream_with_an_unknown_voice_is_refused_before_its_text() {
    let app = setup().start().await;
    let mut house = House::enter(&app).await;
    house.send("synthesize-start", &json!({"voice": {"name": "nobody"}})).await;
    assert!(house.refused("voice_not_found").await.contains("nobody"));
}

#[tokio::test]
async fn text_that_comes_in_bits_is_heard_before_its_end_and_not_twice() {
    let app = setup().start().await;
    let mut house = House::enter(&app).await;
    house.send("synthesize-start", &json!({"voice": {"name": "two"}})).await;
    for bit in ["Hello the", "re. How", " are you"] {
        house.send("synthesize-chunk", &json!({"text": bit})).await;
    }
    // The first sentence is whole, and nothing else is needed for it.
    let start = house.expect("audio-start").await.data;
    let first = house.expect("audio-chunk").await;
    house.send("synthesize-chunk", &json!({"text": "?\n\n***\n\nBye."})).await;
    // Home Assistant sends the whole text once more, for servers that know no streams.
    house.send("synthesize", &json!({"text": "Hello there. How are you?\n\n***\n\nBye."})).await;
    house.send("synthesize-stop", &json!({})).await;
    let mut bytes = first.payload;
    let stop = loop {
        let event = house.next().await.expect("an event");
        match event.kind.as_str() {
            "audio-chunk" => bytes.extend(event.payload),
            _ => break event,
        }
    };
    assert_eq!(stop.kind, "audio-stop", "{}", stop.data);
    house.expect("synthesize-stopped").await;
    let rate = start["rate"].as_u64().expect("a rate");
    assert_eq!(stop.data["timestamp"].as_u64(), Some(bytes.len() as u64 / 2 * 1000 / rate));
    let mut parts = 0;
    for text in ["Hello there. ", "How are you?\n\n", "Bye."] {
        house.send("synthesize", &json!({"text": text, "voice": {"name": "two"}})).await;
        parts += house.audio().await.bytes.len();
    }
    // Pauses between sentences differ a little; a second reading of the text would double it.
    assert!(bytes.len() * 4 > parts * 3 && bytes.len() * 4 < parts * 5, "{} of {parts}", bytes.len());
}

#[tokio::test]
async fn a_stream_without_words_ends_without_audio() {
    let app = setup().start().await;
    let mut house = House::enter(&app).await;
    house.send("synthesize-start", &json!({})).await;
    house.send("synthesize-chunk", &json!({"text": " \n"})).await;
    house.send("synthesize-stop", &json!({})).await;
    house.expect("synthesize-stopped").await;
    house.send("synthesize", &json!({"text": " \n"})).await;
    assert_eq!(house.refused("missing_field").await, "`text` is empty");
}

#[tokio::test]
async fn a_failure_amid_the_audio_is_told_and_the_next_request_succeeds() {
    let app = setup().arg("--max-input-bytes", "1000").start().await;
    let mut house = House::enter(&app).await;
    house.send("synthesize-start", &json!({})).await;
    house.send("synthesize-chunk", &json!({"text": "A fine beginning. And then"})).await;
    house.expect("audio-start").await;
    house.expect("audio-chunk").await;
    house.send("synthesize-chunk", &json!({"text": "too much ".repeat(120)})).await;
    house.cut("input_too_large").await;
    // The same where the engine fails; a fault in a link is not read over.
    let mut house = House::enter(&app).await;
    house.send("synthesize", &json!({"text": "A fine beginning.\n\nThen it goes [wrong{fail}](/x/)."})).await;
    house.expect("audio-start").await;
    house.cut("synthesis_failed").await;
    let mut house = House::enter(&app).await;
    house.send("synthesize", &json!({"text": "Hello."})).await;
    house.audio().await;
}

#[tokio::test]
async fn who_is_still_spoken_to_at_the_end_of_the_drain_is_told_so() {
    let mut app = slow_setup().arg("--drain-timeout", "1").start().await;
    let mut house = House::enter(&app).await;
    house.send("synthesize", &json!({"text": long("farewell", 300)})).await;
    house.expect("audio-start").await;
    kill(app.pid(), "-TERM");
    house.cut("model_unavailable").await;
    assert!(app.ended().await.success());
}

#[tokio::test]
async fn what_is_no_event_is_refused_and_nobody_else_notices() {
    let app = setup().arg("--max-input-bytes", "1000").start().await;
    let mut bystander = House::enter(&app).await;
    let endless = "a".repeat(70_000);
    let chunk = json!({"text": "a".repeat(600)}).to_string();
    let chunk = format!("{{\"type\":\"synthesize-chunk\",\"data_length\":{}}}\n{chunk}", chunk.len());
    for (bytes, code) in [
        ("GET / HTTP/1.1\r\nhost: x\r\n\r\n", "invalid_json"),
        (endless.as_str(), "body_too_large"),
        ("{\"type\":\"describe\",\"data_length\":4000000000}\n", "body_too_large"),
        ("{\"type\":\"describe\",\"payload_length\":4000000000}\n", "body_too_large"),
        ("{\"type\":\"synthesize\"}\n", "missing_field"),
        ("{\"type\":\"synthesize\",\"data\":{\"text\":7}}\n", "invalid_value"),
        ("{\"type\":\"synthesize-stop\"}\n", "invalid_value"),
        (&format!("{{\"type\":\"synthesize-start\"}}\n{chunk}{chunk}"), "input_too_large"),
    ] {
        let mut house = House::enter(&app).await;
        house.raw(bytes.as_bytes()).await;
        house.refused(code).await;
    }
    bystander.send("an-event-of-the-future", &json!({"x": 1})).await;
    bystander.send("synthesize", &json!({"text": "Hello."})).await;
    bystander.audio().await;
}

#[tokio::test]
async fn silent_and_slow_clients_are_cut() {
    let app = slow_setup().arg("--header-timeout", "1").arg("--body-timeout", "1").start().await;
    let (mut silent, mut halting) = (House::enter(&app).await, House::enter(&app).await);
    halting.send("describe", &json!({})).await;
    halting.expect("info").await;
    halting.raw(b"{\"type\":\"describe\",\"data_length\":100}\n{").await;
    assert!(silent.next().await.is_none(), "an idle connection is closed without a word");
    // Whichever of both limits is met first.
    assert!(halting.next().await.is_none_or(|event| event.data["code"] == "body_timeout"));
    let mut house = House::enter(&app).await;
    let asked = Instant::now();
    house.send("synthesize", &json!({"text": long("reading", 30)})).await;
    house.audio().await;
    // Longer than both limits: whoever is spoken to is not idle.
    assert!(asked.elapsed() > Duration::from_millis(1200), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_client_that_leaves_frees_the_engine() {
    let app = slow_setup().start().await;
    for (shut_only, name) in [(false, "gone"), (true, "shut")] {
        let mut gone = House::enter(&app).await;
        gone.send("synthesize", &json!({"text": long(name, 300)})).await;
        app.wait_until("fake", |model| model["requests_running"] == 1).await;
        if shut_only {
            gone.stream.shutdown().await.expect("half of it is open");
        } else {
            drop(gone);
        }
        app.wait_until("fake", |model| model["requests_running"] == 0 && model["chunks_active"] == 0).await;
    }
    let mut gone = House::enter(&app).await;
    gone.send("synthesize-start", &json!({})).await;
    gone.send("synthesize-chunk", &json!({"text": long("stream", 300)})).await;
    app.wait_until("fake", |model| model["requests_running"] == 1).await;
    drop(gone);
    app.wait_until("fake", |model| model["requests_running"] == 0 && model["chunks_active"] == 0).await;
}

#[tokio::test]
async fn the_queue_of_the_model_holds_for_houses_too() {
    let app = slow_setup().arg("--max-waiting", "1").start().await;
    let mut houses = Vec::new();
    let mut refused = 0;
    for number in 0..12 {
        let mut house = House::enter(&app).await;
        house.send("synthesize", &json!({"text": long(&format!("queue {number}"), 300)})).await;
        houses.push(house);
    }
    for house in &mut houses {
        if let Ok(event) = timeout(Duration::from_secs(2), house.read()).await {
            let event = event.expect("an event");
            if event.kind == "error" {
                assert_eq!(event.data["code"], "queue_full", "{}", event.data);
                refused += 1;
            }
        }
    }
    assert!(refused >= 1, "nobody was turned away");
    let metrics = app.get("/metrics").await.text().await.expect("text");
    assert!(metrics.contains(&format!("tts_rejected_total{{reason=\"queue_full\"}} {refused}")), "{metrics}");
}

#[tokio::test]
async fn what_is_being_spoken_is_finished_when_the_server_stops() {
    let mut app = slow_setup().start().await;
    let (mut idle, mut house) = (House::enter(&app).await, House::enter(&app).await);
    idle.send("ping", &json!({})).await;
    idle.expect("pong").await;
    house.send("synthesize", &json!({"text": long("ending", 30)})).await;
    app.wait_until("fake", |model| model["requests_running"] == 1).await;
    let asked = Instant::now();
    kill(app.pid(), "-TERM");
    assert!(idle.next().await.is_none());
    assert!(house.audio().await.length > 0);
    assert!(house.next().await.is_none());
    assert!(app.ended().await.success());
    // Far below the 75 s that an idle connection may last.
    assert!(asked.elapsed() < Duration::from_secs(30), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn without_the_option_nothing_of_it_is_there_and_a_wrong_one_is_named() {
    let app = Setup::new(PROGRAM).with_fake_model().keep_log().start().await;
    assert_eq!(app.logged(&["Wyoming"]), Vec::<String>::new());
    let wrong = Setup::new(PROGRAM);
    let output = wrong.run_with(&["serve"], &[("STENTOR_WYOMING", "10200")]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("wyoming: `10200` is not ADDRESS:PORT"));
}
