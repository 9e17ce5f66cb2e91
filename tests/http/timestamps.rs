//! When each word is heard: in events, and as captions.

use super::{builtin, fake};
use serde_json::{Value, json};
use stentor_testkit::decode::decode;
use stentor_tests::{
    TestApp,
    events::{events, sound, words},
};
use stentor_types::AudioFormat;

/// Names, money, a link, a pause, letters of more than one byte.
const TEXT: &str =
    "Dr. Smith paid $5 for the [tomato](/təmˈɑːtO/) — naïvely. [pause:1.5s] Then, “at last”, he left!";

async fn spoken_words(app: &TestApp, text: &str) -> (Vec<Value>, Vec<f32>) {
    let body = json!({"input": text, "response_format": "pcm", "stream_format": "sse",
        "timestamps": ["word"]});
    let events = events(&app.audio(&body).await);
    (words(&events), decode(AudioFormat::Pcm, &sound(&events)).samples)
}

fn seconds(word: &Value, name: &str) -> f64 {
    word[name].as_f64().expect("a number")
}

fn level(samples: &[f32], from: f64, to: f64) -> f64 {
    let part = &samples[(from * 24_000.0) as usize..((to * 24_000.0) as usize).min(samples.len())];
    let energy: f64 = part.iter().map(|&x| f64::from(x).powi(2)).sum();
    10.0 * (energy / part.len().max(1) as f64 + 1e-12).log10()
}

#[tokio::test]
async fn each_word_is_the_clients_own_and_lies_within_the_audio() {
    let app = builtin().await;
    let (words, samples) = spoken_words(&app, TEXT).await;
    let names: Vec<&str> = words.iter().map(|word| word["word"].as_str().expect("a string")).collect();
    for name in ["Smith", "$5", "tomato", "naïvely", "at", "left"] {
        assert!(names.contains(&name), "`{name}` is not among {names:?}");
    }
    let chars: Vec<char> = TEXT.chars().collect();
    let (mut now, mut place) = (0.0, 0);
    for word in &words {
        let (from, to) =
            (word["start_char"].as_u64().unwrap() as usize, word["end_char"].as_u64().unwrap() as usize);
        assert!(place <= from && from < to, "{word} after character {place}");
        assert_eq!(word["word"], chars[from..to].iter().collect::<String>());
        let (start, end) = (seconds(word, "start"), seconds(word, "end"));
        assert!(now <= start && start < end, "{word} after {now} s");
        (now, place) = (end, to);
    }
    let length = samples.len() as f64 / 24_000.0;
    assert!(now <= length + 0.001 && now > length - 0.7, "the last word ends at {now} s of {length} s");
}

#[tokio::test]
async fn words_are_heard_when_they_are_said_to_be_and_a_pause_is_not() {
    let app = builtin().await;
    let (words, samples) = spoken_words(&app, TEXT).await;
    let at = |name: &str| words.iter().find(|word| word["word"] == name).expect("the word");
    let (before, after) = (seconds(at("naïvely"), "end"), seconds(at("Then"), "start"));
    assert!((1.4..2.2).contains(&(after - before)), "a pause of 1.5 s lasts from {before} s to {after} s");
    assert!(level(&samples, before + 0.2, after - 0.2) < -60.0, "the pause is not silent");
    for word in &words {
        let level = level(&samples, seconds(word, "start"), seconds(word, "end"));
        assert!(level > -40.0, "{level} dB at {word}");
    }
}

#[tokio::test]
async fn words_come_with_the_sound_they_belong_to() {
    let app = builtin().await;
    let body = json!({"input": "The keeper walked down to the shore, and looked at the sea. ".repeat(8),
        "response_format": "pcm", "stream_format": "sse", "timestamps": ["word"]});
    let events = events(&app.audio(&body).await);
    let lists = events.iter().filter(|event| event.name == "speech.audio.timestamps").count();
    assert!(lists > 2, "{lists} lists of words");
    for (index, event) in events.iter().enumerate().filter(|(_, e)| e.name == "speech.audio.timestamps") {
        let heard = sound(&events[..index]).len() as f64 / 48_000.0;
        let list = event.data["words"].as_array().expect("a list");
        let (first, last) = (seconds(&list[0], "start"), seconds(&list[list.len() - 1], "end"));
        assert!(last <= heard + 0.001, "words up to {last} s after {heard} s of sound");
        assert!(first > heard - 20.0, "words from {first} s on only after {heard} s of sound");
    }
    assert_eq!(words(&events).len(), 8 * 12);
}

