//! Voices that clients bring: complete or not there, usable at once, and gone when they are deleted.

use super::{FORM, PROGRAM, fake, form, say, send_form as send};
use reqwest::Response;
use serde_json::{Value, json};
use std::{fs, path::PathBuf, time::Duration};
use stentor_tests::{
    TestApp,
    app::{Setup, error_of},
    process::kill,
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

const NOTHING: [PathBuf; 0] = [];

/// A tone, neither silent nor overdriven.
fn recording(seconds: f32) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::new(&mut bytes, spec).expect("a writer in memory");
    for i in 0..(seconds * 16_000.0) as usize {
        let sample = (8000.0 * (i as f32 * 0.1).sin()) as i16;
        writer.write_sample(sample).expect("a writer in memory");
        writer.write_sample(sample).expect("a writer in memory");
    }
    writer.finalize().expect("a writer in memory");
    bytes.into_inner()
}

async fn upload(app: &TestApp, name: &str, sample: &[u8]) -> Response {
    send(app, form(&[("name", name.as_bytes()), ("audio_sample", sample), ("consent", b"cons_1")])).await
}

/// Uploads a voice that must be taken and gives its object.
pub(super) async fn uploaded(app: &TestApp, name: &str) -> Value {
    let response = upload(app, name, &recording(6.0)).await;
    assert_eq!(response.status(), 200);
    response.json().await.expect("JSON")
}

fn id_of(voice: &Value) -> String {
    voice["id"].as_str().expect("an id").to_owned()
}

async fn delete(app: &TestApp, id: &str) -> Response {
    app.client.delete(format!("{}/v1/audio/voices/{id}", app.base)).send().await.expect("an answer")
}

/// Everything in the folder of uploads, hidden or not.
fn stored(app: &TestApp) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(app.dir.path().join("data/uploads")) else { return Vec::new() };
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

async fn listed(app: &TestApp) -> Vec<String> {
    let list = app.get_json("/v1/audio/voices").await;
    list["voices"].as_array().expect("voices").iter().map(id_of).collect()
}

#[tokio::test]
async fn an_uploaded_voice_speaks_at_once_under_id_object_and_name() {
    let app = fake().await;
    let voice = uploaded(&app, "  Émilie du Châtelet ").await;
    let id = id_of(&voice);
    assert!(id.starts_with("voice_") && id.len() > 20, "{voice}");
    assert_eq!(
        (&voice["object"], &voice["name"], &voice["uploaded"], &voice["models"]),
        (&json!("audio.voice"), &json!("Émilie du Châtelet"), &json!(true), &json!(["fake"]))
    );
    assert!(voice["created_at"].as_i64().expect("a time") > 1_600_000_000, "{voice}");
    // The last one is decomposed and in other letters.
    let names = [
        json!(id),
        json!({"id": id}),
        json!("Émilie du Châtelet.wav"),
        json!("Émilie du Châtelet"),
        json!("e\u{301}MILIE DU CHA\u{302}TELET"),
    ];
    for name in names {
        let response = app.speech(&json!({"input": "Hello.", "voice": name})).await;
        assert_eq!(response.status(), 200, "{name}");
        assert_eq!(response.headers()["x-voice"], id.as_str(), "{name}");
    }
    assert!(listed(&app).await.contains(&id));
    let shown = app.get_json(&format!("/v1/audio/voices/{id}")).await;
    assert_eq!(shown, voice);
    // It is a mean of channels, as sound only.
    let kept = hound::WavReader::open(app.dir.path().join(format!("data/uploads/{id}/recording.wav")));
    let kept = kept.expect("a WAV file");
    assert_eq!((kept.spec().channels, kept.spec().sample_rate, kept.duration()), (1, 16_000, 96_000));
}

