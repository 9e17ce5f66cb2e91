//! Keys: made, kept as hashes, and never missing by mistake.

use super::{PROGRAM, text};
use serde_json::Value;
use stentor_tests::app::Setup;

#[tokio::test]
async fn a_new_key_is_told_to_its_maker_and_only_its_hash_goes_into_the_file() {
    let setup = Setup::new(PROGRAM);
    let made = setup.run(&["key", "alice"]).await;
    assert!(made.status.success(), "{}", text(&made.stderr));
    let (entry, told) = (text(&made.stdout), text(&made.stderr));
    let key = told.split_whitespace().find(|word| word.starts_with("sk-stentor-")).expect("the key");
    assert!(!entry.contains("sk-stentor-") && entry.starts_with("[keys.alice]\nsha256 = "), "{entry}");

    let setup = setup.file("keys.toml", entry.as_bytes());
    let check = setup.run(&["check", "--api-keys-file", "keys.toml", "--json"]).await;
    let found: Value = serde_json::from_slice(&check.stdout).expect("JSON");
    assert_eq!(found["settings"]["api_keys"], serde_json::json!(["alice"]));

    // As a file would look into which everything was written.
    let setup = setup.file("keys.toml", format!("# {key}\n{entry}").as_bytes());
    let check = setup.run(&["check", "--api-keys-file", "keys.toml"]).await;
    assert_eq!(check.status.code(), Some(2));
    let told = text(&check.stderr);
    assert!(told.contains("keys.toml: line 1 holds a key") && !told.contains(key), "{told}");
}

#[tokio::test]
async fn a_variable_of_keys_without_a_key_does_not_open_the_server() {
    let setup = Setup::new(PROGRAM);
    for (value, code) in [(",", 2), (" ", 2), ("", 0)] {
        let check = setup.run_with(&["check"], &[("STENTOR_API_KEYS", value)]).await;
        assert_eq!(check.status.code(), Some(code), "{value:?}: {}", text(&check.stderr));
        assert_eq!(text(&check.stderr).contains("STENTOR_API_KEYS: it holds no key"), code == 2, "{value:?}");
    }
}

#[tokio::test]
async fn an_address_for_others_without_a_key_is_worth_a_warning() {
    for (listen, keys, warned) in [
        ("0.0.0.0:0", "", true),
        ("[::]:0", "", true),
        ("127.0.0.1:0", "", false),
        ("0.0.0.0:0", "secret-of-sixteen-letters", false),
    ] {
        let setup = Setup::new(PROGRAM).arg("--listen", listen);
        let variables = [("STENTOR_API_KEYS", keys)];
        let check = setup.run_with(&["check", "--json"], &variables).await;
        let found: Value = serde_json::from_slice(&check.stdout).expect("JSON");
        assert_eq!(found["warnings"].to_string().contains("without a key"), warned, "{listen}: {found}");
        let doctor = setup.run_with(&["doctor", "--json", "--quick", "--no-speak"], &variables).await;
        let found: Vec<Value> = serde_json::from_slice(&doctor.stdout).expect("a report");
        let port = found.iter().find(|check| check["name"] == "port").expect("the port is looked at");
        assert_eq!(port["status"], if warned { "warn" } else { "ok" }, "{listen}: {port}");
    }
}
