//! What each element of SSML makes of a text, and what a bad document is told.

use std::sync::Arc;
use stentor_text::{Script, ScriptChunks, TextOptions};
use stentor_types::{Chunk, ChunkBudget, Language};

const BUDGET: ChunkBudget = ChunkBudget { first: 200, max: 300 };

fn options() -> TextOptions {
    TextOptions { language: Language::en_us(), normalize: true, tags: Vec::new() }
}

fn script(document: &str) -> Script {
    Script::parse(&Arc::from(document)).expect("a good document")
}

fn spoken(document: &str) -> Vec<Chunk> {
    script(document).chunks(vec![options()], Vec::new(), BUDGET).collect()
}

fn speak(inner: &str) -> Vec<Chunk> {
    spoken(&format!("<speak>{inner}</speak>"))
}

/// What is said, a bar between chunks.
fn text(inner: &str) -> String {
    speak(inner).into_iter().map(|chunk| chunk.spoken.text).collect::<Vec<_>>().join("|")
}

fn error(document: &str) -> (String, usize, usize) {
    let error = Script::parse(&Arc::from(document)).expect_err("a bad document");
    (error.message, error.place.line, error.place.column)
}

#[test]
fn a_document_without_elements_is_read_as_its_text() {
    assert_eq!(text("Dr. Smith paid\n   $5."), "Doctor Smith paid five dollars.");
    let declared = "<?xml version=\"1.0\"?>\n<speak version=\"1.1\" xmlns=\"http://www.w3.org/2001/10/synthesis\">Hi.</speak>\n";
    assert_eq!(spoken(declared)[0].spoken.text, "Hi.");
    assert!(script(declared).ignored().is_empty());
}

#[test]
fn break_is_silence_of_its_time_or_strength() {
    let rows = [
        ("time=\"750ms\"", 750),
        ("time=\"1.5s\"", 1500),
        ("strength=\"x-weak\"", 100),
        ("strength=\"strong\"", 700),
        ("strength=\"weak\" time=\"2s\"", 2000),
        ("time=\"60s\"", 10_000),
        ("", 400),
    ];
    for (attributes, ms) in rows {
        let chunks = speak(&format!("One<break {attributes}/> two."));
        assert_eq!((chunks.len(), chunks[0].pause_ms), (2, ms), "{attributes}");
    }
    assert_eq!(speak("One<break strength=\"none\"/> two.").len(), 1);
}

#[test]
fn paragraphs_and_sentences_end_where_they_end() {
    let chunks = speak("<p><s>One</s><s>Two?</s></p><p>Three</p>");
    assert_eq!(chunks[0].spoken.text, "One. Two?");
    assert_eq!((chunks[0].pause_ms, chunks[1].spoken.text.as_str()), (600, "Three"));
    assert_eq!(text("One <s>two three</s> four"), "One. two three. four");
}

#[test]
fn sub_is_read_as_its_alias_and_timed_as_its_text() {
    let document = "<speak>The <sub alias=\"World Wide Web Consortium\">W3C</sub> met.</speak>";
    let chunks = spoken(document);
    assert_eq!(chunks[0].spoken.text, "The World Wide Web Consortium met.");
    let words: Vec<_> = chunks[0].spoken.spans.iter().map(|span| &document[span.source.clone()]).collect();
    assert_eq!(words, ["The", "W3C", "met"]);
}

#[test]
fn phoneme_becomes_a_link_that_holds_the_word() {
    let document = "<speak>A <phoneme alphabet=\"ipa\" ph=\"təˈmɑːtoʊ\"> tomato </phoneme>!</speak>";
    let chunks = spoken(document);
    assert_eq!(chunks[0].spoken.text, "A [tomato](/təˈmɑːtoʊ/)!");
    assert_eq!(&document[chunks[0].spoken.spans[1].source.clone()], "tomato");
    let other = script("<speak><phoneme alphabet=\"x-sampa\" ph=\"t@\">tomato</phoneme></speak>");
    assert_eq!(other.ignored(), ["ssml:phoneme@alphabet=x-sampa"]);
}

#[test]
fn say_as_reads_its_text_as_it_says() {
    let rows = [
        ("characters", "", "SQL", "S Q L"),
        ("spell-out", "", "a1", "[A](/ˈeɪ/) one"),
        ("cardinal", "", "1984", "one thousand nine hundred eighty-four"),
        ("ordinal", "", "3", "third"),
        ("date", "format=\"dmy\"", "1/2/2024", "February first, twenty twenty-four"),
        ("date", "", "2024-01-31", "January thirty-first, twenty twenty-four"),
        ("telephone", "", "555-12", "five five five, one two"),
        ("time", "", "3:30 pm", "three thirty P M"),
    ];
    for (what, format, inner, want) in rows {
        let got = text(&format!("It is <say-as interpret-as=\"{what}\" {format}>{inner}</say-as>."));
        assert_eq!(got, format!("It is {want}."), "{what}");
    }
    let odd = script("<speak><say-as interpret-as=\"song\">la la</say-as></speak>");
    assert_eq!(odd.ignored(), ["ssml:say-as@interpret-as=song"]);
}