#[tokio::test]
async fn a_voice_is_there_after_a_restart_and_what_was_left_unfinished_is_not() {
    let setup = Setup::new(PROGRAM).with_fake_model();
    let (wav, toml) = (recording(6.0), b"name = \"Emily\"\ncreated_at = 1700000000\n");
    let setup = setup
        .file("data/uploads/voice_1/recording.wav", &wav)
        .file("data/uploads/voice_1/voice.toml", toml)
        .file("data/uploads/.new-voice_2/sample", b"half of")
        .file("data/uploads/voice_3/recording.wav", &wav)
        .file("data/uploads/voice_3/.deleted", toml);
    let app = setup.start().await;
    let response = app.speech(&json!({"input": "Hello.", "voice": "Emily"})).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-voice"]),
        (200, &"voice_1".parse().expect("text"))
    );
    let left = stored(&app);
    assert!(left.len() == 1 && left[0].ends_with("voice_1"), "{left:?}");
}

#[tokio::test]
async fn uploaded_voices_are_their_owners_alone_also_where_folders_were_open() {
    use std::os::unix::fs::PermissionsExt as _;
    let setup = Setup::new(PROGRAM).with_fake_model();
    let setup = setup
        .file("data/uploads/voice_1/recording.wav", &recording(6.0))
        .file("data/uploads/voice_1/voice.toml", b"name = \"Emily\"\ncreated_at = 1700000000\n");
    let uploads = setup.path().join("data/uploads");
    for open in [uploads.clone(), uploads.join("voice_1")] {
        fs::set_permissions(open, fs::Permissions::from_mode(0o755)).expect("ours");
    }
    let app = setup.start().await;
    let new = uploads.join(id_of(&uploaded(&app, "Max").await));
    let mode = |path: &PathBuf| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    for folder in [uploads.clone(), uploads.join("voice_1"), new.clone()] {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
    }
    for folder in [uploads.join("voice_1"), new] {
        for name in ["recording.wav", "voice.toml"] {
            assert_eq!(mode(&folder.join(name)), 0o600, "{name} in {}", folder.display());
        }
    }
}

#[tokio::test]
async fn bad_recordings_are_refused_with_the_reason_and_leave_nothing() {
    let app = Setup::new(PROGRAM).with_fake_model().arg("--max-voice-seconds", "8").start().await;
    let wav = recording(6.0);
    let silence = [&wav[..44], &vec![0; wav.len() - 44]].concat();
    let rows: [(&[u8], &str); 6] = [
        (b"a letter to a friend, in so many words", "no audio file"),
        (&wav[..20], "cut off or damaged"),
        (&recording(0.5), "too short"),
        (&recording(9.0), "it lasts 9 s, at most 8 s"),
        (&silence, "silent"),
        (b"GIF89a\x01\x00\x01\x00", "no audio file"),
    ];
    for (sample, why) in rows {
        let (status, error) = error_of(upload(&app, "Emily", sample).await).await;
        assert_eq!((status, error["param"].as_str()), (400, Some("audio_sample")), "{why}: {error}");
        let message = error["message"].as_str().expect("a message");
        assert!(message.contains(why), "{message}");
        assert!(!message.contains("uploads"), "folders are not the client's business: {message}");
        assert_eq!(stored(&app), NOTHING, "{why}");
    }
    assert_eq!(listed(&app).await, ["one", "two"]);
    uploaded(&app, "Emily").await;
}

#[tokio::test]
async fn a_form_that_lacks_something_or_is_none_is_refused() {
    let app = fake().await;
    let wav = recording(2.0);
    let rows: [(Vec<u8>, &str, &str); 5] = [
        (form(&[("audio_sample", &wav)]), "name", "missing_field"),
        (form(&[("name", b"Emily")]), "audio_sample", "missing_field"),
        (form(&[("name", b"\xff"), ("audio_sample", &wav)]), "name", "invalid_value"),
        (form(&[("name", b"E"), ("audio_sample", &wav), ("language", b"!")]), "language", "invalid_value"),
        (form(&[("name", b"E"), ("name", b"F"), ("audio_sample", &wav)]), "name", "invalid_value"),
    ];
    for (body, param, code) in rows {
        let (status, error) = error_of(send(&app, body).await).await;
        assert_eq!((status, error["param"].as_str(), error["code"].as_str()), (400, Some(param), Some(code)));
    }
    let (status, error) = error_of(app.post("/v1/audio/voices", &json!({"name": "Emily"})).await).await;
    assert_eq!((status, error["code"].as_str()), (415, Some("unsupported_media_type")), "{error}");
    let extra = form(&[("name", b"Emily"), ("audio_sample", &wav), ("colour", b"red")]);
    assert_eq!(send(&app, extra).await.headers()["x-ignored-params"], "colour");
}

