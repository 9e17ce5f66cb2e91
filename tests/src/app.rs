//! Starts the program on a free port, with a data directory of its own, and ends it with the test.

use reqwest::{Client, Response};
use serde_json::Value;
use std::{collections::BTreeMap, path::Path, process::Stdio, time::Duration};
use stentor_testkit::FakeOptions;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// Loading a model on a busy machine takes a while; a server that hangs must still end the test.
const START: Duration = Duration::from_secs(90);

/// What a server logs, in its directory.
const LOG: &str = "server.log";

/// The fake engine as a model. Its faults are asked for in the text, in braces; see `stentor_testkit`.
pub const FAKE_MANIFEST: &str = r#"
engine = "fake"
title = "An engine without a model"
licence = "MIT"
languages = ["en-us"]
rank = -1
voice_kinds = ["preset", "reference"]
[voices]
default = "one"
[voices.names]
en-us = ["one", "two"]
"#;

pub struct TestApp {
    child: Child,
    pub base: String,
    pub client: Client,
    /// Data directory, `models/` and `voices/` of this server.
    pub dir: TempDir,
}

/// What a server is started with.
pub struct Setup {
    dir: TempDir,
    program: String,
    args: BTreeMap<String, String>,
    variables: BTreeMap<String, String>,
    keep_log: bool,
}

impl Setup {
    /// `program` is `env!("CARGO_BIN_EXE_stentor-under-test")` in a test.
    pub fn new(program: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for name in ["data", "models", "voices"] {
            std::fs::create_dir(dir.path().join(name)).expect("a directory");
        }
        // One thread, because many servers share the machine in a test run.
        let defaults = [("--listen", "127.0.0.1:0"), ("--threads", "1"), ("--drain-delay", "0")];
        let args = defaults.map(|(flag, value)| (flag.to_owned(), value.to_owned())).into();
        Self { dir, program: program.to_owned(), args, variables: BTreeMap::new(), keep_log: false }
    }

    #[must_use]
    pub fn arg(mut self, flag: &str, value: &str) -> Self {
        self.args.insert(flag.to_owned(), value.to_owned());
        self
    }

    /// Keeps what the server logs for [`TestApp::log`] instead of showing it.
    #[must_use]
    pub fn keep_log(mut self) -> Self {
        self.keep_log = true;
        self
    }

    /// A variable of the program's environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Puts a file under the server's directory, e.g. `voices/Emily.wav`.
    #[must_use]
    pub fn file(self, path: &str, bytes: &[u8]) -> Self {
        let path = self.dir.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("its directory");
        std::fs::write(path, bytes).expect("a file");
        self
    }

    /// Makes the fake engine known as model `fake` and the default.
    #[must_use]
    pub fn with_fake_model(self) -> Self {
        self.file("models/fake.toml", FAKE_MANIFEST.as_bytes()).arg("--model", "fake")
    }

    /// As [`Setup::with_fake_model`], with an engine that behaves as `options` say.
    #[must_use]
    pub fn with_fake(self, options: &FakeOptions) -> Self {
        self.with_fake_model().file("data/cache/fake/options", options.file().as_bytes())
    }

