//! SSML as clients send it: what is heard, what is refused, and what is named as ignored.

use super::{PROGRAM, builtin};
use serde_json::{Value, json};
use stentor_tests::{TestApp, app::Setup};

/// Bytes of a second of `pcm`.
const SECOND: usize = 48_000;

fn pcm(input: &str) -> Value {
    json!({"input": input, "response_format": "pcm", "seed": 1})
}

async fn heard(app: &TestApp, input: &str) -> Vec<u8> {
    app.audio(&pcm(input)).await.to_vec()
}

async fn phonemize(app: &TestApp, input: &str) -> Value {
    let response = app.post("/v1/audio/phonemize", &json!({"input": input})).await;
    assert_eq!(response.status(), 200);
    response.json().await.expect("JSON")
}

#[tokio::test]
async fn a_document_sounds_like_the_text_in_it() {
    let app = builtin().await;
    let plain = heard(&app, "Tom and Jerry paid five dollars.").await;
    let document =
        "<?xml version=\"1.0\"?>\n<speak version=\"1.1\">\n  Tom &amp; Jerry\n  paid $5.\n</speak>";
    assert_eq!(heard(&app, document).await, plain);
    let spelled =
        heard(&app, "<speak>Tom and Jerry paid <sub alias=\"five dollars\">a lot</sub>.</speak>").await;
    assert_eq!(spelled, plain);
}

#[tokio::test]
async fn breaks_are_silence_and_rates_change_the_length() {
    let app = builtin().await;
    let at = async |inner: &str| heard(&app, &format!("<speak>{inner}</speak>")).await.len();
    let (short, long) =
        (at("One<break time=\"100ms\"/> two.").await, at("One<break time=\"2100ms\"/> two.").await);
    assert_eq!(long - short, 2 * SECOND);
    let sentence = "The quick brown fox jumps over the lazy dog.";
    let rate = async |rate: &str| at(&format!("<prosody rate=\"{rate}\">{sentence}</prosody>")).await as f64;
    let (normal, slow, fast) = (at(sentence).await as f64, rate("50%").await, rate("200%").await);
    assert!((1.7..2.3).contains(&(slow / normal)), "{slow} {normal}");
    assert!((0.4..0.65).contains(&(fast / normal)), "{fast} {normal}");
    let stressed = at(&format!("<emphasis level=\"strong\">{sentence}</emphasis>")).await as f64;
    assert!(stressed > normal * 1.1, "{stressed} {normal}");
}

#[tokio::test]
async fn each_voice_of_a_document_speaks_its_part() {
    let app = builtin().await;
    let alone = async |voice: &str, text: &str| {
        let mut body = pcm(text);
        body["voice"] = json!(voice);
        app.audio(&body).await.to_vec()
    };
    let (slt, rms) = (alone("slt", "Hello there.").await, alone("rms", "Good day.").await);
    let slt_only = heard(&app, "<speak><voice name=\"slt\">Hello there.</voice></speak>").await;
    assert_eq!(slt_only, slt);
    assert_ne!(slt, alone("rms", "Hello there.").await, "the voices differ");
    let both = heard(&app, "<speak><voice name=\"slt\">Hello there.</voice> Good day.</speak>").await;
    assert!(both.starts_with(&slt[..SECOND / 4]) && both.ends_with(&rms[rms.len() - SECOND / 4..]));
    // Kept speech of one voice is not given out for another.
    assert_eq!(
        heard(&app, "<speak><voice name=\"rms\">Hello there.</voice></speak>").await,
        alone("rms", "Hello there.").await
    );
}

#[tokio::test]
async fn phonemes_and_ways_to_say_reach_the_model() {
    let app = builtin().await;
    let document = "<speak>A <phoneme alphabet=\"ipa\" ph=\"təˈmɑːtoʊ\">tomato</phoneme>, \
                    <say-as interpret-as=\"characters\">SQL</say-as>, <say-as interpret-as=\"date\" format=\"dmy\">1/2/1984</say-as>.</speak>";
    let read = phonemize(&app, document).await;
    let words = read["words"].as_array().expect("words");
    let of =
        |word: &str| words.iter().find(|row| row["word"] == word).unwrap_or_else(|| panic!("{word}: {read}"));
    assert_eq!(
        (of("tomato")["rule"].as_str(), of("tomato")["parts"][0]["rule"].as_str()),
        (Some("ssml:phoneme"), Some("markup"))
    );
    assert_eq!(of("tomato")["parts"][0]["phonemes"], "təmˈɑːtO");
    assert_eq!(of("SQL")["spoken"], "S Q L");
    assert_eq!(of("1/2/1984")["spoken"], "February first, nineteen eighty-four");
    let start = document.chars().take_while(|c| *c != 'Q').count() - 1;
    assert_eq!(
        (of("SQL")["start_char"].as_u64(), of("SQL")["end_char"].as_u64()),
        (Some(start as u64), Some(start as u64 + 3))
    );
}

