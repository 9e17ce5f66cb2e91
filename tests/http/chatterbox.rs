//! Chatterbox through HTTP, from a folder of files and a manifest. The weights are a hash and the networks shallow: the sound
//! is noise, but every kind of layer runs at its real width, in a real worker.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::{PROGRAM, form, send_form};
use bytes::Bytes;
use serde_json::{Value, json};
use std::{fs, os::unix::fs::MetadataExt as _, path::PathBuf};
use stentor_testkit::{
    chatterbox::Depth,
    chatterbox_model::{Variant, write_model},
};
use stentor_tests::{
    TestApp,
    app::{Setup, error_of},
    events::{events, sound, words},
    process::kill,
};

/// Speech tokens of the default voice: a second.
const PROMPT: usize = 25;
const RATE: u32 = 24_000;
/// Of a WAV file as the server writes it.
const HEADER: usize = 44;
/// Two chunks, so it is streamed. These models never want to end, so each is as long as it may be: six seconds.
const LONG: &str = "Hello there.\n\nHere I am.";

fn manifest(title: &str, tokenizer: &[(&str, &str)]) -> String {
    let files = [
        ("t3", "t3.safetensors"),
        ("s3gen", "s3gen.safetensors"),
        ("ve", "ve.safetensors"),
        ("conds", "conds.safetensors"),
    ];
    let rows = files.iter().chain(tokenizer);
    let rows: Vec<_> =
        rows.map(|(role, path)| format!("[[files]]\nrole = \"{role}\"\npath = \"{path}\"\n")).collect();
    let files = rows.concat();
    format!(
        "engine = \"chatterbox\"\ntitle = \"{title}\"\nlicence = \"MIT\"\nlanguages = [\"en-us\", \"en-gb\"]\n\
         rank = 45\nvoice_kinds = [\"preset\", \"reference\"]\n{files}\
         [voices]\nkind = \"preset\"\ndefault = \"default\"\n[voices.names]\nen-us = [\"default\"]\n"
    )
}

/// A recording of `seconds` that is neither clean nor silent; `pitch` in hertz tells speakers apart.
fn recording(seconds: f32, pitch: f32, loudness: f32) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::new(&mut bytes, spec).expect("a writer in memory");
    let mut state = 1_u32;
    for i in 0..(seconds * RATE as f32) as usize {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = (state >> 16) as f32 / 32_768.0 - 1.0;
        let tone = (i as f32 * pitch * std::f32::consts::TAU / RATE as f32).sin();
        let sample = loudness * (0.3 * tone + 0.03 * noise);
        writer.write_sample((sample * 32_767.0) as i16).expect("a writer in memory");
    }
    writer.finalize().expect("a writer in memory");
    bytes.into_inner()
}

/// A server whose default model is one of the family.
async fn start(id: &str, variant: Variant, tokenizer: &[(&str, &str)]) -> TestApp {
    let text = "a text about something else\n".repeat(99);
    let setup = Setup::new(PROGRAM)
        .file(&format!("models/{id}.toml"), manifest(id, tokenizer).as_bytes())
        .file("voices/Emily.wav", &recording(6.0, 220.0, 1.0))
        .file("voices/Bruno.wav", &recording(6.0, 110.0, 1.0))
        .file("voices/Short.wav", &recording(0.5, 220.0, 1.0))
        .file("voices/Silent.wav", &recording(6.0, 220.0, 0.0))
        .file("voices/Torn.wav", text.as_bytes())
        .arg("--model", id);
    let folder = setup.path().join("data/models").join(id);
    fs::create_dir_all(&folder).expect("a writable directory");
    write_model(&folder, variant, Depth::Reduced, PROMPT).expect("a writable directory");
    setup.start().await
}

/// A short text, which is not taken from what was spoken before.
fn say(text: &str, more: &Value) -> Value {
    let mut body = json!({"input": text, "response_format": "wav", "seed": 7, "cache": false});
    for (key, value) in more.as_object().expect("fields") {
        body[key] = value.clone();
    }
    body
}

