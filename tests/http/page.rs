//! The page at `/`: all of it comes from this server, with types and a policy that browsers hold it to.

use super::{PROGRAM, fake};
use reqwest::{Method, Response, StatusCode, header};
use std::collections::BTreeSet;
use stentor_tests::{
    TestApp,
    app::{Setup, error_of},
};

/// The name of XML's vocabulary for pictures. It is written like an address, and nobody asks there.
const SVG: &str = "xmlns=\"http://www.w3.org/2000/svg\"";

fn head<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map(|value| value.to_str().expect("text")).unwrap_or_default()
}

/// What stands between `before` and the next quote.
fn quoted<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(before).skip(1).filter_map(|rest| rest.split('"').next())
}

/// The paths of files that a file of the page asks for.
fn asked_for(path: &str, text: &str) -> BTreeSet<String> {
    if path == "/" {
        return ["href=\"", "src=\""]
            .iter()
            .flat_map(|before| quoted(text, before))
            .filter(|link| !link.starts_with('#'))
            .map(|link| format!("/{link}"))
            .collect();
    }
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    ["from \"./", "import \"./", "new URL(\"./"]
        .iter()
        .flat_map(|before| quoted(text, before))
        .map(|name| format!("{folder}/{name}"))
        .collect()
}

/// Every file that can be reached from the page, with its head and text.
async fn all_files(app: &TestApp) -> Vec<(String, Response, String)> {
    let (mut known, mut files) = (BTreeSet::from(["/".to_owned()]), Vec::new());
    let mut waiting: Vec<String> = known.iter().cloned().collect();
    while let Some(path) = waiting.pop() {
        let response = app.get(&path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let text = app.get(&path).await.text().await.expect("text");
        let asked = asked_for(&path, &text).into_iter();
        waiting.extend(asked.filter(|next| known.insert(next.clone())));
        files.push((path, response, text));
    }
    files
}

#[tokio::test]
async fn the_page_and_all_that_it_asks_for_are_served_with_their_types() {
    let app = fake().await;
    let files = all_files(&app).await;
    for (path, response, _) in &files {
        let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
        let kind = match ending {
            "" => "text/html; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            _ => panic!("{path} has no type that is known here"),
        };
        assert_eq!(head(response, "content-type"), kind, "{path}");
        assert_eq!(head(response, "x-content-type-options"), "nosniff", "{path}");
        assert_eq!(head(response, "cache-control"), "no-cache", "{path}");
    }
    let paths: BTreeSet<&str> = files.iter().map(|(path, ..)| path.as_str()).collect();
    for path in ["/page/style.css", "/page/player.js", "/page/recorder-worklet.js", "/page/icon.svg"] {
        assert!(paths.contains(path), "{path} is reached: {paths:?}");
    }
}

#[tokio::test]
async fn the_page_asks_nobody_else() {
    let app = fake().await;
    for (path, response, text) in all_files(&app).await {
        let policy = head(&response, "content-security-policy");
        let rules: Vec<&str> = policy.split(';').map(str::trim).collect();
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "frame-ancestors 'none'",
        ] {
            assert!(rules.contains(&rule), "{path} lacks {rule}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http"), "{policy}");
        let text = text.replace(SVG, "");
        for address in ["http:", "https:", "ws:", "wss:", "\"//", "'//", "(//", "`//", "@import"] {
            assert!(!text.contains(address), "{path} names {address}");
        }
        for word in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            " style=",
            " onclick=",
        ] {
            assert!(
                !text.contains(word),
                "{path} holds {word}, which the policy forbids or data could abuse"
            );
        }
    }
}

#[tokio::test]
async fn a_browser_that_has_the_content_is_not_sent_it_again() {
    let app = fake().await;
    for path in ["/", "/page/app.js"] {
        let tag = head(&app.get(path).await, "etag").to_owned();
        assert!(tag.len() > 2 && tag.starts_with('"'), "{path}: {tag}");
        let ask = |known: String| {
            app.client.get(format!("{}{path}", app.base)).header(header::IF_NONE_MATCH, known)
        };
        for known in [tag.clone(), format!("\"other\", W/{tag}")] {
            let response = ask(known).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{path}");
            assert_eq!(head(&response, "etag"), tag);
            assert!(response.bytes().await.unwrap().is_empty());
        }
        let response = ask("\"other\"".to_owned()).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn the_root_answers_whoever_warms_up_a_connection_and_other_names_are_404() {
    let app = fake().await;
    let response = app.client.request(Method::HEAD, &app.base).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    for path in ["/page/nothing.js", "/page/mod.rs", "/page/..%2Fmod.rs", "/page/"] {
        let (status, error) = error_of(app.get(path).await).await;
        assert_eq!((status, error["code"].as_str()), (404, Some("not_found")), "{path}");
    }
    let (status, _) = error_of(app.post("/", &serde_json::json!({})).await).await;
    assert_eq!(status, 405);
}

#[tokio::test]
async fn where_keys_are_needed_the_page_can_still_be_opened_to_enter_one() {
    let app =
        Setup::new(PROGRAM).with_fake_model().variable("STENTOR_API_KEYS", "sk-a-long-enough-key-of-alice");
    let app = app.start().await;
    assert!(all_files(&app).await.len() > 10);
    let response = app.speech(&super::say("Hello.")).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}
