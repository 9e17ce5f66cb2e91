//! `stentor doctor`: what is broken is named, with a way out, and the exit status says whether it matters.

use super::{PROGRAM, text};
use serde_json::Value;
use stentor_tests::app::Setup;

const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// Exit status and checks; `args` beside `--json`.
async fn doctor(setup: &Setup, args: &[&str]) -> (Option<i32>, Vec<Value>) {
    let output = setup.run(&[&["doctor", "--json"], args].concat()).await;
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", text(&output.stdout), text(&output.stderr)));
    let checks = report.as_array().expect("an array").clone();
    for check in &checks {
        let keys: Vec<_> = check.as_object().expect("objects").keys().map(String::as_str).collect();
        assert_eq!(keys.len(), 4, "{check}");
        assert!(check["name"].is_string() && check["detail"].is_string(), "{check}");
        assert!(["ok", "warn", "fail"].contains(&check["status"].as_str().expect("a status")), "{check}");
        assert!(check["remedy"].is_string() || check["remedy"].is_null(), "{check}");
    }
    (output.status.code(), checks)
}

/// The one check of that name, as it must be; gives its detail.
#[track_caller]
fn is(checks: &[Value], name: &str, status: &str) -> String {
    let named: Vec<_> = checks.iter().filter(|check| check["name"] == name).collect();
    let [check] = named[..] else { panic!("{} checks are called {name}: {checks:#?}", named.len()) };
    assert_eq!(check["status"], status, "{check}");
    assert!(status != "fail" || check["remedy"].is_string(), "a failure says what to do: {check}");
    check["detail"].as_str().expect("a detail").to_owned()
}

/// A model with one file, whose right content is `abc`.
fn with_files(content: &[u8]) -> Setup {
    let manifest = format!(
        "engine = \"fake\"\ntitle = \"t\"\nlicence = \"MIT\"\nlanguages = [\"en-us\"]\nvoice_kinds = [\"preset\"]\n\
         rank = -1\n[[files]]\nrole = \"weights\"\npath = \"w.pth\"\nsha256 = \"{ABC}\"\n\
         [voices]\ndefault = \"one\"\n[voices.names]\nen-us = [\"one\"]\n"
    );
    Setup::new(PROGRAM).file("models/mine.toml", manifest.as_bytes()).file("data/models/mine/w.pth", content)
}

#[tokio::test]
async fn a_healthy_server_passes_and_speaks_and_nothing_is_left_behind() {
    let setup = Setup::new(PROGRAM);
    let (code, checks) = doctor(&setup, &[]).await;
    assert_eq!(code, Some(0), "{checks:#?}");
    for name in ["configuration", "data directory", "port", "embedded files", "default voice", "host memory"]
    {
        is(&checks, name, "ok");
    }
    assert!(is(&checks, "speech", "ok").contains("spoke"));
    assert!(is(&checks, "default voice", "ok").contains("rms of model builtin"));
    let output = setup.run(&["doctor", "--no-speak"]).await;
    let words = text(&output.stdout);
    assert!(output.status.success() && words.contains("ok    port"), "{words}");
    assert!(!words.contains("a worker"), "it was told not to start one: {words}");
    let left = std::fs::read_dir(setup.path().join("data")).expect("the data directory").count();
    assert_eq!(left, 0, "files of probes");
}

#[tokio::test]
async fn a_port_in_use_is_a_failure_that_says_by_whom() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = other.local_addr().expect("its address").to_string();
    // It never answers, as a program that is no HTTP server.
    let setup = Setup::new(PROGRAM).arg("--listen", &address);
    let (code, checks) = doctor(&setup, &["--no-speak"]).await;
    assert_eq!(code, Some(1));
    let detail = is(&checks, "port", "fail");
    assert!(detail.contains(&address) && detail.contains("another program"), "{detail}");

    let app = Setup::new(PROGRAM).start().await;
    let address = app.base.strip_prefix("http://").expect("http").to_owned();
    let (_, checks) = doctor(&Setup::new(PROGRAM).arg("--listen", &address), &["--no-speak"]).await;
    let detail = is(&checks, "port", "fail");
    assert!(detail.contains("a stentor answers there (ready, model builtin)"), "{detail}");
}