    /// Lets a fault strike whenever `model` is loaded; its words as in a text, without braces.
    #[must_use]
    pub fn load_fault(self, model: &str, fault: &str) -> Self {
        self.file(&format!("data/cache/{model}/fault"), fault.as_bytes())
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        let under = |name: &str| self.dir.path().join(name);
        command
            .arg("--data-dir")
            .arg(under("data"))
            .arg("--models")
            .arg(under("models"))
            .arg("--voices")
            .arg(under("voices"))
            .args(self.args.iter().flat_map(|(flag, value)| [flag, value]))
            .envs(&self.variables)
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs another command than `serve` to its end.
    pub async fn run(&self, args: &[&str]) -> std::process::Output {
        self.run_with(args, &[]).await
    }

    /// As [`Setup::run`], with variables of the environment.
    pub async fn run_with(&self, args: &[&str], variables: &[(&str, &str)]) -> std::process::Output {
        self.command().args(args).envs(variables.iter().copied()).output().await.expect("the program runs")
    }

    /// Starts `serve` and waits until the port is open.
    pub async fn start(self) -> TestApp {
        let mut command = self.command();
        command.arg("serve").stdout(Stdio::piped());
        if self.keep_log {
            command.stderr(std::fs::File::create(self.dir.path().join(LOG)).expect("a file"));
        }
        let mut child = command.spawn().expect("the program starts");
        let stdout = child.stdout.take().expect("its output");
        let line = timeout(START, BufReader::new(stdout).lines().next_line()).await;
        let line = line.expect("the server is ready in time").expect("a line").expect("the server runs");
        let base = line.rsplit(' ').next().expect("an address").to_owned();
        TestApp {
            child,
            base,
            client: Client::builder().no_proxy().build().expect("a client"),
            dir: self.dir,
        }
    }
}

impl TestApp {
    /// What the server has logged so far; see [`Setup::keep_log`].
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join(LOG)).expect("its log")
    }

    /// The logged lines that hold all of `words`.
    pub fn logged(&self, words: &[&str]) -> Vec<String> {
        let log = self.log();
        let holds = |line: &&str| words.iter().all(|word| line.contains(word));
        log.lines().filter(holds).map(str::to_owned).collect()
    }

    /// Waits until `count` lines with all of `words` have been logged.
    pub async fn wait_for_log(&self, words: &[&str], count: usize) {
        let waiting = async {
            while self.logged(words).len() < count {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(START, waiting).await.unwrap_or_else(|_| panic!("{words:?} is not logged {count} times"));
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("the server runs")
    }

    /// Process ids of the workers.
    pub fn workers(&self) -> Vec<u32> {
        crate::process::children(self.pid())
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// A client that opens a connection for each request, so that none stays behind.
    pub fn fresh_client(&self) -> Client {
        Client::builder().no_proxy().pool_max_idle_per_host(0).build().expect("a client")
    }

    /// A number in the server's account of a model.
    pub async fn number(&self, model: &str, name: &str) -> u64 {
        let detail = self.get_json(&format!("/v1/models/{model}")).await;
        detail[name].as_u64().unwrap_or_else(|| panic!("no number `{name}` in {detail}"))
    }

    pub async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.base)).send().await.expect("an answer")
    }

    pub async fn get_json(&self, path: &str) -> Value {
        self.get(path).await.json().await.expect("JSON")
    }

    pub async fn speech(&self, body: &Value) -> Response {
        let url = format!("{}/v1/audio/speech", self.base);
        self.client.post(url).json(body).send().await.expect("an answer")
    }

    /// Posts JSON to another route than that of speech.
    pub async fn post(&self, path: &str, body: &Value) -> Response {
        self.client.post(format!("{}{path}", self.base)).json(body).send().await.expect("an answer")
    }

    /// Waits until `is` holds of the answer of a route.
    pub async fn wait_for(&self, path: &str, is: impl Fn(u16, &Value) -> bool) {
        let waiting = async {
            loop {
                let response = self.get(path).await;
                let status = response.status().as_u16();
                if is(status, &response.json().await.unwrap_or_default()) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(START, waiting).await.expect("it comes to that state");
    }

    /// Speaks and asserts success.
    pub async fn audio(&self, body: &Value) -> bytes::Bytes {
        let response = self.speech(body).await;
        let status = response.status();
        let bytes = response.bytes().await.expect("a complete body");
        assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&bytes));
        bytes
    }

    /// Waits until the server's own account of a model is as `is` wants it.
    pub async fn wait_until(&self, model: &str, is: impl Fn(&Value) -> bool) {
        let path = format!("/v1/models/{model}");
        let waiting = async {
            while !is(&self.get_json(&path).await) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(START, waiting).await.expect("the model comes to that state");
    }

    /// Status and error object of a request that must fail.
    pub async fn error(&self, body: &Value) -> (u16, Value) {
        error_of(self.speech(body).await).await
    }

    /// Waits until the server has ended by itself.
    pub async fn ended(&mut self) -> std::process::ExitStatus {
        timeout(START, self.child.wait()).await.expect("the server ends").expect("its status")
    }
}

/// Asserts OpenAI's error shape and gives status and error object.
pub async fn error_of(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    assert!(response.headers().contains_key("x-request-id"), "no x-request-id on {status}");
    let mut body: Value = response.json().await.expect("an error is JSON");
    let error = body["error"].take();
    for key in ["message", "type", "param", "code"] {
        assert!(error.get(key).is_some(), "the error lacks `{key}`: {error}");
    }
    (status, error)
}
