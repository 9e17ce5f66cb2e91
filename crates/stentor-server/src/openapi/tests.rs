//! The document is held to the router, to those who read bodies, and to the file in `docs/`.

use super::document;
use crate::{
    Limits,
    api::{speech, upload},
};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

fn as_json() -> Value {
    serde_json::to_value(document()).unwrap()
}

fn fields_of(schema: &str) -> Map<String, Value> {
    as_json()["components"]["schemas"][schema]["properties"].as_object().unwrap().clone()
}

/// Method and path of each operation.
type Operations = BTreeSet<(String, String)>;

fn documented() -> Operations {
    let document = as_json();
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .flat_map(|(path, item)| item.as_object().unwrap().keys().map(|m| (m.clone(), path.clone())))
        .collect()
}

/// The router can't be asked what it has, but its source has one `.route` for each path.
fn routed() -> Operations {
    let source = include_str!("../router.rs");
    let routes = source.split(".route(\"").skip(1).flat_map(|route| {
        let (path, rest) = route.split_once('"').unwrap();
        let methods = rest.split("        .").next().unwrap();
        let has = |method: &&str| methods.contains(&format!("{method}("));
        let methods: Vec<&str> = ["get", "post", "put", "patch", "delete"].into_iter().filter(has).collect();
        assert!(!methods.is_empty(), "no method is recognised for `{path}`");
        methods.into_iter().map(move |method| (method.to_owned(), path.to_owned()))
    });
    routes.collect()
}

/// Whether a path of the document is one of those that a route takes; `{*id}` takes anything.
fn takes(route: &str, path: &str) -> bool {
    match route.split_once("{*") {
        Some((before, _)) => path.strip_prefix(before).is_some_and(|rest| !rest.is_empty()),
        None => route == path,
    }
}

#[test]
fn each_route_is_in_the_document_and_the_reverse() {
    let (documented, routed) = (documented(), routed());
    assert!(routed.len() >= 20, "routes were not recognised: {routed:?}");
    for (method, route) in &routed {
        let found = documented.iter().any(|(m, path)| m == method && takes(route, path));
        assert!(found, "`{method} {route}` of router.rs is not in openapi/operations.rs");
    }
    for (method, path) in &documented {
        let found = routed.iter().any(|(m, route)| m == method && takes(route, path));
        assert!(found, "`{method} {path}` of openapi/operations.rs is not in router.rs");
    }
}

#[test]
fn the_committed_file_is_this_document() {
    let committed = include_str!("../../../../docs/openapi.json");
    let current = document().to_pretty_json().unwrap();
    assert!(
        committed.trim_end() == current,
        "docs/openapi.json is not what the program answers: run `cargo xtask openapi` and commit the file"
    );
}

#[test]
fn every_reference_leads_somewhere() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let (document, mut found) = (as_json(), BTreeSet::new());
    references(&document, &mut found);
    assert!(found.len() > 10, "{found:?}");
    for reference in found {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
}

/// Reads a body of speech with one field beside the text. Words need a form that has a place for them.
fn read(name: &str, value: &Value) -> Result<(), Option<String>> {
    let mut body =
        json!({ "input": "Hello.", "stream_format": if name == "timestamps" { "sse" } else { "audio" } });
    body[name] = value.clone();
    let parsed = speech::parse(body.to_string().as_bytes(), &Limits::default());
    parsed.map(drop).map_err(|error| error.param.map(String::from))
}

#[test]
fn the_reader_of_speech_knows_each_field_that_is_documented_and_no_other() {
    let fields = fields_of("SpeechRequest");
    for name in fields.keys() {
        assert_eq!(read(name, &json!({"unknown": 1})), Err(Some(name.clone())), "an object as `{name}`");
        let null = if name == "input" { Err(Some("input".to_owned())) } else { Ok(()) };
        assert_eq!(read(name, &Value::Null), null, "null as `{name}`");
    }
    // Whatever the reader takes, it takes out of the body by name.
    let source = concat!(include_str!("../api/speech.rs"), include_str!("../api/delivery.rs"));
    let code = source.split("#[cfg(test)]").collect::<Vec<_>>().join("\n");
    let takers = ["fields.remove(\"", "fields.get(\"", "fields, \""];
    let taken: BTreeSet<&str> = takers
        .iter()
        .flat_map(|taker| code.split(taker).skip(1).filter_map(|rest| rest.split('"').next()))
        .collect();
    assert!(taken.len() >= fields.len(), "fields were not recognised: {taken:?}");
    for name in taken {
        assert!(fields.contains_key(name), "`{name}` is read and not documented in openapi/bodies.rs");
    }
}

#[test]
fn the_reader_of_speech_keeps_the_documented_ranges() {
    for (name, schema) in fields_of("SpeechRequest") {
        let refused = Err(Some(name.clone()));
        for value in schema["enum"].as_array().into_iter().flatten() {
            assert_eq!(read(&name, value), Ok(()), "{value} as `{name}`");
        }
        if (schema["enum"].is_array() || schema["pattern"].is_string()) && name != "input" {
            assert_eq!(read(&name, &json!("!")), refused, "`{name}`");
        }
        for (bound, beyond) in [("minimum", -0.01), ("maximum", 0.01)] {
            let Some(value) = schema[bound].as_f64() else { continue };
            assert_eq!(read(&name, &json!(value)), Ok(()), "{bound} of `{name}`");
            assert_eq!(read(&name, &json!(value + beyond)), refused, "beyond the {bound} of `{name}`");
        }
        let free = schema["pattern"].is_null();
        if let Some(length) = schema["maxLength"].as_u64().filter(|_| free || name == "input") {
            let text = |length: u64| json!("a".repeat(length as usize));
            assert_eq!(read(&name, &text(length)), Ok(()), "{length} characters of `{name}`");
            assert_eq!(read(&name, &text(length + 1)), refused, "more than {length} characters of `{name}`");
        }
        if let Some(items) = schema["maxItems"].as_u64() {
            let entries = |count| {
                json!((0..count).map(|n| json!({"word": n.to_string(), "ipa": "a"})).collect::<Vec<_>>())
            };
            assert_eq!(read(&name, &entries(items)), Ok(()), "{items} items of `{name}`");
            assert_eq!(read(&name, &entries(items + 1)), refused, "more than {items} items of `{name}`");
        }
        if !schema["default"].is_null() {
            assert_eq!(read(&name, &schema["default"]), Ok(()), "the default of `{name}`");
        }
    }
}

#[tokio::test]
async fn the_reader_of_uploads_knows_each_part_that_is_documented_and_no_other() {
    let form = |names: &[&str]| {
        let part =
            |name: &&str| format!("--x\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\nen\r\n");
        format!("{}--x--\r\n", names.iter().map(part).collect::<String>()).into_bytes()
    };
    let read = |names: &[&str]| upload::parse("multipart/form-data; boundary=x", form(names), 10);
    let fields = fields_of("VoiceUpload");
    let names: Vec<&str> = fields.keys().map(String::as_str).collect();
    for name in &names {
        let twice = read(&[name, name]).await.unwrap_err();
        assert_eq!(twice.param.as_deref(), Some(*name), "`{name}` is documented and not read");
    }
    assert!(read(&names).await.unwrap().ignored.is_empty());
    let source = include_str!("../api/upload.rs");
    let taken: Vec<&str> =
        source.split("put(&mut self.").skip(1).filter_map(|rest| rest.split('"').nth(1)).collect();
    assert_eq!(taken.len(), names.len(), "{taken:?} are read, {names:?} are documented");
}