#[tokio::test]
async fn json_lists_the_words_of_the_same_request_as_sound() {
    let app = builtin().await;
    let (heard, samples) = spoken_words(&app, TEXT).await;
    let response = app.speech(&json!({"input": TEXT, "response_format": "json"})).await;
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["x-model"], "builtin");
    let captions: Value = response.json().await.expect("JSON");
    assert_eq!(captions["words"], json!(heard));
    let length = samples.len() as f64 / 24_000.0;
    assert!((seconds(&captions, "duration") - length).abs() < 0.001, "{}", captions["duration"]);
}

/// Captions need no engine where the sound was made before, and the other way round.
#[tokio::test]
async fn captions_and_sound_of_one_text_are_spoken_once() {
    let app = fake().await;
    let ask = |format: &str| json!({"input": "Spoken only once.", "response_format": format});
    let before = app.number("fake", "chunks_reused").await;
    app.audio(&ask("srt")).await;
    assert_eq!(app.number("fake", "chunks_reused").await, before);
    app.audio(&ask("mp3")).await;
    app.audio(&ask("json")).await;
    assert_eq!(app.number("fake", "chunks_reused").await, before + 2);
}

/// Start and end in milliseconds, and the text, of each cue.
fn cues(file: &str, mark: char) -> Vec<(u64, u64, String)> {
    let time = |text: &str| {
        let (clock, ms) = text.trim().split_once(mark).expect("milliseconds");
        let fields = clock.split(':').map(|field| field.parse::<u64>().expect("a number"));
        fields.fold(0, |seconds, field| seconds * 60 + field) * 1000 + ms.parse::<u64>().expect("a number")
    };
    let blocks = file.split("\n\n").filter(|block| block.contains(" --> "));
    let cue = |block: &str| {
        let mut lines = block.lines().skip_while(|line| !line.contains(" --> "));
        let (start, end) = lines.next().expect("times").split_once(" --> ").expect("two times");
        (time(start), time(end), lines.collect::<Vec<_>>().join("\n"))
    };
    blocks.map(cue).collect()
}

#[tokio::test]
async fn subtitles_show_the_text_in_order() {
    let app = builtin().await;
    let text = "The old keeper walked down to the shore. He looked at the sea; it was calm, and grey! \
                \"Well,\" he said, \"tomorrow, then.\"";
    let ask = |format: &str| json!({"input": text, "response_format": format});
    let srt = app.speech(&ask("srt")).await;
    assert_eq!(srt.headers()["content-type"], "application/x-subrip; charset=utf-8");
    let srt = srt.text().await.expect("text");
    assert!(srt.starts_with("1\n00:00:00,"), "{srt}");
    let vtt = app.speech(&ask("vtt")).await;
    assert_eq!(vtt.headers()["content-type"], "text/vtt; charset=utf-8");
    let vtt = vtt.text().await.expect("text");
    assert!(vtt.starts_with("WEBVTT\n\n00:00:00."), "{vtt}");
    let cues = (cues(&srt, ','), cues(&vtt, '.'));
    assert_eq!(cues.0, cues.1);
    assert!(cues.0.len() > 1, "{srt}");
    let mut now = 0;
    for (start, end, _) in &cues.0 {
        assert!(now <= *start && start < end, "{srt}");
        now = *end;
    }
    let shown: Vec<&str> = cues.0.iter().map(|cue| cue.2.as_str()).collect();
    assert_eq!(shown.join(" "), text);
}

#[tokio::test]
async fn a_cue_for_each_word_on_request() {
    let app = builtin().await;
    let body = json!({"input": "Three quiet words.", "response_format": "vtt", "timestamps": ["word"]});
    let vtt = String::from_utf8(app.audio(&body).await.to_vec()).expect("UTF-8");
    let shown: Vec<String> = cues(&vtt, '.').into_iter().map(|cue| cue.2).collect();
    assert_eq!(shown, ["Three", "quiet", "words."]);
}

#[tokio::test]
async fn captions_of_a_long_text_are_sent_while_it_is_spoken() {
    let app = fake().await;
    let text = "A paragraph of some words.\n\n".repeat(40);
    let mut body = json!({"input": text, "response_format": "json"});
    let response = app.speech(&body).await;
    assert_eq!(response.headers().get("content-length"), None);
    let streamed = response.bytes().await.expect("a complete body");
    let words: Value = serde_json::from_slice(&streamed).expect("JSON");
    assert_eq!(words["words"].as_array().map(Vec::len), Some(200));
    body["stream"] = json!(false);
    let response = app.speech(&body).await;
    assert_eq!(response.headers()["content-length"], streamed.len().to_string());
    assert!(response.bytes().await.expect("a complete body") == streamed);
}