/// Text, voice and rate of each chunk.
fn styled(inner: &str) -> Vec<(String, Option<String>, f32)> {
    let script = script(&format!("<speak>{inner}</speak>"));
    let styles = script.styles().to_vec();
    let chunks = script.chunks(vec![options()], Vec::new(), BUDGET);
    let read = |chunk: Chunk| {
        let style = &styles[chunk.style];
        (chunk.spoken.text, style.voice.clone(), style.rate)
    };
    chunks.map(read).collect()
}

#[test]
fn prosody_rates_multiply_and_end_with_their_element() {
    let got = styled("One <prosody rate=\"200%\">two <prosody rate=\"slow\">three</prosody></prosody> four.");
    let rates: Vec<_> = got.iter().map(|(text, _, rate)| (text.as_str(), *rate)).collect();
    assert_eq!(rates, [("One", 1.0), ("two", 2.0), ("three", 1.5), ("four.", 1.0)]);
}

#[test]
fn voice_and_emphasis_make_styles_of_their_own() {
    let got = styled("<voice name=\"emma\">Hello.</voice> I <emphasis level=\"strong\">did</emphasis> it.");
    let emma = Some("emma".to_owned());
    let want = [("Hello.", emma, 1.0), ("I", None, 1.0), ("did", None, 0.8), ("it.", None, 1.0)];
    assert_eq!(got, want.map(|(text, voice, rate)| (text.to_owned(), voice, rate)));
    let script = script("<speak>\n  <voice name=\"emma\">a</voice></speak>");
    assert_eq!(script.place(&script.styles()[1]).to_string(), "line 2, column 3");
}

#[test]
fn a_change_of_style_keeps_the_pauses_around_it() {
    let pauses = |inner: &str| speak(inner).iter().map(|chunk| chunk.pause_ms).collect::<Vec<_>>();
    assert_eq!(pauses("One <prosody rate=\"fast\">two</prosody>"), [20, 0]);
    assert_eq!(pauses("<p>One.</p><p><prosody rate=\"fast\">two</prosody></p>"), [600, 0]);
    assert_eq!(pauses("One <break time=\"1s\"/><prosody rate=\"fast\">two</prosody>"), [1000, 0]);
    assert_eq!(pauses("One <prosody rate=\"fast\"><break time=\"1s\"/>two</prosody>"), [1000, 0]);
}

#[test]
fn unknown_elements_are_named_and_their_text_is_kept() {
    let inner = "<mark name=\"a\"/>One <mstts:express-as style=\"sad\">two</mstts:express-as><metadata><x>no</x></metadata> \
                 <prosody pitch=\"high\">three</prosody>";
    assert_eq!(text(inner), "One two three");
    let script = script(&format!("<speak>{inner}</speak>"));
    assert_eq!(
        script.ignored(),
        ["ssml:mark", "ssml:mstts:express-as", "ssml:metadata", "ssml:prosody@pitch"]
    );
}

#[test]
fn entities_are_the_five_and_numbers_and_never_markup() {
    let document = "<speak>Tom &amp; Jerry &#233;t&#xE9; &lt;b&gt; <![CDATA[5 < 6]]></speak>";
    let chunks = spoken(document);
    assert_eq!(chunks[0].spoken.text, "Tom and Jerry été b is greater than five is less than six");
    let word = |n: usize| &document[chunks[0].spoken.spans[n].source.clone()];
    assert_eq!((word(0), word(1), word(3)), ("Tom", "&amp;", "&#233;t&#xE9;"));
    let (message, line, column) = error("<speak>\na &nbsp; b</speak>");
    assert!(message.starts_with("`&nbsp;` is none of"), "{message}");
    assert_eq!((line, column), (2, 3));
}

#[test]
fn a_document_type_is_refused_whatever_it_defines() {
    let document = "<speak>a</speak><!DOCTYPE speak [<!ENTITY a \"b\">]>";
    assert_eq!(error(document), ("it has a document type, which is not read".to_owned(), 1, 17));
    let ahead = "<?xml version=\"1.0\"?>\n<!DOCTYPE x [<!ENTITY a \"]>\">]>\n<speak>a</speak>";
    assert_eq!(error(ahead), ("it has a document type, which is not read".to_owned(), 2, 1));
    assert!(Script::parse(&Arc::from("<!DOCTYPE html><p>a</p>")).is_ok(), "HTML is ordinary text");
}