#[tokio::test]
async fn what_has_no_effect_is_named_and_its_text_is_spoken() {
    let app = builtin().await;
    let document =
        "<speak><mark name=\"a\"/><prosody pitch=\"high\">Hello</prosody> <x:y>there.</x:y></speak>";
    let mut body = pcm(document);
    body["colour"] = json!("red");
    let response = app.speech(&body).await;
    assert_eq!(response.headers()["x-ignored-params"], "colour, ssml:mark, ssml:prosody@pitch, ssml:x:y");
    assert_eq!(response.bytes().await.expect("audio").to_vec(), heard(&app, "Hello there.").await);
}

#[tokio::test]
async fn mistakes_name_input_and_their_place() {
    let app = builtin().await;
    let rows = [
        ("<speak>\n<p>Hello.</speak>", "invalid_value", "line 2, column 10"),
        ("<speak>Hello. <break time=\"soon\"/></speak>", "invalid_value", "line 1, column 15"),
        ("<speak>\n  <voice name=\"nobody\">Hi.</voice></speak>", "voice_not_found", "line 2, column 3"),
        ("<speak>&xxe;</speak>", "invalid_value", "line 1, column 8"),
        (
            "<speak>a</speak><!DOCTYPE speak [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>",
            "invalid_value",
            "line 1, column 17",
        ),
        ("<!DOCTYPE speak><speak>a</speak>", "invalid_value", "line 1, column 1"),
        (
            "<?xml version=\"1.0\"?>\n<!DOCTYPE x [<!ENTITY a \"b\">]><speak>&a;</speak>",
            "invalid_value",
            "line 2, column 1",
        ),
        ("<speak>  </speak>", "input_not_speakable", ""),
    ];
    for (input, code, place) in rows {
        let (status, error) = app.error(&pcm(input)).await;
        assert_eq!(
            (status, &error["code"], &error["param"]),
            (400, &json!(code), &json!("input")),
            "{input}: {error}"
        );
        assert!(error["message"].as_str().expect("a message").contains(place), "{input}: {error}");
    }
    app.audio(&pcm("<speaker> is no element of ours.")).await;
}

#[tokio::test]
async fn the_documents_language_holds_unless_the_request_has_one() {
    let app = builtin().await;
    let document = "<speak xml:lang=\"en-GB\">It is a bath.</speak>";
    assert_eq!(phonemize(&app, document).await["language"], "en-gb");
    let asked = json!({"input": document, "language": "en-us"});
    let asked: Value = app.post("/v1/audio/phonemize", &asked).await.json().await.expect("JSON");
    assert_eq!(asked["language"], "en-us");
}

#[tokio::test]
async fn words_are_timed_as_they_stand_in_the_document() {
    let setup = Setup::new(PROGRAM);
    let (audio, words) = (setup.path().join("a.wav"), setup.path().join("words.json"));
    let document = "<speak>The <sub alias=\"World Wide Web Consortium\">W3C</sub> <prosody rate=\"slow\">met</prosody> SQL.</speak>";
    let lexicon = setup.path().join("lexicon.toml");
    std::fs::write(&lexicon, "[[entry]]\nword = \"SQL\"\nreplace = \"structured query language\"\n")
        .expect("a file");
    let path = |path: &std::path::Path| path.to_str().expect("a path").to_owned();
    let output = setup.run(&["say", document, "--output", &path(&audio), "--timings", &path(&words)]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let timed: Value = serde_json::from_slice(&std::fs::read(&words).expect("timings")).expect("JSON");
    let timed = timed["words"].as_array().expect("words");
    let names: Vec<_> = timed.iter().filter_map(|row| row["word"].as_str()).collect();
    assert_eq!(names, ["The", "W3C", "met", "SQL"]);
    for (row, name) in timed.iter().zip(names) {
        let range = row["start_char"].as_u64().expect("a start")..row["end_char"].as_u64().expect("an end");
        assert_eq!(&document[range.start as usize..range.end as usize], name);
        assert!(row["start"].as_f64() < row["end"].as_f64(), "{row}");
    }
}
