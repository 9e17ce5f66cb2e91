//! The command line as its users see it.

mod doctor;
mod keys;

use serde_json::Value;
use std::process::Output;
use stentor_tests::{
    app::Setup,
    measure::{assert_is_speech, hear},
};
use stentor_types::AudioFormat;

const PROGRAM: &str = env!("CARGO_BIN_EXE_stentor-under-test");

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs `say` into `out.wav` and gives the process's result and the file, if there is one.
async fn say(setup: &Setup, args: &[&str]) -> (Output, Option<Vec<u8>>) {
    let file = setup.path().join("out.wav");
    drop(std::fs::remove_file(&file));
    let output = setup.run(&[&["say", "-o", "out.wav"], args].concat()).await;
    (output, std::fs::read(file).ok())
}

#[tokio::test]
async fn say_writes_a_greeting_with_true_sizes() {
    let setup = Setup::new(PROGRAM);
    let (output, wav) = say(&setup, &["Good morning, everyone."]).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    let wav = wav.expect("a file");
    assert_eq!(u32::from_le_bytes(wav[4..8].try_into().unwrap()) as usize, wav.len() - 8);
    assert_is_speech(hear(AudioFormat::Wav, &wav), 23);
}

#[tokio::test]
async fn say_writes_captions_where_the_file_is_named_so() {
    let setup = Setup::new(PROGRAM);
    let words = "Good morning, everyone. The sea is calm today!";
    for (name, head) in [("words.srt", "1\n00:00:00,"), ("words.VTT", "WEBVTT\n\n00:00:00.")] {
        let (output, _) = say(&setup, &[words, "--timings", name]).await;
        assert!(output.status.success(), "{}", text(&output.stderr));
        let captions = std::fs::read_to_string(setup.path().join(name)).unwrap();
        assert!(captions.starts_with(head), "{captions}");
        let shown: Vec<_> = captions.lines().filter(|line| line.contains(char::is_alphabetic)).collect();
        assert!(shown.join(" ").ends_with(words), "{captions}");
    }
}

#[tokio::test]
async fn say_reads_numbers_aloud_and_tells_when_each_word_is_spoken() {
    let setup = Setup::new(PROGRAM);
    let words = "In 1984, Dr. Léa Lee paid $2.5 million for 3/4 of the company.";
    let (output, wav) = say(&setup, &[words, "--timings", "words.json"]).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    let seconds = hear(AudioFormat::Wav, &wav.expect("a file")).seconds;
    let timings: Value =
        serde_json::from_slice(&std::fs::read(setup.path().join("words.json")).unwrap()).unwrap();
    let duration = timings["duration"].as_f64().unwrap();
    assert!((duration - seconds).abs() < 0.1, "{duration} of {seconds} s");
    let timings = timings["words"].as_array().unwrap();
    let spoken: Vec<_> = timings.iter().map(|timing| timing["word"].as_str().unwrap()).collect();
    for word in ["1984", "Lee", "$2.5", "million", "3/4", "company"] {
        assert!(spoken.contains(&word), "{word} is not among {spoken:?}");
    }
    let mut before = 0.0;
    for timing in timings {
        let (start, end) = (timing["start"].as_f64().unwrap(), timing["end"].as_f64().unwrap());
        assert!(before <= start && start < end && end <= seconds + 0.05, "{timing} in {seconds} s");
        before = start;
        let place = |key: &str| timing[key].as_u64().unwrap() as usize;
        let (from, to) = (place("start_char"), place("end_char"));
        let there: String = words.chars().skip(from).take(to - from).collect();
        assert_eq!(there, timing["word"].as_str().unwrap());
    }
    assert!(before > seconds * 0.7, "the last word starts at {before} of {seconds} s");
}

/// As `response_format` does over HTTP; without a sound.
#[tokio::test]
async fn say_writes_only_captions_where_the_output_is_named_so() {
    let setup = Setup::new(PROGRAM);
    let words = "Good morning, everyone.";
    for (args, head) in [
        (["-o", "words.srt"], "1\n00:00:00,"),
        (["-o", "words.VTT"], "WEBVTT\n\n00:00:00."),
        (["-o", "words.json"], "{\"words\":["),
    ] {
        let output = setup.run(&[&["say", words], &args[..]].concat()).await;
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(text(&output.stdout).trim(), args[1]);
        let captions = std::fs::read_to_string(setup.path().join(args[1])).unwrap();
        assert!(captions.starts_with(head) && captions.contains("everyone"), "{captions}");
    }
    let output = setup.run(&["say", words, "-o", "-", "--format", "srt"]).await;
    assert!(text(&output.stdout).contains("Good morning, everyone."), "{}", text(&output.stderr));
}

#[tokio::test]
async fn timings_go_to_standard_output_where_it_is_asked_for_and_free() {
    let setup = Setup::new(PROGRAM);
    let (output, wav) = say(&setup, &["Good morning.", "--timings", "-"]).await;
    assert!(output.status.success() && wav.is_some(), "{}", text(&output.stderr));
    let timings: Value = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
    assert_eq!(timings["words"][1]["word"], "morning");
    assert!(!setup.path().join("-").exists());
    let output = setup.run(&["say", "Hello.", "-o", "-", "--timings", "-"]).await;
    assert!(!output.status.success() && output.stdout.is_empty());
    assert!(text(&output.stderr).contains("standard output"), "{}", text(&output.stderr));
}

