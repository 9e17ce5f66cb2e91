//! The server's lexicon, a request's own, and what `/v1/audio/phonemize` tells of both.

use super::PROGRAM;
use serde_json::{Value, json};
use stentor_tests::{
    TestApp,
    app::{Setup, error_of},
    process::kill,
};

const LEXICON: &str = "\
[[entry]]
word = \"SQL\"
replace = \"sequel\"

[[entry]]
word = \"Nguyen\"
ipa = \"wɪn\"
case = \"exact\"

[[entry]]
word = \"bath\"
replace = \"shower\"
language = \"en-gb\"
";

async fn start(lexicon: &str) -> TestApp {
    Setup::new(PROGRAM).file("lexicon.toml", lexicon.as_bytes()).keep_log().start().await
}

async fn heard(app: &TestApp, input: &str, extra: Value) -> Vec<u8> {
    let mut body = json!({"input": input, "response_format": "pcm", "seed": 1});
    body.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
    app.audio(&body).await.to_vec()
}

async fn phonemize(app: &TestApp, body: &Value) -> Value {
    let response = app.post("/v1/audio/phonemize", body).await;
    assert_eq!(response.status(), 200);
    response.json().await.expect("JSON")
}

fn word<'a>(read: &'a Value, word: &str) -> &'a Value {
    let words = read["words"].as_array().expect("words");
    words.iter().find(|row| row["word"] == word).unwrap_or_else(|| panic!("no {word} in {read}"))
}

#[tokio::test]
async fn entries_of_the_server_and_of_a_request_are_heard() {
    let app = start(LEXICON).await;
    let none = json!({});
    assert_eq!(
        heard(&app, "I like SQL.", none.clone()).await,
        heard(&app, "I like sequel.", none.clone()).await
    );
    let own = json!({"lexicon": [{"word": "sql", "replace": "tables"}]});
    assert_eq!(heard(&app, "I like SQL.", own).await, heard(&app, "I like tables.", none.clone()).await);
    let ipa = json!({"lexicon": [{"word": "tomato", "ipa": "/təmˈɑːtO/"}]});
    let linked = heard(&app, "A [tomato](/təmˈɑːtO/).", none.clone()).await;
    assert_eq!(heard(&app, "A tomato.", ipa).await, linked);
    // The language and the case of an entry are kept to.
    assert_eq!(
        heard(&app, "A bath.", json!({"language": "en-gb"})).await,
        heard(&app, "A shower.", json!({"language": "en-gb"})).await
    );
    assert_ne!(heard(&app, "A bath.", none.clone()).await, heard(&app, "A shower.", none).await);
}

#[tokio::test]
async fn phonemize_tells_which_rule_read_each_word() {
    let app = start(LEXICON).await;
    let body = json!({"input": "Dr. Nguyen likes SQL and blorptastic $5.", "lexicon": [{"word": "likes", "replace": "loves"}]});
    let read = phonemize(&app, &body).await;
    assert_eq!(read["object"], "phonemes");
    assert_eq!(
        (read["model"].as_str(), read["voice"].as_str(), read["language"].as_str()),
        (Some("builtin"), Some("rms"), Some("en-us"))
    );
    assert_eq!(read["normalized"], "Doctor [Nguyen](/wɪn/) loves sequel and blorptastic five dollars.");
    assert!(
        read["phonemes"].as_str().expect("phonemes").contains("wˈɪn")
            || read["phonemes"].as_str().expect("phonemes").contains("wɪn")
    );
    let rules: Vec<_> = read["words"]
        .as_array()
        .expect("words")
        .iter()
        .map(|row| (row["word"].as_str().expect("a word"), row["rule"].as_str().expect("a rule")))
        .collect();
    let want = [
        ("Dr", "normalizer"),
        ("Nguyen", "lexicon"),
        ("likes", "lexicon"),
        ("SQL", "lexicon"),
        ("and", "none"),
        ("blorptastic", "none"),
        ("$5", "normalizer"),
    ];
    assert_eq!(rules, want);
    let entry = |name: &str| &word(&read, name)["entry"];
    assert_eq!(
        (&entry("Nguyen")["lexicon"], &entry("Nguyen")["index"], &entry("Nguyen")["ipa"]),
        (&json!("server"), &json!(1), &json!("wɪn"))
    );
    assert_eq!(
        (&entry("likes")["lexicon"], &entry("likes")["replace"]),
        (&json!("request"), &json!("loves"))
    );
    let source = |name: &str| word(&read, name)["parts"][0]["rule"].as_str().expect("a rule").to_owned();
    assert_eq!(
        [source("Nguyen"), source("and"), source("blorptastic")],
        ["markup", "dictionary", "letter-to-sound"]
    );
    assert_eq!(word(&read, "$5")["parts"].as_array().expect("parts").len(), 2);
    assert_eq!(
        (&word(&read, "Nguyen")["start_char"], &word(&read, "Nguyen")["end_char"]),
        (&json!(4), &json!(10))
    );
}

