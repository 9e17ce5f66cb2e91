//! Keys: who may ask, how much, and what everybody may see.

use super::{PROGRAM, fake, say, slow};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use std::{fs, time::Duration};
use stentor_tests::{
    TestApp,
    app::{Setup, error_of},
    process::kill,
};

const ALICE: &str = "sk-test-alice-0123456789";
const BOB: &str = "sk-test-bob-0123456789";
/// Of [`ALICE`], by `sha256sum`.
const ALICE_HASH: &str = "07c5c66fa5fdf75c746fe5a1d764f85f670b00a539a63541d9892b2efa312491";

/// Two keys in the environment, as containers get them.
fn setup() -> Setup {
    Setup::new(PROGRAM).with_fake_model().variable("STENTOR_API_KEYS", &format!("{ALICE}, {BOB}"))
}

fn file_of(more: &str) -> String {
    format!("[keys.alice]\nsha256 = \"{ALICE_HASH}\"\n{more}\n")
}

/// Only Alice, known by a hash in a file.
fn alice(more: &str) -> Setup {
    let setup = Setup::new(PROGRAM).with_fake_model().file("keys.toml", file_of(more).as_bytes());
    let path = setup.path().join("keys.toml").display().to_string();
    setup.arg("--api-keys-file", &path)
}

fn request(app: &TestApp, method: Method, path: &str) -> RequestBuilder {
    app.client.request(method, format!("{}{path}", app.base))
}

fn speech(app: &TestApp, authorization: &str, body: &Value) -> RequestBuilder {
    request(app, Method::POST, "/v1/audio/speech").header("authorization", authorization).json(body)
}

