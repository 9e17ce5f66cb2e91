//! Replays the requests of well-known clients, as `tests/clients/shapes/` has them, and asserts what each needs of the
//! answer. Every file there has a test of its own.

use super::{PROGRAM, wyoming::House};
use futures_util::future::join_all;
use reqwest::Response;
use serde_json::{Map, Value, json};
use std::{fs, path::Path};
use stentor_tests::{
    TestApp,
    app::Setup,
    events::{events, sound},
    measure::hear,
};
use stentor_types::AudioFormat;

const KEY: &str = "sk-shapes-0123456789abcdef";

/// Eighteen hundred characters, into which converters of books cut their chapters.
fn long() -> String {
    "It was a dark and stormy night, and nobody was about.\n\n".repeat(40)[..1800].to_owned()
}

fn read(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/shapes").join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A word that nobody reads would be a need that nobody looks at.
fn assert_known(shape: &Value) {
    const KEYS: [&str; 6] = ["client", "source", "server", "glued", "calls", "talks"];
    const CALL: [&str; 9] = ["why", "method", "path", "headers", "sdk", "body", "each", "times", "needs"];
    const NEEDS: [&str; 10] =
        ["status", "type", "ignored", "not_text", "says", "objects", "ids", "strings", "sound", "events"];
    let known = |object: &Value, keys: &[&str]| {
        for key in object.as_object().expect("an object").keys() {
            assert!(keys.contains(&key.as_str()), "nobody reads `{key}` in {object}");
        }
    };
    known(shape, &KEYS);
    for call in list(shape, "calls") {
        known(call, &CALL);
        known(&call["needs"], &NEEDS);
        assert!(!call["needs"].as_object().expect("needs").is_empty(), "{call} needs nothing");
    }
    for talk in list(shape, "talks") {
        known(talk, &["why", "send", "needs"]);
    }
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

async fn replay(file: &str) {
    let shape = read(file);
    assert_known(&shape);
    let setup = Setup::new(PROGRAM).with_fake_model().arg("--wyoming", "127.0.0.1:0").keep_log();
    let keys = shape["server"]["keys"] == true;
    let app = if keys { setup.variable("STENTOR_API_KEYS", KEY) } else { setup }.start().await;
    assert!(!list(&shape, "calls").is_empty() || !list(&shape, "talks").is_empty(), "{file} asks nothing");
    let (mut bodies, mut seconds) = (Vec::new(), 0.0);
    for call in list(&shape, "calls") {
        for body in bodies_of(call) {
            for (bytes, heard) in answers(&app, call, &body).await {
                seconds += heard;
                bodies.extend(bytes);
            }
        }
    }
    if shape["glued"] == true {
        let together = hear(AudioFormat::Mp3, &bodies).seconds;
        assert!((together - seconds).abs() < 1e-6, "{together} s glued, {seconds} s alone");
    }
    for talk in list(&shape, "talks") {
        converse(&app, talk).await;
    }
}

/// The body of a call with every combination of the values in `each`.
fn bodies_of(call: &Value) -> Vec<Value> {
    let mut bodies = vec![call["body"].clone()];
    for (key, values) in call["each"].as_object().unwrap_or(&Map::new()) {
        let with = |body: &Value, value: &Value| {
            let mut body = body.clone();
            body[key] = value.clone();
            body
        };
        let values = values.as_array().expect("values");
        bodies = bodies.iter().flat_map(|body| values.iter().map(move |value| with(body, value))).collect();
    }
    for body in &mut bodies {
        if body["input"] == "$LONG" {
            body["input"] = json!(long());
        }
    }
    bodies
}

/// Sends a call as often as it says, all at once, and checks each answer: its bytes and seconds of sound.
async fn answers(app: &TestApp, call: &Value, body: &Value) -> Vec<(Vec<u8>, f64)> {
    let times = call["times"].as_u64().unwrap_or(1);
    let sent = (0..times).map(|number| send(app, call, body, number));
    let mut heard = Vec::new();
    for response in join_all(sent).await {
        heard.push(check(response, call, body).await);
    }
    heard
}

async fn send(app: &TestApp, call: &Value, body: &Value, number: u64) -> Response {
    let text = |key: &str| call[key].as_str().unwrap_or_else(|| panic!("no `{key}` in {call}")).to_owned();
    let method = text("method").parse().expect("a method");
    let mut request = app.client.request(method, format!("{}{}", app.base, text("path")));
    let sdk = call["sdk"].as_str().map(|sdk| read("headers.json")[sdk].clone());
    for headers in [sdk.as_ref(), call.get("headers")].into_iter().flatten() {
        for (name, value) in headers.as_object().expect("headers") {
            request = request.header(name, value.as_str().expect("text").replace("$KEY", KEY));
        }
    }
    if !body.is_null() {
        let mut body = body.clone();
        // What is asked for at once are different chapters.
        if number > 0 {
            body["input"] = json!(format!("Chapter {number}. {}", body["input"].as_str().expect("text")));
        }
        request = request.body(body.to_string());
    }
    request.send().await.expect("an answer")
}

/// Asserts what the client needs; gives the bytes and how long they sound.
async fn check(response: Response, call: &Value, body: &Value) -> (Vec<u8>, f64) {
    let needs = &call["needs"];
    let what = format!("{} {} {body}", call["method"], call["path"]);
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    assert!(headers.contains_key("x-request-id"), "{what}");
    let bytes = response.bytes().await.expect("a complete body").to_vec();
    let text = String::from_utf8_lossy(&bytes);
    assert_eq!(u64::from(status), needs["status"].as_u64().unwrap_or(200), "{what}: {text}");
    let header = |name: &str| headers.get(name).map(|value| value.to_str().expect("text"));
    let kind = header("content-type").and_then(|kind| kind.split(';').next());
    assert!(needs["type"].is_null() || needs["type"].as_str() == kind, "{what}: {kind:?}");
    assert_eq!(needs["ignored"].as_str(), header("x-ignored-params").filter(|_| !needs["ignored"].is_null()));
    if let Some(wrong) = needs["not_text"].as_str() {
        assert_ne!(text, wrong, "{what}");
    }
    if let Some(word) = needs["says"].as_str() {
        let error: Value = serde_json::from_slice(&bytes).expect("an error is JSON");
        let message = error["error"]["message"].as_str().expect("a message");
        assert!(message.contains(word), "{what}: {message}");
    }
    check_lists(needs, &bytes, &what);
    let heard = heard(needs, body, &bytes, kind);
    (bytes, heard)
}

/// Lists of objects with certain texts in them, of certain ids, or of texts.
fn check_lists(needs: &Value, bytes: &[u8], what: &str) {
    let parsed: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let at = |pointer: &str| {
        let found = parsed.pointer(pointer).and_then(Value::as_array).filter(|items| !items.is_empty());
        found.unwrap_or_else(|| panic!("{what}: no list at {pointer}: {parsed}"))
    };
    for (pointer, keys) in needs["objects"].as_object().unwrap_or(&Map::new()) {
        for item in at(pointer) {
            let has = |key: &Value| item[key.as_str().expect("a key")].is_string();
            assert!(keys.as_array().expect("keys").iter().all(has), "{what}: {item}");
        }
    }
    for (pointer, ids) in needs["ids"].as_object().unwrap_or(&Map::new()) {
        let found: Vec<&Value> = at(pointer).iter().map(|item| &item["id"]).collect();
        assert_eq!(json!(found), *ids, "{what}");
    }
    if let Some(pointer) = needs["strings"].as_str() {
        assert!(at(pointer).iter().all(Value::is_string), "{what}: {parsed}");
    }
}

/// Seconds of sound, in a file or in events; 0 where neither is needed.
fn heard(needs: &Value, body: &Value, bytes: &[u8], kind: Option<&str>) -> f64 {
    let format_of = |name: &str| {
        let name = if name == "$response_format" { body["response_format"].as_str() } else { Some(name) };
        name.and_then(|name| name.parse::<AudioFormat>().ok()).expect("a format")
    };
    let seconds = if let Some(name) = needs["sound"].as_str() {
        let format = format_of(name);
        assert_eq!(kind, format.content_type().split(';').next(), "{body}");
        hear(format, bytes).seconds
    } else if let Some(name) = needs["events"].as_str() {
        let told = String::from_utf8_lossy(bytes);
        let lines = told.lines().filter(|line| line.starts_with("data: {")).count();
        assert_eq!(lines, told.matches("data:").count(), "one space, as it is looked for");
        let told = events(bytes);
        hear(format_of(name), &sound(&told)).seconds
    } else {
        return 0.0;
    };
    assert!(seconds > 0.05, "{seconds} s: {body}");
    seconds
}

/// Sends events of the Wyoming protocol; runs of one kind in the answer count once.
async fn converse(app: &TestApp, talk: &Value) {
    let mut house = House::enter(app).await;
    for event in list(talk, "send") {
        house.send(event["type"].as_str().expect("a type"), &event["data"]).await;
    }
    let mut kinds: Vec<String> = Vec::new();
    for _ in 0..10_000 {
        let event = house.next().await.expect("an event");
        if kinds.last() != Some(&event.kind) {
            kinds.push(event.kind);
        }
        if kinds.len() == list(talk, "needs").len() && kinds.last().map(String::as_str) == last(talk) {
            break;
        }
    }
    assert_eq!(json!(kinds), talk["needs"]);
}

fn last(talk: &Value) -> Option<&str> {
    list(talk, "needs").last().and_then(Value::as_str)
}

macro_rules! clients {
    ($($name:ident: $file:literal,)*) => {
        const FILES: &[&str] = &[$($file),*];
        $(
            #[tokio::test]
            async fn $name() {
                replay($file).await;
            }
        )*
    };
}

clients! {
    open_webui: "open-webui.json",
    sillytavern: "sillytavern.json",
    librechat: "librechat.json",
    home_assistant: "home-assistant.json",
    home_assistant_custom: "home-assistant-custom.json",
    home_assistant_wyoming: "wyoming.json",
    wyoming_openai: "wyoming-openai.json",
    livekit: "livekit.json",
    pipecat: "pipecat.json",
    n8n: "n8n.json",
    epub_to_audiobook: "epub-to-audiobook.json",
    epub2tts: "epub2tts.json",
    openreader: "openreader.json",
    llama_swap: "llama-swap.json",
}

#[test]
fn every_recorded_client_is_replayed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/shapes");
    let names = fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("a file").file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().expect("UTF-8")).collect();
    names.retain(|name| name != "headers.json");
    names.sort();
    let mut replayed = FILES.to_vec();
    replayed.sort_unstable();
    assert_eq!(names, replayed);
    for name in names {
        let shape = read(&name);
        assert!(shape["client"].is_string() && shape["source"].is_string(), "{name} says whose it is");
    }
}

/// The table says which test holds what; a test that was renamed is renamed there too.
#[test]
fn the_table_of_quirks_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let table = fs::read_to_string(root.join("tests/clients/README.md")).expect("the table");
    let mut named = 0;
    for (file, name) in table.split('`').filter_map(|word| word.split_once("::")) {
        let text = fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let spelt = [format!("fn {name}("), format!("    {name}: \""), format!("\"{name}\"")];
        assert!(spelt.iter().any(|spelt| text.contains(spelt)), "{file} has no `{name}`");
        named += 1;
    }
    assert!(named > 50, "only {named} tests are named");
}
