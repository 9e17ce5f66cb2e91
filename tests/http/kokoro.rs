//! Kokoro at full size through HTTP, from files as `stentor pull` leaves them. The weights are a hash: the sound is
//! noise, but every layer of the real size runs, from the published checkpoint layout.

use super::PROGRAM;
use serde_json::json;
use std::{fs, time::Duration};
use stentor_testkit::pth::{write_kokoro, write_voice};
use stentor_tests::{TestApp, app::Setup};
use tokio::time::{Instant, sleep};

/// The published configuration; its source is named beside it.
const CONFIG: &[u8] = include_bytes!("../../crates/stentor-engine-kokoro/tests/golden/kokoro-config.json");

async fn start() -> TestApp {
    // What candle would go by.
    let setup = Setup::new(PROGRAM).variable("RAYON_NUM_THREADS", "4");
    let setup = setup.file("data/models/kokoro/config.json", CONFIG);
    let folder = setup.path().join("data/models/kokoro");
    fs::create_dir(folder.join("voices")).expect("a writable directory");
    write_kokoro(&folder.join("kokoro-v1_0.pth")).expect("a writable directory");
    for name in ["af_heart", "af_bella", "am_michael"] {
        write_voice(&folder.join(format!("voices/{name}.pt")), 510, 256).expect("a writable directory");
    }
    setup.start().await
}

#[tokio::test]
async fn kokoro_at_full_size_is_served_and_cancelled_in_time() {
    let app = start().await;
    let listed = app.get_json("/v1/audio/voices").await;
    let ids: Vec<_> = listed["voices"].as_array().unwrap().iter().map(|voice| voice["id"].clone()).collect();
    assert_eq!(
        ids,
        ["af_heart", "af_bella", "am_michael"],
        "it is the default, with the voices that are here"
    );

    let response =
        app.speech(&json!({"input": "Hi.", "voice": "af_bella(2)+af_heart", "response_format": "pcm"})).await;
    assert_eq!(response.headers()["x-model"], "kokoro");
    let bytes = response.bytes().await.unwrap();
    // Leading and trailing quiet is trimmed, so the length is not a whole number of frames.
    assert!(bytes.len() > 24_000 / 5, "{} bytes", bytes.len());

    for worker in app.workers() {
        let threads = fs::read_dir(format!("/proc/{worker}/task")).unwrap();
        let names: Vec<_> =
            threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("comm")).unwrap()).collect();
        let strange = names.iter().any(|name| name.starts_with("candle"));
        assert!(!strange, "threads beside those that the model was given: {names:?}");
    }

    let text =
        "A sentence that would keep a small machine busy for a good while, were anyone to wait for it. ";
    let url = format!("{}/v1/audio/speech", app.base);
    let request = app.client.post(url).json(&json!({"input": text.repeat(3), "voice": "af_heart"})).send();
    // The client gives up while the first chunk is being synthesized.
    tokio::select! {
        _ = request => panic!("it was done too soon"),
        () = app.wait_until("kokoro", |model| model["chunks_active"] != 0) => {}
    }
    let left = Instant::now();
    while app.get_json("/v1/models/kokoro").await["chunks_active"] != 0 {
        // 250 ms, and one beat until the counter tells.
        assert!(left.elapsed() < Duration::from_millis(250 + 300), "the engine works on for nobody");
        sleep(Duration::from_millis(5)).await;
    }
}