#[test]
fn each_mistake_is_told_with_its_place() {
    let rows = [
        ("<speak>a", "it ends before `</speak>`", 1, 9),
        ("<speak>a</speak>b", "text stands outside of `speak`", 1, 17),
        ("<speak>\n<p>a</s></speak>", "not well-formed", 2, 5),
        ("<speak>a</speak><speak>b</speak>", "one `speak` element", 1, 17),
        ("<speak>\n <break time=\"soon\"/></speak>", "`time` is `soon`", 2, 2),
        ("<speak><break strength=\"mild\"/></speak>", "`strength` is `mild`", 1, 8),
        ("<speak><prosody rate=\"quick\">a</prosody></speak>", "`rate` is `quick`", 1, 8),
        ("<speak><emphasis level=\"x\">a</emphasis></speak>", "`level` is `x`", 1, 8),
        ("<speak><sub>a</sub></speak>", "`sub` needs an `alias`", 1, 8),
        ("<speak><say-as>a</say-as></speak>", "`say-as` needs `interpret-as`", 1, 8),
        ("<speak><phoneme>a</phoneme></speak>", "`phoneme` needs `ph`", 1, 8),
        ("<speak><phoneme ph=\"ˈ\">a</phoneme></speak>", "`ph` must be IPA", 1, 8),
        ("<speak><phoneme ph=\"a\"></phoneme></speak>", "`phoneme` must hold the word", 1, 24),
        ("<speak xml:lang=\"klingon!\">a</speak>", "`xml:lang`", 1, 1),
        ("<speak><p a=\"1\" a=\"2\">a</p></speak>", "a bad attribute", 1, 8),
        ("<speak>a & b</speak>", "not well-formed", 1, 10),
    ];
    for (document, message, line, column) in rows {
        let (told, at_line, at_column) = error(document);
        assert!(told.contains(message), "{document}: {told}");
        assert_eq!((at_line, at_column), (line, column), "{document}: {told}");
    }
}

#[test]
fn depth_elements_values_and_styles_are_bounded() {
    let deep = format!("<speak>{}a{}</speak>", "<p>".repeat(32), "</p>".repeat(32));
    assert!(error(&deep).0.contains("32 deep"));
    let many = format!("<speak>{}a</speak>", "<break/>".repeat(20_001));
    assert!(error(&many).0.contains("20000 elements"));
    let long = format!("<speak><mark name=\"{}\"/></speak>", "a".repeat(1001));
    assert!(error(&long).0.contains("1000 bytes"));
    let voices: Vec<_> = (0..70).map(|n| format!("<voice name=\"v{n}\">a</voice>")).collect();
    assert!(error(&format!("<speak>{}</speak>", voices.concat())).0.contains("too many different voices"));
}

#[test]
fn the_documents_language_is_told() {
    assert_eq!(script("<speak xml:lang=\"en-GB\">a</speak>").language(), Some(&Language::en_gb()));
    assert_eq!(script("<speak>a</speak>").language(), None);
}

#[test]
fn chunks_are_numbered_through_and_only_the_first_is_short() {
    let sentence = "This is a sentence of some length that goes on. ".repeat(8);
    let script = script(&format!("<speak>{sentence}<prosody rate=\"fast\">{sentence}</prosody></speak>"));
    let budget = ChunkBudget { first: 60, max: 240 };
    let chunks: ScriptChunks = script.chunks(vec![options()], Vec::new(), budget);
    let chunks: Vec<_> = chunks.collect();
    assert!(chunks.iter().enumerate().all(|(n, chunk)| chunk.index as usize == n));
    assert!(chunks[0].spoken.text.len() <= 60);
    let fast = chunks.iter().find(|chunk| chunk.style == 1).expect("a fast chunk");
    assert!(fast.spoken.text.len() > 60);
}

#[test]
fn a_document_may_have_a_prolog_and_a_namespace() {
    let document = "<!-- a --><?b c?><ssml:speak xmlns:ssml=\"x\">One<ssml:break time=\"1s\"/> <ssml:sub alias=\"two\">2nd</ssml:sub>.</ssml:speak>";
    let chunks = spoken(document);
    let said: Vec<_> = chunks.iter().map(|chunk| (chunk.spoken.text.as_str(), chunk.pause_ms)).collect();
    assert_eq!((said[0], said[1].0), (("One", 1000), "two."));
}