fn seconds(wav: &[u8]) -> f64 {
    assert!(wav.starts_with(b"RIFF"), "no WAV");
    (wav.len() - HEADER) as f64 / f64::from(2 * RATE)
}

#[tokio::test]
async fn nano_is_served_with_recorded_voices() {
    let tokenizer =
        [("vocab", "vocab.json"), ("merges", "merges.txt"), ("added_tokens", "added_tokens.json")];
    let app = start("tiny-nano", Variant::Nano, &tokenizer).await;
    let hi = short_texts_are_short_and_cues_are_heard(&app).await;
    emotion_is_ignored_and_said_to_be(&app, &hi).await;
    only_the_first_chunk_is_rendered_in_pieces(&app).await;
    a_recording_speaks_under_each_of_its_names(&app, &hi).await;
    bad_recordings_are_refused_by_name(&app).await;
    a_voice_is_made_once_and_survives_its_worker(&app).await;
    a_killed_worker_costs_nothing_but_time(&app).await;
    an_uploaded_recording_sounds_like_one_in_the_folder(&app).await;
}

#[tokio::test]
async fn english_is_served_and_streams_its_first_window() {
    let app = start("tiny-english", Variant::English, &[("tokenizer", "tokenizer.json")]).await;
    params_out_of_range_are_refused_by_name(&app).await;
    emotion_is_heard(&app).await;
    phonemes_are_left_out_and_the_word_is_spoken(&app).await;
    the_first_window_comes_before_the_chunk_is_done(&app).await;
    each_word_has_its_time(&app).await;
}

/// Gives what it heard first.
async fn short_texts_are_short_and_cues_are_heard(app: &TestApp) -> Bytes {
    let response = app.speech(&say("Hi.", &json!({}))).await;
    assert_eq!(response.status(), 200);
    let headers = response.headers();
    assert_eq!(
        (&headers["x-watermark"], &headers["x-voice"]),
        (&"none".parse().unwrap(), &"default".parse().unwrap())
    );
    let hi = response.bytes().await.unwrap();
    let length = seconds(&hi);
    assert!((0.2..8.0).contains(&length), "{length} s");
    let plain = app.audio(&say("Oh my.", &json!({}))).await;
    let laughing = app.audio(&say("Oh my [laugh].", &json!({}))).await;
    assert!(plain != laughing, "the model knows the cue");
    hi
}

async fn phonemes_are_left_out_and_the_word_is_spoken(app: &TestApp) {
    let document = "<speak>A <phoneme ph=\"təˈmɑːtoʊ\">tomato</phoneme>.</speak>";
    let read = app.post("/v1/audio/phonemize", &json!({"input": document})).await;
    assert_eq!(read.status(), 200);
    let read: Value = read.json().await.unwrap();
    assert_eq!(read["phonemes"], Value::Null);
    assert_eq!((&read["words"][1]["word"], &read["words"][1]["parts"]), (&json!("tomato"), &json!([])));
    let fields = json!({"seed": 1});
    let (marked, plain) =
        (app.audio(&say(document, &fields)).await, app.audio(&say("A tomato.", &fields)).await);
    assert!(marked == plain, "the word is spoken as if nothing had been said of it");
}

async fn emotion_is_ignored_and_said_to_be(app: &TestApp, hi: &Bytes) {
    let response = app.speech(&say("Hi.", &json!({"exaggeration": 0.9}))).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-ignored-params"], "exaggeration");
    assert!(response.bytes().await.unwrap() == hi, "it changed something");
}