#[tokio::test]
async fn the_port_for_home_assistant_is_looked_at_too() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = other.local_addr().expect("its address").to_string();
    let setup = Setup::new(PROGRAM).arg("--wyoming", &address);
    let (code, checks) = doctor(&setup, &["--no-speak"]).await;
    assert_eq!(code, Some(1));
    assert!(is(&checks, "wyoming port", "fail").contains(&address));
    drop(other);
    let (_, checks) = doctor(&setup, &["--no-speak"]).await;
    is(&checks, "wyoming port", "ok");

    let open = Setup::new(PROGRAM).arg("--wyoming", "0.0.0.0:0");
    let (_, checks) = doctor(&open, &["--no-speak"]).await;
    is(&checks, "wyoming port", "ok");
    let output = open
        .run_with(&["doctor", "--json", "--no-speak"], &[("STENTOR_API_KEYS", "secret-of-sixteen-letters")])
        .await;
    let checks: Vec<Value> = serde_json::from_slice(&output.stdout).expect("a report");
    assert!(is(&checks, "wyoming port", "warn").contains("without a key"));
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_a_failure() {
    // Also root can't write into a file as if it were a directory.
    let setup = Setup::new(PROGRAM).file("flat", b"x").file("data/chunks", b"x");
    let (code, checks) = doctor(&setup, &["--no-speak"]).await;
    assert_eq!(code, Some(1));
    is(&checks, "data directory", "ok");
    assert!(is(&checks, "chunks", "fail").contains("data/chunks"));
    let flat = setup.path().join("flat/data").display().to_string();
    let (code, checks) = doctor(&setup, &["--no-speak", "--data-dir", &flat]).await;
    assert_eq!(code, Some(1));
    assert!(is(&checks, "data directory", "fail").contains("flat/data"));
}

#[tokio::test]
async fn a_relative_data_directory_is_looked_at_where_it_lies() {
    let setup = Setup::new(PROGRAM);
    let here = std::env::current_dir().expect("a directory").canonicalize().expect("it is there");
    // From wherever tests run, down to the root and up again.
    let down = "../".repeat(here.components().count() - 1);
    let there = setup.path().canonicalize().expect("it is there").join("kept");
    std::fs::create_dir(&there).expect("writable");
    let relative = format!("{down}{}", there.strip_prefix("/").expect("absolute").display());
    let (code, checks) = doctor(&setup, &["--no-speak", "--data-dir", &relative]).await;
    assert_eq!(code, Some(0), "{checks:#?}");
    let told = is(&checks, "data directory", "ok");
    assert!(told.ends_with("can be written") && told.starts_with('/'), "it exists: {told}");
    assert!(is(&checks, "free space", "ok").contains("/kept"));
    let (_, checks) = doctor(&setup, &["--no-speak", "--data-dir", &format!("{relative}/new")]).await;
    assert!(is(&checks, "data directory", "ok").ends_with("new is made when it is needed"));
}

#[tokio::test]
async fn a_model_file_of_another_content_is_a_failure_that_names_it() {
    let (code, checks) = doctor(&with_files(b"abc"), &["--no-speak"]).await;
    assert_eq!(code, Some(0), "{checks:#?}");
    assert!(is(&checks, "model mine", "ok").contains("1 have the hash"));
    let setup = with_files(b"abx");
    let (code, checks) = doctor(&setup, &["--no-speak"]).await;
    assert_eq!(code, Some(1));
    let detail = is(&checks, "model mine", "fail");
    assert!(detail.contains("mine/w.pth") && detail.contains("sha256"), "{detail}");
    let (code, checks) = doctor(&setup, &["--no-speak", "--quick"]).await;
    assert_eq!(code, Some(0), "its content is not read");
    assert!(is(&checks, "model mine", "ok").contains("--quick"));
}

#[tokio::test]
async fn a_broken_voice_is_worth_a_warning_that_names_it() {
    let setup = Setup::new(PROGRAM).file("voices/Emily.wav", b"x").file("voices/Max.mp3", b"ID3");
    let (code, checks) = doctor(&setup, &["--no-speak"]).await;
    assert_eq!(code, Some(0), "{checks:#?}");
    assert!(is(&checks, "voice Emily.wav", "warn").contains("no audio file of a known kind"));
    let cut = is(&checks, "voice Max.mp3", "warn");
    assert!(cut.contains("damaged") || cut.contains("no audio file"), "{cut}");
    is(&checks, "voice files", "ok");
}