#[tokio::test]
async fn names_that_look_like_paths_or_mean_a_voice_already_are_refused() {
    let app = Setup::new(PROGRAM).with_fake_model().file("voices/Carol.wav", &recording(2.0)).start().await;
    for name in
        ["../../etc/passwd", "/etc/passwd", "..", "http://127.0.0.1/a", "a\\b", "a\0b", "a\u{202e}b", " "]
    {
        let (status, error) = error_of(upload(&app, name, &recording(2.0)).await).await;
        assert_eq!((status, error["param"].as_str()), (400, Some("name")), "{name:?}: {error}");
    }
    let id = id_of(&uploaded(&app, "Emily").await);
    for name in
        ["Emily", "EMILY", "emily.wav", "alloy", "Nova", "one", "carol", "Carol.mp3", "slt", "female", &id]
    {
        let response = upload(&app, name, &recording(2.0)).await;
        assert_eq!(response.headers().get("x-should-retry").expect(name), "false");
        let (status, error) = error_of(response).await;
        assert_eq!((status, error["code"].as_str()), (409, Some("voice_exists")), "{name}: {error}");
    }
    assert_eq!(stored(&app).len(), 1);
}

#[tokio::test]
async fn of_two_uploads_of_one_name_at_once_one_wins() {
    let app = fake().await;
    let sample = recording(2.0);
    let (a, b) = tokio::join!(upload(&app, "Emily", &sample), upload(&app, "Emily", &sample));
    let mut statuses = [a.status().as_u16(), b.status().as_u16()];
    statuses.sort_unstable();
    assert_eq!((statuses, stored(&app).len()), ([200, 409], 1));
}

#[tokio::test]
async fn sizes_and_numbers_have_limits() {
    let setup = Setup::new(PROGRAM).with_fake_model().arg("--max-voice-mib", "1").arg("--max-voices", "1");
    let app = setup.start().await;
    for size in [(1 << 20) + 1, 3 << 20] {
        let (status, error) = error_of(upload(&app, "Emily", &vec![0; size]).await).await;
        assert_eq!((status, error["code"].as_str()), (413, Some("body_too_large")), "{size}: {error}");
        assert_eq!(error["param"], "audio_sample", "{size}: {error}");
    }
    let junk = vec![0; 3 << 20];
    for parts in [[("x", &junk[..]), ("audio_sample", b"sound")], [("audio_sample", b"sound"), ("x", &junk)]]
    {
        let (status, error) = error_of(send(&app, form(&parts)).await).await;
        assert_eq!((status, &error["param"]), (413, &Value::Null), "{error}");
    }
    uploaded(&app, "Emily").await;
    let (status, error) = error_of(upload(&app, "Bruno", &recording(2.0)).await).await;
    assert_eq!((status, error["code"].as_str()), (409, Some("too_many_voices")), "{error}");
    assert_eq!(stored(&app).len(), 1);
}

/// The client leaves in the middle of its body, or stops sending.
#[tokio::test]
async fn a_body_that_is_cut_leaves_nothing() {
    let app = Setup::new(PROGRAM).with_fake_model().arg("--body-timeout", "1").keep_log().start().await;
    let body = form(&[("name", b"Emily"), ("audio_sample", &recording(6.0))]);
    let head = format!(
        "POST /v1/audio/voices HTTP/1.1\r\nhost: x\r\ncontent-type: {FORM}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let send_half = async || {
        let mut stream = TcpStream::connect(app.address()).await.expect("a connection");
        stream.write_all(head.as_bytes()).await.expect("it is open");
        stream.write_all(&body[..body.len() / 2]).await.expect("it is open");
        stream
    };
    drop(send_half().await);
    let waiting = send_half().await;
    app.wait_for_log(&["408"], 1).await;
    drop(waiting);
    assert_eq!(stored(&app), NOTHING);
    assert_eq!(listed(&app).await, ["one", "two"]);
    uploaded(&app, "Emily").await;
}