async fn a_recording_speaks_under_each_of_its_names(app: &TestApp, default: &Bytes) {
    let mut bodies = Vec::new();
    for name in ["Emily", "emily", "Emily.wav"] {
        let response = app.speech(&say("Hi.", &json!({"voice": name, "cache": true}))).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["x-voice"]),
            (200, &"Emily".parse().unwrap())
        );
        bodies.push(response.bytes().await.unwrap());
    }
    assert!(bodies[0] == bodies[1] && bodies[0] == bodies[2], "one voice");
    assert!(bodies[0] != default, "a recording sounds like itself");
}

async fn bad_recordings_are_refused_by_name(app: &TestApp) {
    for (voice, why) in [("Short", "too short"), ("Silent", "silent"), ("Torn", "no audio file")] {
        let (status, error) = app.error(&say("Hi.", &json!({"voice": voice}))).await;
        assert_eq!((status, error["param"].as_str()), (400, Some("voice")), "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(voice) && message.contains(why), "{message}");
        assert!(!message.contains('/'), "folders are not the client's business: {message}");
    }
    assert_eq!(app.number("tiny-nano", "worker_restarts").await, 0, "a recording costs no worker");
}

/// The voices that are kept on disk.
fn kept(app: &TestApp) -> Vec<PathBuf> {
    let folder = app.dir.path().join("data/cache/tiny-nano/voices");
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("a folder").map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

async fn a_voice_is_made_once_and_survives_its_worker(app: &TestApp) {
    let emily = kept(app);
    assert_eq!(emily.len(), 1, "Emily has been made, and nobody else");
    let written = || fs::metadata(&emily[0]).map(|data| (data.ino(), data.mtime_nsec())).unwrap();
    let before = written();
    app.audio(&say("Oh my.", &json!({"voice": "Emily"}))).await;
    assert_eq!(written(), before, "it has been made once more");

    let bruno = app.audio(&say("Hi.", &json!({"voice": "Bruno"}))).await;
    assert_eq!(kept(app).len(), 2);
    let brunos = kept(app).into_iter().find(|path| *path != emily[0]).unwrap();
    // The next worker takes what is on disk for Emily, and does not listen to her recording.
    fs::copy(brunos, &emily[0]).unwrap();
    kill(app.workers()[0], "-9");
    let other = app.audio(&say("Hi.", &json!({"voice": "Emily"}))).await;
    assert!(other == bruno, "the voice on disk was not used");
}

async fn a_killed_worker_costs_nothing_but_time(app: &TestApp) {
    let body = say(LONG, &json!({}));
    let undisturbed = app.audio(&body).await;
    let mut response = app.speech(&body).await;
    let mut heard = Vec::new();
    while heard.len() <= HEADER {
        heard.extend(response.chunk().await.unwrap().expect("it goes on"));
    }
    let worker = app.workers()[0];
    kill(worker, "-9");
    while let Some(bytes) = response.chunk().await.expect("a complete answer") {
        heard.extend(bytes);
    }
    assert_ne!(app.workers(), [worker], "it was killed in the middle");
    assert!(heard == undisturbed, "{} bytes, undisturbed {}", heard.len(), undisturbed.len());
}

async fn an_uploaded_recording_sounds_like_one_in_the_folder(app: &TestApp) {
    let parts: [(&str, &[u8]); 2] = [("name", b"Her voice"), ("audio_sample", &recording(6.0, 220.0, 1.0))];
    let response = send_form(app, form(&parts)).await;
    assert_eq!(response.status(), 200);
    let emily = app.audio(&say("Hi.", &json!({"voice": "Emily"}))).await;
    let hers = app.audio(&say("Hi.", &json!({"voice": "her voice"}))).await;
    assert!(emily == hers, "it is the same sound");
}

async fn params_out_of_range_are_refused_by_name(app: &TestApp) {
    for (name, value) in [
        ("exaggeration", json!(9)),
        ("cfg_weight", json!(-0.1)),
        ("temperature", json!(0)),
        ("cfm_steps", json!(0)),
        ("cfm_steps", json!(2.5)),
        ("stream_tokens", json!("many")),
    ] {
        let (status, error) = error_of(app.speech(&say("Hi.", &json!({name: value}))).await).await;
        assert_eq!((status, error["param"].as_str()), (400, Some(name)), "{error}");
    }
}

async fn emotion_is_heard(app: &TestApp) {
    let quick = |emotion: f64| say("Hi.", &json!({"exaggeration": emotion, "cfm_steps": 1}));
    let calm = app.speech(&quick(0.25)).await;
    assert!(!calm.headers().contains_key("x-ignored-params"));
    assert!(calm.bytes().await.unwrap() != app.audio(&quick(2.0)).await, "it changed nothing");
}

async fn the_first_window_comes_before_the_chunk_is_done(app: &TestApp) {
    let done = app.number("tiny-english", "chunks_done").await;
    let mut response = app.speech(&say(LONG, &json!({"cfm_steps": 1, "cfg_weight": 0}))).await;
    let mut heard = 0;
    while heard <= HEADER {
        heard += response.chunk().await.unwrap().expect("it goes on").len();
    }
    assert_eq!(
        app.number("tiny-english", "chunks_done").await,
        done,
        "its first chunk is still being spoken"
    );
    while let Some(bytes) = response.chunk().await.expect("a complete answer") {
        heard += bytes.len();
    }
    assert_eq!(app.number("tiny-english", "chunks_done").await, done + 2);
    assert!(heard > HEADER + 2 * RATE as usize * 4, "{heard} bytes");
}

/// Nobody waits for the first sound of a later chunk, unless the client asks for pieces.
async fn only_the_first_chunk_is_rendered_in_pieces(app: &TestApp) {
    let mut spoken = Vec::new();
    for fields in [json!({}), json!({"stream_tokens": 25}), json!({"stream_tokens": 0})] {
        spoken.push(app.audio(&say(LONG, &fields)).await.slice(HEADER..));
    }
    let [default, pieces, whole] = spoken.try_into().expect("three");
    assert!(default.len() == pieces.len() && default.len() == whole.len(), "the same tokens each time");
    let same = |a: &Bytes, b: &Bytes| a.iter().zip(b).map(|(a, b)| a == b).collect::<Vec<_>>();
    let second = 2 * RATE as usize;
    let (beginning, end) = (..2 * second, default.len() - 2 * second..);
    let (like_pieces, like_whole) = (same(&default, &pieces), same(&default, &whole));
    assert!(like_pieces[beginning].iter().all(|same| *same), "the first chunk comes in pieces");
    assert!(like_whole[end.clone()].iter().all(|same| *same), "the second is rendered whole");
    assert!(like_pieces[end].contains(&false), "pieces are heard where they are asked for");
    assert!(like_whole[beginning].contains(&false), "the first is not rendered whole");
}

/// In windows and as a whole. What the words' times are worth shows with trained weights only.
async fn each_word_has_its_time(app: &TestApp) {
    for delivery in
        [json!({"response_format": "pcm", "stream_format": "sse"}), json!({"response_format": "json"})]
    {
        let (words, length) = if delivery["stream_format"] == "sse" {
            let mut body = say(LONG, &delivery);
            body["timestamps"] = json!(["word"]);
            let events = events(&app.audio(&body).await);
            (words(&events), sound(&events).len() as f64 / f64::from(2 * RATE))
        } else {
            let captions: Value = serde_json::from_slice(&app.audio(&say(LONG, &delivery)).await).unwrap();
            (captions["words"].as_array().unwrap().clone(), captions["duration"].as_f64().unwrap())
        };
        let names: Vec<_> = words.iter().map(|word| word["word"].as_str().unwrap()).collect();
        assert_eq!(names, ["Hello", "there", "Here", "I", "am"]);
        let mut now = 0.0;
        for word in &words {
            let (start, end) = (word["start"].as_f64().unwrap(), word["end"].as_f64().unwrap());
            assert!(now <= start && start < end && end <= length, "{word} after {now} s, of {length} s");
            now = end;
        }
    }
}