/// A recording of a tone.
fn recording(seconds: u32) -> Vec<u8> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 24_000,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    let mut bytes = std::io::Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut bytes, spec).expect("a writer in memory");
    for i in 0..seconds * 24_000 {
        writer.write_sample(0.5 * (i as f32 * 0.1).sin()).expect("a writer in memory");
    }
    writer.finalize().expect("a writer in memory");
    bytes.into_inner()
}

#[tokio::test]
async fn a_recording_too_short_for_a_model_is_worth_a_warning_that_names_the_model() {
    let manifest = |more: &str| {
        format!(
            "engine = \"fake\"\ntitle = \"t\"\nlicence = \"MIT\"\nlanguages = [\"en-us\"]\n\
             voice_kinds = [\"reference\"]\nrank = -1\n{more}\n"
        )
    };
    let setup = Setup::new(PROGRAM)
        .file("models/picky.toml", manifest("recording_over_secs = 6.0").as_bytes())
        .file("models/easy.toml", manifest("").as_bytes())
        .file("voices/Emily.wav", &recording(6))
        .file("voices/Max.wav", &recording(7));
    let (code, checks) = doctor(&setup, &["--no-speak"]).await;
    assert_eq!(code, Some(0), "{checks:#?}");
    let told = is(&checks, "voice Emily.wav", "warn");
    assert!(told.contains("it lasts 6.0 s, too short for picky (more than 6 s)"), "{told}");
    assert!(
        !told.contains("easy") && !checks.iter().any(|check| check["name"] == "voice Max.wav"),
        "{checks:#?}"
    );
}

#[tokio::test]
async fn a_model_that_cannot_be_loaded_is_a_failure_with_its_own_words() {
    let manifest = "engine = \"nothing\"\ntitle = \"t\"\nlicence = \"MIT\"\nlanguages = [\"en-us\"]\n\
                    voice_kinds = [\"preset\"]\n[voices]\ndefault = \"one\"\n[voices.names]\nen-us = [\"one\"]\n";
    let setup = Setup::new(PROGRAM).file("models/mine.toml", manifest.as_bytes()).arg("--model", "mine");
    let (code, checks) = doctor(&setup, &[]).await;
    assert_eq!(code, Some(1));
    assert!(is(&checks, "speech", "fail").contains("nothing"), "{checks:#?}");
}

#[tokio::test]
async fn a_missing_model_matters_only_where_it_was_asked_for() {
    let (code, checks) = doctor(&Setup::new(PROGRAM), &["--no-speak"]).await;
    assert_eq!(code, Some(0));
    assert!(is(&checks, "model kokoro", "ok").contains("stentor pull kokoro"));
    let setup = Setup::new(PROGRAM).arg("--model", "kokoro");
    let output = setup.run_with(&["doctor", "--no-speak"], &[("HF_HUB_OFFLINE", "1")]).await;
    let words = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    assert!(words.contains("FAIL  model kokoro") && words.contains("HF_HUB_OFFLINE"), "{words}");
}

#[tokio::test]
async fn files_that_nobody_can_fetch_are_asked_for_by_name_and_place() {
    let setup = with_files(b"abc").arg("--model", "mine");
    std::fs::remove_file(setup.path().join("data/models/mine/w.pth")).expect("it is there");
    let output = setup.run(&["doctor", "--no-speak"]).await;
    let words = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    let place = setup.path().join("data/models/mine").display().to_string();
    assert!(words.contains("FAIL  model mine") && words.contains("put w.pth into"), "{words}");
    assert!(words.contains(&place) && !words.contains("pull mine"), "{words}");
}

#[tokio::test]
async fn mistakes_in_configuration_and_manifests_are_checks_that_failed() {
    let (code, checks) = doctor(&Setup::new(PROGRAM).arg("--device", "tpu"), &[]).await;
    assert_eq!((code, checks.len()), (Some(1), 1));
    assert!(is(&checks, "configuration", "fail").contains("tpu"));
    let setup = Setup::new(PROGRAM).file("models/bad.toml", b"colour = 1\n");
    let (code, checks) = doctor(&setup, &[]).await;
    assert_eq!(code, Some(0), "another model speaks");
    assert!(is(&checks, "catalog", "warn").contains("bad.toml"));
    let (code, checks) = doctor(&setup.arg("--model", "bad"), &[]).await;
    assert_eq!(code, Some(1));
    assert!(is(&checks, "catalog", "fail").contains("bad.toml"));
    is(&checks, "port", "ok");
}