async fn sent(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

async fn speak_as(app: &TestApp, authorization: &str) -> Response {
    sent(speech(app, authorization, &say("Hello."))).await
}

async fn assert_refused(response: Response, what: &str) {
    assert_eq!(response.headers()["www-authenticate"], "Bearer", "{what}");
    let (status, error) = error_of(response).await;
    assert_eq!((status, error["code"].as_str()), (401, Some("invalid_api_key")), "{what}: {error}");
    assert_eq!(error["type"], "invalid_request_error", "{what}");
}

/// SillyTavern sends an empty key, SDKs a made-up one.
#[tokio::test]
async fn without_keys_any_key_and_an_empty_one_are_fine() {
    let app = fake().await;
    for authorization in ["Bearer ", "Bearer", "", "Bearer sk-whatever", "Basic eDp5"] {
        assert_eq!(speak_as(&app, authorization).await.status(), 200, "{authorization:?}");
    }
}

#[tokio::test]
async fn with_keys_only_a_right_one_speaks() {
    let app = setup().start().await;
    for key in [ALICE, BOB] {
        for authorization in [format!("Bearer {key}"), format!("bearer   {key} ")] {
            assert_eq!(speak_as(&app, &authorization).await.status(), 200, "{authorization:?}");
        }
    }
    let shorter = &ALICE[..ALICE.len() - 1];
    let wrong = [
        "Bearer ",
        "Bearer",
        "",
        ALICE,
        "Basic eDp5",
        "Bearer x",
        &format!("Bearer {shorter}"),
        "Bearer \u{e9}",
    ];
    for authorization in wrong {
        assert_refused(speak_as(&app, authorization).await, authorization).await;
    }
    assert_refused(app.speech(&say("Hello.")).await, "no header").await;
    let hash = format!("Bearer {ALICE_HASH}");
    assert_refused(speak_as(&app, &hash).await, "the hash is not the key").await;
}

#[tokio::test]
async fn every_route_is_closed_but_probes_metrics_and_lists() {
    let app = setup().start().await;
    for path in ["/livez", "/healthz", "/readyz", "/health", "/metrics"] {
        assert_eq!(app.get(path).await.status(), 200, "{path}");
    }
    for (method, path) in [
        (Method::POST, "/v1/audio/speech"),
        (Method::POST, "/v1/audio/voices"),
        (Method::DELETE, "/v1/audio/voices/voice_1"),
        (Method::GET, "/v1/audio/voices/one"),
        (Method::GET, "/v1/models/fake"),
        (Method::POST, "/v1/models/load"),
        (Method::POST, "/v1/models/unload"),
        (Method::POST, "/v1/models"),
        (Method::GET, "/v1/nothing"),
        (Method::GET, "/nothing"),
        (Method::GET, "//v1/models"),
        (Method::GET, "/livez/"),
    ] {
        assert_refused(sent(request(&app, method.clone(), path)).await, &format!("{method} {path}")).await;
    }
    let known = request(&app, Method::GET, "/nothing").bearer_auth(ALICE);
    assert_eq!(error_of(sent(known).await).await.0, 404);
    // The body is read before the answer, so that a client that is still writing it reads why.
    let big = speech(&app, "Bearer x", &say(&"a".repeat(3 << 20)));
    assert_refused(sent(big).await, "a big body").await;
}

const NAMED: &[u8] = b"[voices.one]\nname = \"x\"\n[voices.Emily]\nname = \"Emily Smith\"\n";

/// Open WebUI sends no key when it fills its lists.
#[tokio::test]
async fn lists_show_ids_to_everybody_and_names_to_those_with_a_key() {
    let uploaded = b"name = \"Max Smith\"\ncreated_at = 1700000000\n";
    let setup = setup().file("voices/Emily.wav", b"sound").file("voices/voices.toml", NAMED);
    let setup = setup.file("data/uploads/voice_1/recording.wav", b"sound");
    let app = setup.file("data/uploads/voice_1/voice.toml", uploaded).start().await;
    for path in ["/v1/audio/voices", "/v1/audio/voices?legacy=true"] {
        let (without, with) = (app.get(path), sent(request(&app, Method::GET, path).bearer_auth(ALICE)));
        let without = without.await.text().await.expect("a body");
        assert!(without.contains("voice_1") && !without.contains("Max"), "{path}: {without}");
        assert!(with.await.text().await.expect("a body").contains("Max Smith"), "{path}");
    }
    for path in ["/v1/audio/voices", "/audio/voices", "/v1/voices"] {
        let listed = app.get_json(path).await;
        let emily = listed["voices"].as_array().expect("voices").iter().find(|voice| voice["id"] == "Emily");
        assert_eq!(emily.expect("it is listed")["name"], "Emily", "{path}");
        let with_key = sent(request(&app, Method::GET, path).bearer_auth(ALICE)).await;
        assert!(with_key.text().await.expect("a body").contains("Emily Smith"), "{path}");
        // A list for nobody would be taken for an empty one; a wrong key is told.
        assert_refused(sent(request(&app, Method::GET, path).bearer_auth("x")).await, path).await;
    }
    for path in ["/v1/models", "/v1/audio/models", "/v1/audio/voices?legacy=true"] {
        let empty = request(&app, Method::GET, path).header("authorization", "Bearer ");
        assert_eq!(sent(empty).await.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn lists_can_be_closed_or_shown_in_full() {
    let app = setup().arg("--public-lists", "none").start().await;
    for path in ["/v1/audio/voices", "/v1/models", "/v1/audio/models"] {
        assert_refused(app.get(path).await, path).await;
    }
    let with_key = request(&app, Method::GET, "/v1/audio/voices").bearer_auth(ALICE);
    assert_eq!(sent(with_key).await.status(), 200);
    let open = setup().arg("--public-lists", "full").file("voices/Emily.wav", b"sound");
    let open = open.file("voices/voices.toml", NAMED).start().await;
    assert!(open.get("/v1/audio/voices").await.text().await.expect("a body").contains("Emily Smith"));
    assert_eq!(open.get("/v1/models/fake").await.status(), 200);
}

#[tokio::test]
async fn a_file_holds_hashes_and_is_read_again_on_a_hangup() {
    let app = alice("").keep_log().start().await;
    assert_eq!(speak_as(&app, &format!("Bearer {ALICE}")).await.status(), 200);
    assert_refused(speak_as(&app, &format!("Bearer {BOB}")).await, "Bob").await;
    let path = app.dir.path().join("keys.toml");
    let hangup = async |text: &str, words: &str| {
        fs::write(&path, text).expect("a file");
        kill(app.pid(), "-HUP");
        app.wait_for_log(&[words], 1).await;
    };
    // A mistake leaves the keys as they were; it must not open the server.
    hangup("[keys.alice]\nsha256 = \"nonsense\"", "the configuration stays as it was").await;
    assert_eq!(speak_as(&app, &format!("Bearer {ALICE}")).await.status(), 200);
    assert_refused(app.speech(&say("Hello.")).await, "nobody").await;
    let other = file_of("").replace(&ALICE_HASH[..4], "0000");
    hangup(&other, "the configuration was read again").await;
    assert_refused(speak_as(&app, &format!("Bearer {ALICE}")).await, "her key was withdrawn").await;
    let log = app.log();
    assert!(!log.contains(ALICE) && !log.contains(BOB) && !log.contains(ALICE_HASH), "no key in a log");
}

#[tokio::test]
async fn a_new_key_fits_the_lines_that_come_with_it() {
    let made = Setup::new(PROGRAM).run(&["key", "carol"]).await;
    let (text, told) = (String::from_utf8(made.stdout), String::from_utf8(made.stderr));
    let (text, told) = (text.expect("text"), told.expect("text"));
    let key = told.split_whitespace().next_back().expect("a key");
    assert!(key.len() > 40 && text.contains("[keys.carol]") && !text.contains(key), "{text}");
    let setup = Setup::new(PROGRAM).with_fake_model().file("keys.toml", text.as_bytes());
    let path = setup.path().join("keys.toml").display().to_string();
    let app = setup.arg("--api-keys-file", &path).start().await;
    assert_eq!(speak_as(&app, &format!("Bearer {key}")).await.status(), 200);
    assert_refused(app.speech(&say("Hello.")).await, "nobody").await;
}

#[tokio::test]
async fn a_server_with_a_mistake_among_its_keys_does_not_start() {
    for (text, told) in [("", "holds no key"), ("[keys.a]\nsha256 = \"hunter2\"", "keys.a.sha256")] {
        let setup = Setup::new(PROGRAM).file("keys.toml", text.as_bytes());
        let path = setup.path().join("keys.toml").display().to_string();
        let ended = setup.arg("--api-keys-file", &path).run(&["serve"]).await;
        let complaint = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(!ended.status.success() && complaint.contains(told), "{complaint}");
        assert!(!complaint.contains("hunter2"), "{complaint}");
    }
}

fn retry_after(response: &Response) -> u64 {
    response.headers()["retry-after"].to_str().expect("text").parse().expect("seconds")
}

#[tokio::test]
async fn each_key_has_its_rate_and_is_told_when_to_come_again() {
    let app = setup().arg("--key-requests-per-minute", "3").start().await;
    let bearer = |key: &str| format!("Bearer {key}");
    for _ in 0..3 {
        assert_eq!(speak_as(&app, &bearer(ALICE)).await.status(), 200);
    }
    let refused = speak_as(&app, &bearer(ALICE)).await;
    assert!((1..=20).contains(&retry_after(&refused)), "{:?}", refused.headers());
    let (status, error) = error_of(refused).await;
    assert_eq!((status, error["code"].as_str()), (429, Some("rate_limit_exceeded")), "{error}");
    assert_eq!(error["type"], "rate_limit_error");
    // Another key's rate is its own; looking costs nothing.
    assert_eq!(speak_as(&app, &bearer(BOB)).await.status(), 200);
    let listing = request(&app, Method::GET, "/v1/models/fake").bearer_auth(ALICE);
    assert_eq!(sent(listing).await.status(), 200);
}

#[tokio::test]
async fn each_key_has_so_many_requests_under_way_until_their_last_byte() {
    let app = setup().arg("--key-concurrent", "1").start().await;
    let bearer = format!("Bearer {ALICE}");
    let mut running = sent(speech(&app, &bearer, &slow(4))).await;
    assert_eq!(running.status(), 200);
    running.chunk().await.expect("sound").expect("sound");
    let refused = speak_as(&app, &bearer).await;
    assert!(retry_after(&refused) >= 1);
    assert_eq!(error_of(refused).await.1["code"], "rate_limit_exceeded");
    assert_eq!(speak_as(&app, &format!("Bearer {BOB}")).await.status(), 200, "another key");
    // To its end, or until the client leaves.
    while running.chunk().await.expect("a complete answer").is_some() {}
    assert_eq!(speak_as(&app, &bearer).await.status(), 200);
    let abandoned = sent(speech(&app, &bearer, &slow(20))).await;
    drop(abandoned);
    for _ in 0..500 {
        if speak_as(&app, &bearer).await.status() == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("who has left still counts");
}

#[tokio::test]
async fn a_key_in_the_file_can_have_limits_of_its_own() {
    let app = alice("requests_per_minute = 1").arg("--key-requests-per-minute", "100").start().await;
    let statuses =
        [speak_as(&app, &format!("Bearer {ALICE}")).await, speak_as(&app, &format!("Bearer {ALICE}")).await];
    assert_eq!(statuses.map(|response| response.status().as_u16()), [200, 429]);
}

#[tokio::test]
async fn a_whole_answer_keeps_its_length_when_it_is_counted() {
    let app = setup().arg("--key-concurrent", "2").start().await;
    let response = speak_as(&app, &format!("Bearer {ALICE}")).await;
    let length = response.content_length();
    assert_eq!(length, Some(response.bytes().await.expect("a body").len() as u64));
}

fn preflight(app: &TestApp, origin: &str) -> RequestBuilder {
    request(app, Method::OPTIONS, "/v1/audio/speech")
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type")
}

#[tokio::test]
async fn pages_of_other_origins_are_allowed_nothing_unless_they_are_named() {
    let app = fake().await;
    let response = sent(preflight(&app, "https://a.example")).await;
    assert_eq!(response.status(), 405);
    assert!(!response.headers().contains_key("access-control-allow-origin"));
    let plain = sent(request(&app, Method::GET, "/v1/models").header("origin", "https://a.example")).await;
    assert!(!plain.headers().contains_key("access-control-allow-origin"));

    let app = setup().arg("--cors-origins", "https://a.example,http://localhost:3000").start().await;
    let response = sent(preflight(&app, "https://a.example")).await;
    assert_eq!(response.status(), 200, "a browser asks without a key");
    assert_eq!(response.headers()["access-control-allow-origin"], "https://a.example");
    assert_eq!(response.headers()["access-control-allow-headers"], "authorization,content-type");
    let read = sent(request(&app, Method::GET, "/v1/models").header("origin", "https://a.example")).await;
    let exposed = read.headers()["access-control-expose-headers"].to_str().expect("text").to_owned();
    for name in ["retry-after", "retry-after-ms", "x-should-retry", "x-request-id", "x-model", "x-voice"] {
        assert!(exposed.split(',').any(|shown| shown.trim() == name), "{name} is not in {exposed}");
    }
    let response = sent(preflight(&app, "https://b.example")).await;
    assert!(!response.headers().contains_key("access-control-allow-origin"));
    let refused = sent(speech(&app, "Bearer x", &say("Hi.")).header("origin", "http://localhost:3000")).await;
    assert_eq!(refused.headers()["access-control-allow-origin"], "http://localhost:3000");
    assert_refused(refused, "a page reads why").await;
}

/// A form from a foreign page is sent without asking, whatever the page may read of the answer.
#[tokio::test]
async fn a_foreign_page_changes_nothing() {
    let app = fake().await;
    let own = app.base.clone();
    let change = |path: &str, name: &'static str, value: &str| {
        request(&app, Method::POST, path).header(name, value).body("{\"model\": \"fake\"}")
    };
    for (name, value) in
        [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")]
    {
        for path in ["/v1/models/unload", "/v1/models/load", "/v1/audio/voices", "/audio/voices"] {
            let (status, error) = error_of(sent(change(path, name, value)).await).await;
            assert_eq!((status, error["code"].as_str()), (403, Some("forbidden")), "{path} {value}");
        }
        for path in ["/v1/audio/voices/one", "/audio/voices/one"] {
            let deleting = request(&app, Method::DELETE, path).header(name, value);
            let (_, error) = error_of(sent(deleting).await).await;
            assert!(error["message"].to_string().contains("other origins"), "{path}: {error}");
        }
    }
    assert_eq!(sent(change("/v1/models/load", "origin", &own)).await.status(), 200);
    assert_eq!(sent(change("/v1/models/load", "sec-fetch-site", "same-origin")).await.status(), 200);
    assert_eq!(app.post("/v1/models/load", &json!({"model": "fake"})).await.status(), 200);
}