#[tokio::test]
async fn a_disk_that_does_not_take_it_is_told_and_nothing_is_left() {
    let app =
        Setup::new(PROGRAM).with_fake_model().file("data/uploads", b"a file is in the way").start().await;
    let (status, error) = error_of(upload(&app, "Emily", &recording(2.0)).await).await;
    assert_eq!((status, error["code"].as_str()), (500, Some("storage_failed")), "{error}");
    assert!(!error["message"].as_str().expect("a message").contains('/'), "{error}");
    assert_eq!(listed(&app).await, ["one", "two"]);
    app.audio(&say("Hello.")).await;
    fs::remove_file(app.dir.path().join("data/uploads")).expect("it can be removed");
    uploaded(&app, "Emily").await;
}

/// Also when the worker that has heard the voice dies meanwhile, and the next one needs its recording.
#[tokio::test]
async fn a_voice_that_is_deleted_in_the_middle_of_a_request_speaks_to_its_end() {
    let app = fake().await;
    let id = id_of(&uploaded(&app, "Emily").await);
    let mut body = super::slow(3);
    body["voice"] = json!(id);
    body["cache"] = json!(false);
    let undisturbed = app.audio(&body).await;

    let mut response = app.speech(&body).await;
    let mut heard = response.chunk().await.expect("sound").expect("sound").to_vec();
    let deleted = delete(&app, &id).await;
    assert_eq!(deleted.status(), 200);
    let object: Value = deleted.json().await.expect("JSON");
    assert_eq!(object, json!({"id": id, "object": "audio.voice.deleted", "deleted": true}));
    let recording = app.dir.path().join(format!("data/uploads/{id}/recording.wav"));
    assert!(recording.exists(), "somebody speaks with it");
    kill(app.workers()[0], "-9");
    for name in [id.as_str(), "Emily"] {
        let (status, error) = app.error(&json!({"input": "Hi.", "voice": name})).await;
        assert_eq!((status, error["code"].as_str()), (400, Some("voice_not_found")), "{error}");
    }
    while let Some(bytes) = response.chunk().await.expect("a complete answer") {
        heard.extend(bytes);
    }
    assert!(heard == undisturbed, "{} bytes, undisturbed {}", heard.len(), undisturbed.len());
    for _ in 0..500 {
        if stored(&app).is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(stored(&app), NOTHING, "it goes with the last who used it");
    uploaded(&app, "Emily").await;
}

#[tokio::test]
async fn only_uploaded_voices_can_be_deleted_and_unknown_ones_are_not_found() {
    let app = Setup::new(PROGRAM).with_fake_model().file("voices/Carol.wav", &recording(2.0)).start().await;
    uploaded(&app, "Emily").await;
    for id in ["Carol", "one", "slt"] {
        let (status, error) = error_of(delete(&app, id).await).await;
        assert_eq!((status, error["code"].as_str()), (403, Some("forbidden")), "{id}: {error}");
    }
    // Ids only, for a name may come to mean another voice.
    for id in ["Emily", "voice_0", "..", "%2e%2e%2fvoices%2fCarol.wav", "%00", "Carol.wav", "%F0%9F%8E%99"] {
        for response in [delete(&app, id).await, app.get(&format!("/v1/audio/voices/{id}")).await] {
            let (status, error) = error_of(response).await;
            assert!(matches!(status, 404 | 405), "{id}: {status} {error}");
        }
    }
    assert_eq!(error_of(delete(&app, "%ff").await).await.0, 400);
    assert!(app.dir.path().join("voices/Carol.wav").exists());
    assert_eq!(stored(&app).len(), 1);
}

#[tokio::test]
async fn a_voice_that_no_model_can_use_is_listed_as_such_and_can_be_deleted() {
    let app = super::builtin().await;
    let voice = uploaded(&app, "Emily").await;
    assert_eq!(voice["models"], json!([]), "nobody can speak with it here");
    assert!(voice["notes"].to_string().contains("no model"), "{voice}");
    let id = id_of(&voice);
    let list = app.get_json("/v1/audio/voices").await;
    let found = list["voices"].as_array().expect("voices").iter().find(|voice| voice["id"] == id.as_str());
    let found = found.unwrap_or_else(|| panic!("it is listed: {list}"));
    assert_eq!((&found["name"], &found["models"]), (&json!("Emily"), &json!([])));
    // Where one asks who can speak, it is not.
    for path in ["/v1/audio/voices?model=builtin", "/v1/audio/voices?legacy=true", "/v1/models/builtin"] {
        let shown = app.get_json(path).await.to_string();
        assert!(!shown.contains(&id) && !shown.contains("Emily"), "{path}: {shown}");
    }
    let (status, error) = app.error(&json!({"input": "Hi.", "voice": "Emily"})).await;
    assert_eq!((status, error["code"].as_str()), (400, Some("voice_not_supported")), "{error}");
    assert_eq!(delete(&app, &id).await.status(), 200);
    assert!(!listed(&app).await.contains(&id));
}

#[tokio::test]
async fn clients_that_take_a_voice_for_a_string_get_the_name_of_an_uploaded_one() {
    let app = fake().await;
    let id = id_of(&uploaded(&app, "Emily").await);
    let legacy = app.get_json("/v1/audio/voices?legacy=true").await;
    let strings = legacy["voices"].as_array().expect("voices");
    assert!(strings.contains(&json!("Emily")) && !strings.contains(&json!(id)), "{legacy}");
    let model = app.get_json("/v1/models/fake").await;
    let names = model["voices"].as_array().expect("voices");
    assert!(names.contains(&json!({"name": "Emily"})) && !names.contains(&json!({"name": id})), "{model}");
    for name in strings {
        assert_eq!(app.speech(&json!({"input": "Hello.", "voice": name})).await.status(), 200, "{name}");
    }
}

#[tokio::test]
async fn a_server_can_take_no_voices_at_all() {
    let app = Setup::new(PROGRAM).with_fake_model().arg("--max-voices", "0").start().await;
    let (status, error) = error_of(upload(&app, "Emily", &recording(2.0)).await).await;
    assert_eq!((status, error["code"].as_str()), (403, Some("forbidden")), "{error}");
}

/// Whoever reads the log for errors must not be woken by what a client took for a recording.
#[tokio::test]
async fn a_file_that_is_no_recording_is_no_error_in_the_log() {
    let app = Setup::new(PROGRAM).with_fake_model().keep_log().start().await;
    for content in [&b"no sound at all"[..], b"RIFF\x20\0\0\0WEBPVP8 ", &[0xff; 300], b"{}"] {
        let response = send(&app, form(&[("name", b"Emily"), ("audio_sample", content)])).await;
        assert_eq!(response.status(), 400);
    }
    assert_eq!(app.logged(&["ERROR"]), [""; 0]);
    assert_eq!(app.logged(&["answered", "status=400"]).len(), 4, "the log is kept");
}

#[tokio::test]
async fn a_base_url_without_v1_answers_the_same() {
    let app = fake().await;
    let body = json!({"input": "Dr. Smith."});
    let [with, without] = ["/v1/audio/phonemize", "/audio/phonemize"].map(|path| app.post(path, &body));
    let with: Value = with.await.json().await.expect("JSON");
    assert_eq!(without.await.json::<Value>().await.expect("JSON"), with);
    assert_eq!(with["object"], "phonemes");
    let upload = app.client.post(format!("{}/audio/voices", app.base)).header("content-type", FORM);
    let sample = recording(6.0);
    let upload = upload.body(form(&[("name", b"Emily"), ("audio_sample", &sample)])).send();
    let voice: Value = upload.await.expect("an answer").json().await.expect("JSON");
    assert_eq!(voice["name"], "Emily", "{voice}");
    let one = format!("/audio/voices/{}", id_of(&voice));
    for path in ["/models", "/audio/models", "/audio/voices", &one] {
        assert_eq!(app.get_json(path).await, app.get_json(&format!("/v1{path}")).await, "{path}");
    }
    assert_eq!(
        app.client.delete(format!("{}{one}", app.base)).send().await.expect("an answer").status(),
        200
    );
    assert_eq!(stored(&app), NOTHING);
}