#[tokio::test]
async fn phonemize_takes_the_fields_of_speech_and_has_its_limits() {
    let app = start("").await;
    let response = app.post("/v1/audio/phonemize", &json!({"input": "Hi.", "colour": 1})).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-ignored-params"]),
        (200, &"colour".parse().expect("a value"))
    );
    let raw = phonemize(&app, &json!({"input": "Dr. No", "normalize": false})).await;
    assert_eq!(raw["normalized"], "Dr. No");
    let rows = [
        (json!({}), 400, "missing_field", "input"),
        (json!({"input": "a", "voice": "nobody"}), 400, "voice_not_found", "voice"),
        (json!({"input": "a", "language": "tlh"}), 400, "language_not_supported", "language"),
        (json!({"input": "🎉"}), 400, "input_not_speakable", "input"),
        (json!({"input": "word ".repeat(5000)}), 413, "input_too_large", "input"),
        (json!({"input": "a", "model": "nothing"}), 404, "model_not_found", "model"),
    ];
    for (body, status, code, param) in rows {
        let (got, error) = error_of(app.post("/v1/audio/phonemize", &body).await).await;
        assert_eq!((got, &error["code"], &error["param"]), (status, &json!(code), &json!(param)), "{error}");
    }
}

#[tokio::test]
async fn a_bad_entry_of_a_request_is_named() {
    let app = start("").await;
    let rows = [
        (json!("SQL"), "must be a list"),
        (json!([{"word": "a", "replace": "b"}, {"word": "c"}]), "`lexicon[1]`"),
        (json!([{"word": "a", "ipa": "b", "colour": "c"}]), "unknown field `colour`"),
        (json!(vec![json!({"word": "a", "replace": "b"}); 201]), "more than 200"),
        (json!([{"word": "a".repeat(201), "replace": "b"}]), "more than 200 bytes"),
    ];
    for (lexicon, message) in rows {
        let (status, error) = app.error(&json!({"input": "Hi.", "lexicon": lexicon})).await;
        assert_eq!((status, &error["param"]), (400, &json!("lexicon")), "{error}");
        assert!(error["message"].as_str().expect("a message").contains(message), "{error}");
    }
}

#[tokio::test]
async fn a_file_with_a_mistake_stops_the_start_and_names_line_and_entry() {
    let bad = "[[entry]]\nword = \"a\"\nreplace = \"b\"\n\n[[entry]]\nword = \"c\"\n";
    let setup = Setup::new(PROGRAM)
        .file("lexicon.toml", bad.as_bytes())
        .file("other.toml", b"[[entry]]\nwurd = \"a\"\n");
    let output = setup.run(&["serve"]).await;
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("lexicon.toml:5: entry 2 (`c`): it needs `replace` or `ipa`"), "{told}");
    let output = setup.run(&["check", "--lexicon", "other.toml"]).await;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && told.contains("other.toml:2: unknown field `wurd`"), "{told}");
}

#[tokio::test]
async fn a_hangup_reads_the_lexicon_again_and_a_mistake_in_it_changes_nothing() {
    let app = start(LEXICON).await;
    let spoken = async || word(&phonemize(&app, &json!({"input": "SQL"})).await, "SQL")["spoken"].clone();
    let write = |text: &str| std::fs::write(app.dir.path().join("lexicon.toml"), text).expect("a file");
    assert_eq!(spoken().await, "sequel");
    write("[[entry]]\nword = \"SQL\"\nreplace = \"tables\"\n");
    kill(app.pid(), "-HUP");
    app.wait_for_log(&["the configuration was read again"], 1).await;
    assert_eq!(spoken().await, "tables");
    write("[[entry]]\nword = \"SQL\"\n");
    kill(app.pid(), "-HUP");
    app.wait_for_log(&["the configuration stays as it was", "lexicon.toml:1"], 1).await;
    assert_eq!(spoken().await, "tables");
}

#[tokio::test]
async fn a_long_text_with_entries_begins_as_a_short_one_does() {
    let app = start(LEXICON).await;
    let long = format!("I like SQL.\n\n{}", "And there is more of it to say. ".repeat(5000));
    let body = json!({"input": long, "response_format": "pcm", "seed": 1});
    let mut response = app.speech(&body).await;
    assert_eq!(response.status(), 200);
    let mut first = Vec::new();
    while first.len() < 24_000 {
        first.extend_from_slice(&response.chunk().await.expect("sound").expect("a piece"));
    }
    let short = heard(&app, "I like sequel.", json!({})).await;
    assert!(first[..24_000] == short[..24_000], "the first half second is that of the short text");
}

#[tokio::test]
async fn an_entry_is_found_however_its_letters_are_coded() {
    let app = start(LEXICON).await;
    for (word, text) in [("O'Brien", "O’Brien"), ("caf\u{e9}", "cafe\u{301}"), ("Straße", "STRASSE")] {
        let body = json!({"input": format!("So {text}, then."), "lexicon": [{"word": word, "replace": "tables", "case": null}]});
        let read = phonemize(&app, &body).await;
        let found = self::word(&read, text);
        assert_eq!((&found["spoken"], &found["rule"]), (&json!("tables"), &json!("lexicon")), "{read}");
        assert_eq!((&found["start_char"], &found["end_char"]), (&json!(3), &json!(3 + text.chars().count())));
    }
}
