//! The real program is not needed: shell scripts behave as it does, and as it should not.

use super::*;
use std::{fs, os::unix::fs::PermissionsExt, sync::MutexGuard, time::Instant};
use tempfile::TempDir;

/// A script that one test still holds open for writing must not be started while another test forks.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

struct Folder {
    folder: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Folder {
    fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// A program in a folder of its own, whose `--version` works and whose conversation is `body`.
fn fake(body: &str) -> (Folder, Espeak) {
    let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("espeak");
    let script =
        format!("#!/bin/sh\n[ \"$1\" = --version ] && exit 0\ncd '{}'\n{body}\n", folder.path().display());
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let espeak = Espeak::with_limit(EspeakMode::Program(path), Duration::from_millis(1500));
    (Folder { folder, _turn: turn }, espeak)
}

/// Answers each word with itself and "e^ɪ", an empty line with an empty line, as espeak-ng does.
const ECHO: &str = "echo x >> starts; while IFS= read -r line; do set -f; out=''; \
                    for word in $line; do out=\"$out ${word}e^ɪ\"; done; printf '%s\\n' \"$out\"; done";

fn spanish() -> Language {
    "es".parse().unwrap()
}

fn starts(folder: &Folder) -> usize {
    fs::read_to_string(folder.path().join("starts")).unwrap().lines().count()
}

#[test]
fn words_and_marks_come_back_in_place_from_one_process() {
    let (folder, espeak) = fake(ECHO);
    let text = "¿ola, mundo? [Kokoro](/kˈOkəɹO/) 'uno' (dos)…";
    let read = espeak.phonemize(text, &spanish()).unwrap();
    assert_eq!(read.text, "olaA, mundoA? kˈOkəɹO unoA (dosA)…");
    let words: Vec<&str> = read.words.iter().map(|word| &text[word.source.clone()]).collect();
    assert_eq!(words, ["ola", "mundo", "[Kokoro](/kˈOkəɹO/)", "uno", "dos"]);
    espeak.phonemize("ola", &spanish()).unwrap();
    assert_eq!(starts(&folder), 1, "the process is kept");
}

#[test]
fn a_process_that_died_is_started_again() {
    let (folder, espeak) = fake("echo x >> starts; IFS= read -r line; echo ola; IFS= read -r line; echo");
    for _ in 0..3 {
        assert_eq!(espeak.phonemize("ola", &spanish()).unwrap().text, "ola");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(starts(&folder), 3);
}

#[test]
fn silence_is_given_up_and_the_next_text_gets_a_new_process() {
    let (folder, espeak) = fake(&format!("[ -e slow ] && {{ rm slow; exec sleep 60; }}\n{ECHO}"));
    fs::write(folder.path().join("slow"), "").unwrap();
    let begun = Instant::now();
    let error = espeak.phonemize("ola", &spanish()).unwrap_err();
    assert!(matches!(&error, G2pError::Espeak(message) if message.contains("1500 ms")), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(espeak.phonemize("ola", &spanish()).unwrap().text, "olaA");
}

#[test]
fn a_crash_is_an_error_and_not_a_hang() {
    let (_folder, espeak) = fake("exit 3");
    let error = espeak.phonemize("ola", &spanish()).unwrap_err();
    assert!(matches!(&error, G2pError::Espeak(message) if message.contains("ended")), "{error}");
}

#[test]
fn garbage_is_not_passed_on() {
    let (_folder, espeak) =
        fake("while IFS= read -r line; do [ -n \"$line\" ] && printf '\\377\\376 42 %%%% \\n' || echo; done");
    let read = espeak.phonemize("ola mundo", &spanish()).unwrap();
    assert_eq!(read.text, "");
    assert!(!read.skipped.is_empty());
}

#[test]
fn endless_output_is_cut() {
    for body in [
        "while :; do printf 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'; done",
        "while :; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; done",
    ] {
        let (_folder, espeak) = fake(body);
        let error = espeak.phonemize("ola", &spanish()).unwrap_err();
        assert!(matches!(&error, G2pError::Espeak(_)), "{error}");
    }
}

#[test]
fn processes_end_with_their_owner_and_leave_no_zombie() {
    let (folder, espeak) = fake(&format!("echo $$ > pid\n{ECHO}"));
    espeak.phonemize("ola", &spanish()).unwrap();
    let pid = fs::read_to_string(folder.path().join("pid")).unwrap();
    let alive = |pid: &str| std::process::Command::new("/bin/kill").args(["-0", pid.trim()]).status();
    let alive =
        |pid: &str| alive(pid).map_or_else(|_| Path::new("/proc").join(pid.trim()).exists(), |s| s.success());
    assert!(alive(&pid));
    drop(espeak);
    assert!(!alive(&pid), "killed and reaped");
}

#[test]
fn words_that_do_not_match_one_to_one_keep_their_places() {
    // "21" is read as two words, as numbers are.
    let (_folder, espeak) =
        fake("while IFS= read -r line; do printf '%s\\n' \"$line\" | sed 's/21/vente una/'; done");
    let text = "son 21 kasas";
    let read = espeak.phonemize(text, &spanish()).unwrap();
    assert_eq!(
        espeak.phonemize("tɾes", &spanish()).unwrap().text,
        "tɾes",
        "the tap is a sound of its own in Spanish"
    );
    assert_eq!(read.text, "son vente una kasas");
    let chars: Vec<char> = read.text.chars().collect();
    let words: Vec<(&str, String)> = read
        .words
        .iter()
        .map(|word| (&text[word.source.clone()], chars[word.phonemes.clone()].iter().collect()))
        .collect();
    assert_eq!(
        words,
        [("son", "son".to_owned()), ("21", "vente una".to_owned()), ("kasas", "kasas".to_owned())]
    );
}

#[test]
fn what_is_missing_is_named() {
    let gone = Espeak::new(EspeakMode::Program("/nonexistent/espeak".into()));
    let off = Espeak::new(EspeakMode::Off);
    for espeak in [&gone, &off] {
        assert!(espeak.languages().is_empty());
        let error = espeak.phonemize("hola", &spanish()).unwrap_err().to_string();
        assert!(error.contains("`es`") && error.contains("install the program espeak-ng"), "{error}");
    }
    let (_folder, espeak) = fake(ECHO);
    assert_eq!(espeak.languages().len(), 5);
    let error = espeak.phonemize("x", &"tlh".parse().unwrap()).unwrap_err();
    assert!(matches!(error, G2pError::UnsupportedLanguage { .. }));
}

#[test]
fn any_text_is_cut_into_lines_that_fit() {
    let (_folder, espeak) = fake(ECHO);
    let long = format!("{} {}", "palabra ".repeat(200), "x".repeat(1500));
    for text in [long.as_str(), "a\nb\0c\r\n", "", "…", "«»¿¡", "[x](/", "[é é](x) ok", "\u{1F600}"] {
        let read = espeak.phonemize(text, &spanish()).unwrap();
        assert!(read.text.chars().all(symbols::is_known), "{text}");
    }
    assert_eq!(espeak.phonemize("a\nb", &spanish()).unwrap().words.len(), 2);
}
