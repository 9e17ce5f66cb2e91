//! The document of the API and its page: both come from this server alone, and nobody needs a key for them.

use super::{PROGRAM, fake};
use reqwest::{Client, Response, header, redirect::Policy};
use serde_json::Value;
use stentor_tests::{
    TestApp,
    app::{Setup, error_of},
};

const COMMITTED: &str = include_str!("../../docs/openapi.json");

fn head<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map(|value| value.to_str().expect("text")).unwrap_or_default()
}

#[tokio::test]
async fn the_document_is_the_one_in_the_repository() {
    let app = fake().await;
    let response = app.get("/openapi.json").await;
    assert_eq!((response.status().as_u16(), head(&response, "content-type")), (200, "application/json"));
    let served: Value = response.json().await.expect("JSON");
    assert_eq!(served, serde_json::from_str::<Value>(COMMITTED).expect("JSON"));
}

/// For each path of the document, the server names exactly the documented methods to who asks with another one.
#[tokio::test]
async fn every_documented_path_takes_the_documented_methods() {
    let app = fake().await;
    let document: Value = serde_json::from_str(COMMITTED).expect("JSON");
    for (path, item) in document["paths"].as_object().expect("paths") {
        let place = path.replace(['{', '}'], "x");
        let url = format!("{}{place}", app.base);
        let response = app.client.patch(url).send().await.expect("an answer");
        let mut allowed: Vec<String> =
            head(&response, "allow").to_ascii_lowercase().split(',').map(str::to_owned).collect();
        assert_eq!(response.status(), 405, "PATCH {path}");
        // GET brings HEAD along.
        allowed.retain(|method| method != "head");
        allowed.sort();
        let mut documented: Vec<&String> = item.as_object().expect("operations").keys().collect();
        documented.sort();
        assert_eq!(allowed.iter().collect::<Vec<_>>(), documented, "{path}");
    }
}

/// What stands in `attribute` of each element of a page.
fn linked<'a>(page: &'a str, attribute: &'a str) -> impl Iterator<Item = &'a str> {
    page.split(attribute).skip(1).filter_map(|rest| rest.split('"').nth(1))
}

async fn assert_page(app: &TestApp) {
    let client = Client::builder().no_proxy().redirect(Policy::none()).build().expect("a client");
    let moved = client.get(format!("{}/docs", app.base)).send().await.expect("an answer");
    assert_eq!((moved.status().as_u16(), head(&moved, "location")), (307, "docs/"));
    let page = app.get("/docs/").await;
    assert_eq!((page.status().as_u16(), head(&page, "content-type")), (200, "text/html"));
    let policy = head(&page, "content-security-policy").to_owned();
    assert!(policy.contains("default-src 'none'") && policy.contains("connect-src 'self'"), "{policy}");
    assert!(!policy.contains("http"), "nothing from elsewhere: {policy}");
    let page = unpacked(page).await;
    let files: Vec<&str> = linked(&page, "src=").chain(linked(&page, "href=")).collect();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        assert!(!file.contains("//"), "the page asks elsewhere: {file}");
        let path = format!("/docs/{}", file.trim_start_matches("./"));
        let response = app.get(&path).await;
        assert_eq!(response.status(), 200, "{path}");
        assert!(!head(&response, "content-type").is_empty(), "{path}");
        assert!(!response.bytes().await.expect("a body").is_empty(), "{path}");
    }
    let start = unpacked(app.get("/docs/swagger-initializer.js").await).await;
    assert!(start.contains("\"../openapi.json\""), "it shows this server's document: {start}");
    assert!(start.contains("\"validatorUrl\": \"none\""), "it asks no validator elsewhere: {start}");
}

/// The text of a file that may be stored packed.
async fn unpacked(response: Response) -> String {
    let packed = head(&response, "content-encoding") == "gzip";
    let bytes = response.bytes().await.expect("a body");
    if !packed {
        return String::from_utf8(bytes.to_vec()).expect("text");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file.gz");
    std::fs::write(&path, &bytes).expect("a file");
    let output = std::process::Command::new("gzip")
        .args(["--decompress", "--stdout"])
        .arg(&path)
        .output()
        .expect("gzip");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test]
async fn the_page_has_all_its_files_here_and_asks_nobody_else() {
    let app = fake().await;
    assert_page(&app).await;
    let (status, error) = error_of(app.get("/docs/no-such-file.js").await).await;
    assert_eq!((status, error["code"].as_str()), (404, Some("not_found")));
    let outside = app.get("/docs/..%2f..%2fCargo.toml").await;
    assert_eq!(outside.status(), 404);
}

#[tokio::test]
async fn with_keys_both_are_open_and_what_they_describe_is_not() {
    let app = Setup::new(PROGRAM)
        .with_fake_model()
        .variable("STENTOR_API_KEYS", "sk-test-0123456789abcdef")
        .start()
        .await;
    assert_page(&app).await;
    let document = app.get_json("/openapi.json").await;
    assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    let patch = app.client.patch(format!("{}/v1/models/load", app.base)).send().await.expect("an answer");
    assert_eq!((patch.status().as_u16(), head(&patch, "allow")), (401, "POST"), "as for those who may ask");
    let response = app.post("/v1/audio/speech", &serde_json::json!({"input": "Hello."})).await;
    assert_eq!(
        (response.status().as_u16(), head(&response, header::WWW_AUTHENTICATE.as_str())),
        (401, "Bearer")
    );
}