#[tokio::test]
async fn say_speaks_a_chapter_from_a_file() {
    let sentence = "The keeper of the old lighthouse walked down to the shore and looked at the sea. ";
    let setup = Setup::new(PROGRAM).with_fake_model().file("chapter.txt", sentence.repeat(250).as_bytes());
    let (output, wav) = say(&setup, &["--file", "chapter.txt"]).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(hear(AudioFormat::Wav, &wav.expect("a file")).seconds > 10.0);
}

#[tokio::test]
async fn say_refuses_what_cannot_be_spoken_and_leaves_no_file() {
    let setup = Setup::new(PROGRAM).file("long.txt", "word ".repeat(420_000).as_bytes());
    let rows: [(&[&str], &str); 7] = [
        (&["🎉🎉"], "can be spoken"),
        (&["   "], "empty"),
        (&["--file", "long.txt"], "1048576"),
        (&["--language", "tlh", "nuqneH"], "tlh"),
        (&["-v", "nobody", "Hello."], "nobody"),
        (&["--speed", "9", "Hello."], "speed"),
        (&["--file", "missing.txt"], "missing.txt"),
    ];
    for (args, told) in rows {
        let (output, file) = say(&setup, args).await;
        assert!(!output.status.success() && file.is_none(), "{args:?}");
        let message = text(&output.stderr);
        assert!(message.contains(told) && !message.contains("panicked"), "{args:?}: {message}");
    }
    let left: Vec<_> = std::fs::read_dir(setup.path()).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(left.len(), 4, "data, models, voices and the text, nothing half-done: {left:?}");
}

#[tokio::test]
async fn listings_and_check_print_json_on_request() {
    let setup = Setup::new(PROGRAM).file("voices/Emily.wav", b"x").file("voices/Emily.mp3", b"x");
    let json = async |args: &[&str]| -> Value {
        let output = setup.run(args).await;
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{args:?}: {}", text(&output.stderr)))
    };
    let voices = json(&["voices", "--json"]).await;
    assert_eq!(voices["voices"][0]["id"], "rms");
    let models = json(&["models", "--json"]).await;
    assert_eq!(models["default"], "builtin");
    let check = json(&["check", "--json"]).await;
    assert!(
        check["warnings"].as_array().unwrap().iter().any(|w| w.as_str().unwrap().contains("Emily")),
        "{check}"
    );
    assert_eq!(check["problems"], serde_json::json!([]));
}

#[tokio::test]
async fn a_mistake_in_the_configuration_is_told_with_every_other_one() {
    let setup = Setup::new(PROGRAM).arg("--device", "tpu").arg("--max-waiting", "0");
    let output = setup.run(&["check"]).await;
    assert_eq!(output.status.code(), Some(2));
    let message = text(&output.stderr);
    assert!(message.contains("device") && message.contains("max_waiting"), "{message}");
}

#[tokio::test]
async fn healthcheck_follows_the_server() {
    let app = Setup::new(PROGRAM).start().await;
    let address = app.base.strip_prefix("http://").unwrap().to_owned();
    let check = async |address: &str| {
        let mut command = tokio::process::Command::new(PROGRAM);
        command.args(["healthcheck", "--listen", address]).output().await.unwrap().status.success()
    };
    assert!(check(&address).await);
    drop(app);
    assert!(!check(&address).await);
}

#[tokio::test]
async fn say_writes_into_a_pipe_and_never_replaces_a_device() {
    let setup = Setup::new(PROGRAM);
    let output = setup.run(&["say", "-o", "/dev/stdout", "--format", "pcm", "Hello."]).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(output.stdout.len() > 24_000, "{} bytes", output.stdout.len());
    let output = setup.run(&["say", "-o", "-", "--format", "pcm", "--seed", "-1", "-5 degrees."]).await;
    assert!(output.status.success() && output.stdout.len() > 24_000, "{}", text(&output.stderr));
}

#[tokio::test]
async fn say_keeps_the_permissions_of_a_file_that_it_replaces_and_follows_links() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let setup = Setup::new(PROGRAM).file("private.wav", b"old");
    let private = setup.path().join("private.wav");
    std::fs::set_permissions(&private, std::fs::Permissions::from_mode(0o600)).unwrap();
    symlink("private.wav", setup.path().join("out.wav")).unwrap();
    let output = setup.run(&["say", "-o", "out.wav", "Hello."]).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(std::fs::symlink_metadata(setup.path().join("out.wav")).unwrap().is_symlink());
    assert!(std::fs::metadata(&private).unwrap().len() > 1000);
    assert_eq!(std::fs::metadata(&private).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn pull_without_a_network_fails_soon_and_says_why() {
    let setup = Setup::new(PROGRAM);
    for args in [&["pull", "kokoro"][..], &["pull", "kokoro", "--only-voices", "af_heart,af_bella"]] {
        let output = setup.run_with(args, &[("HF_HUB_OFFLINE", "1")]).await;
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(text(&output.stderr).contains("HF_HUB_OFFLINE"), "{}", text(&output.stderr));
    }
}

#[tokio::test]
async fn an_empty_variable_equals_an_absent_one() {
    let output =
        Setup::new(PROGRAM).run_with(&["models"], &[("STENTOR_MODEL", ""), ("STENTOR_DEVICE", "")]).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
}