#[tokio::test]
async fn where_words_have_no_place_the_request_is_refused() {
    let app = fake().await;
    for body in [
        json!({"input": "Hi.", "timestamps": ["word"]}),
        json!({"input": "Hi.", "timestamps": ["phoneme"], "stream_format": "sse"}),
        json!({"input": "Hi.", "timestamps": true, "stream_format": "sse"}),
    ] {
        let (status, error) = app.error(&body).await;
        assert_eq!((status, &error["param"]), (400, &json!("timestamps")), "{body}");
    }
    let captions = json!({"input": "Hi.", "response_format": "srt", "stream_format": "sse"});
    let (status, error) = app.error(&captions).await;
    assert_eq!((status, &error["param"]), (400, &json!("stream_format")));
}

/// What the cues of `text` say.
async fn shown(app: &TestApp, text: &str) -> Vec<String> {
    let srt = app.audio(&json!({"input": text, "response_format": "srt"})).await;
    let srt = String::from_utf8(srt.to_vec()).expect("UTF-8");
    cues(&srt, ',').into_iter().map(|cue| cue.2).collect()
}

#[tokio::test]
async fn a_word_that_is_cut_between_two_pieces_is_told_once() {
    let app = builtin().await;
    let text = "Please call the office of the county clerk between nine and five on any working day at \
                +1 (555) 123-4567 or write.";
    assert_eq!(shown(&app, text).await.join(" "), text);
    let (words, samples) = spoken_words(&app, text).await;
    let phone: Vec<_> = words.iter().filter(|word| word["word"] == "+1 (555) 123-4567").collect();
    assert_eq!((words.len(), phone.len()), (20, 1), "{words:?}");
    let (start, end) = (seconds(phone[0], "start"), seconds(phone[0], "end"));
    assert!(end - start > 1.5, "eleven digits are heard from {start} s to {end} s");
    let last = seconds(&words[words.len() - 1], "end");
    assert!(end < last && last <= samples.len() as f64 / 24_000.0 + 0.001);
    let read = app.post("/v1/audio/phonemize", &json!({"input": text})).await;
    let read: Value = read.json().await.expect("JSON");
    let read: Vec<_> =
        read["words"].as_array().expect("words").iter().filter(|w| w["start_char"] == 87).collect();
    assert_eq!(read.len(), 1, "{read:?}");
    assert_eq!(read[0]["rule"], "normalizer");
    let spoken = read[0]["spoken"].as_str().expect("text");
    assert!(spoken.contains("one") && spoken.contains("seven"), "{spoken}");
}

#[tokio::test]
async fn captions_show_no_markup() {
    let app = builtin().await;
    let document = "<speak>Tom &amp; Jerry don&apos;t say &quot;no&quot; at AT&amp;T.</speak>";
    let plain = "Tom & Jerry don't say \"no\" at AT&T.";
    assert_eq!(shown(&app, document).await, [plain]);
    let vtt = app.audio(&json!({"input": document, "response_format": "vtt"})).await;
    let vtt = String::from_utf8(vtt.to_vec()).expect("UTF-8");
    assert_eq!(cues(&vtt, '.')[0].2, plain.replace('&', "&amp;"));
    let rows = [
        ("<speak>Sec<![CDATA[ond a < b]]> x<!-- c -->y</speak>", "Second a < b xy"),
        ("<speak>Hello, wo<mark name=\"x.y\"/>rld<break time=\"0.1s\"/>again</speak>", "Hello, world again"),
        ("<b>Some</b> H<sub>2</sub>O &amp; \"ice\"<!-- now -->.", "Some H2O & \"ice\"."),
    ];
    for (text, want) in rows {
        assert_eq!(shown(&app, text).await.join(" "), want);
    }
    let (words, _) = spoken_words(&app, document).await;
    assert_eq!(
        (&words[1]["word"], &words[1]["start_char"], &words[1]["end_char"]),
        (&json!("&"), &json!(11), &json!(16))
    );
}

#[tokio::test]
async fn paragraphs_and_list_items_end_cues() {
    let app = builtin().await;
    for text in [
        "One day\n\nTwo days",
        "<speak><p>One day</p><p>Two days</p></speak>",
        "- One day\n- Two days",
        "<p>One day</p><p>Two days</p>",
    ] {
        assert_eq!(shown(&app, text).await, ["One day", "Two days"], "{text}");
    }
}
