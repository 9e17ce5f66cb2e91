//! Server-sent events as a client reads them.

use serde_json::Value;

/// One event of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub name: String,
    pub data: Value,
}

/// Splits a complete body. Asserts that each event has exactly a name, one line of JSON that names it again, and an
/// empty line, and that no line is too long for readers with a buffer of 64 KiB.
pub fn events(body: &[u8]) -> Vec<Event> {
    let body = std::str::from_utf8(body).expect("events are UTF-8");
    let whole = body.strip_suffix("\n\n").expect("the last event is complete");
    // A comment keeps the connection open and is no event.
    whole.split("\n\n").filter(|block| !block.starts_with(':')).map(event).collect()
}

fn event(text: &str) -> Event {
    assert!(text.lines().all(|line| line.len() < 64 * 1024), "a line of more than 64 KiB");
    let (name, data) = text.split_once('\n').expect("two lines");
    let name = name.strip_prefix("event: ").expect("a name");
    let data: Value = serde_json::from_str(data.strip_prefix("data: ").expect("data")).expect("JSON");
    assert_eq!(data["type"], name);
    Event { name: name.to_owned(), data }
}

/// The bytes in all `speech.audio.delta` events.
pub fn sound(events: &[Event]) -> Vec<u8> {
    let deltas = events.iter().filter(|event| event.name == "speech.audio.delta");
    deltas.flat_map(|event| from_base64(event.data["audio"].as_str().expect("a string"))).collect()
}

/// The words in all `speech.audio.timestamps` events.
pub fn words(events: &[Event]) -> Vec<Value> {
    let lists = events.iter().filter(|event| event.name == "speech.audio.timestamps");
    lists.flat_map(|event| event.data["words"].as_array().expect("a list").clone()).collect()
}

/// Asserts that it is base64 with padding.
fn from_base64(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(4), "base64 without its padding");
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        other => panic!("`{}` in base64", other as char),
    };
    let digits = text.trim_end_matches('=').as_bytes();
    let group = |group: &[u8]| {
        let bits = group.iter().fold(0u32, |bits, c| bits << 6 | u32::from(value(*c)));
        let bits = bits << (6 * (4 - group.len()));
        bits.to_be_bytes()[1..group.len()].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}
