//! What lexicons do to a text, and that the way back to the client's words survives it.

use std::sync::Arc;
use stentor_text::lexicon::{Case, Lexicon, RawEntry};
use stentor_text::{Rule, Script, TextOptions, View, chunks, source_timings};
use stentor_types::{Chunk, ChunkBudget, Language, SampleRate, WordTiming};

const BUDGET: ChunkBudget = ChunkBudget { first: 200, max: 300 };

fn options(normalize: bool) -> TextOptions {
    TextOptions { language: Language::en_us(), normalize, tags: vec!["[laugh]".to_owned()] }
}

/// Rows of word, replacement and IPA; the empty text is none.
fn lexicon(rows: &[(&str, &str, &str)]) -> Arc<Lexicon> {
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let raw = rows.iter().map(|(word, replace, ipa)| RawEntry {
        word: (*word).to_owned(),
        case: Case::Any,
        language: None,
        replace: some(replace),
        ipa: some(ipa),
    });
    Arc::new(Lexicon::from_raw(raw).expect("good entries"))
}

fn read(text: &str, normalize: bool, rows: &[(&str, &str, &str)]) -> Vec<Chunk> {
    let script = Script::parse(&Arc::from(text)).expect("a text");
    script.chunks(vec![options(normalize)], vec![lexicon(rows)], BUDGET).collect()
}

fn text(input: &str, rows: &[(&str, &str, &str)]) -> String {
    read(input, true, rows).into_iter().map(|chunk| chunk.spoken.text).collect::<Vec<_>>().join("|")
}

fn words<'a>(input: &'a str, chunks: &[Chunk]) -> Vec<&'a str> {
    chunks.iter().flat_map(|chunk| &chunk.spoken.spans).map(|span| &input[span.source.clone()]).collect()
}

#[test]
fn a_replacement_is_read_like_any_text() {
    assert_eq!(text("The fee, OK?", &[("fee", "fee of $5", "")]), "The fee of five dollars, OK?");
    assert_eq!(text("I use SQL's joins.", &[("sql", "sequel", "")]), "I use sequel's joins.");
    assert_eq!(
        text("AT&T and **SQL**", &[("AT&T", "a telephone company", ""), ("sql", "<sequel>", "")]),
        "a telephone company and sequel"
    );
}

#[test]
fn ipa_becomes_a_link_around_the_word_or_its_replacement() {
    assert_eq!(text("Ask Nguyen.", &[("nguyen", "", "wɪn")]), "Ask [Nguyen](/wɪn/).");
    // What models without phonemes read stands in the link.
    assert_eq!(text("Ask Nguyen.", &[("nguyen", "Win", "wɪn")]), "Ask [Win](/wɪn/).");
    assert_eq!(text("New\nYork's", &[("new york", "", "nuː jɔːɹk")]), "[New York](/nuː jɔːɹk/)'s");
}

#[test]
fn words_come_back_as_the_client_wrote_them() {
    let input = "So, **SQL** is é — and New  York's too.";
    let chunks =
        read(input, true, &[("sql", "structured query language", ""), ("new york", "", "nuː jɔːɹk")]);
    assert_eq!(words(input, &chunks), ["So", "SQL", "is", "é", "and", "New  York's", "too"]);
    let spoken = &chunks[0].spoken;
    let language = spoken.text.find("structured").expect("the replacement");
    let timed = |range: std::ops::Range<usize>, samples| WordTiming { text: range, samples };
    let timings = [timed(language..language + 10, 0..100), timed(language + 11..language + 16, 100..250)];
    let rate = SampleRate(1000);
    let found = source_timings(&View::verbatim(input), spoken, &timings, rate, 0.0);
    assert_eq!((found.len(), found[0].word.as_str(), found[0].end), (1, "SQL", 0.25));
}

#[test]
fn marks_tags_and_addresses_are_left_alone() {
    let rows = [("sql", "X", ""), ("laugh", "X", ""), ("pause", "X", ""), ("b", "X", "")];
    for input in
        ["[sql](/a/)", "https://sql.org/sql?b=sql", "me@sql.org", "www.sql.com", "<b>c</b>", "Ha [laugh] ha"]
    {
        let plain: Vec<_> =
            chunks(Arc::from(input), &options(true), BUDGET).map(|chunk| chunk.spoken.text).collect();
        assert_eq!(text(input, &rows), plain.join("|"), "{input}");
    }
    assert_eq!(read("a [pause:1s] c", true, &rows)[0].pause_ms, 1000);
    assert_eq!(text("[sql](https://sql.org)", &rows), "X");
}

#[test]
fn without_normalisation_entries_hold_too() {
    let chunks = read("SQL & 5", false, &[("sql", "a & b", "")]);
    assert_eq!(chunks[0].spoken.text, "a & b & 5");
}

#[test]
fn an_element_of_ssml_wins_over_the_lexicon_and_entities_are_seen_through() {
    let rows = [("sql", "X", ""), ("AT&T", "Y", "")];
    let document = "<speak>SQL <sub alias=\"sql\">abc</sub> AT&amp;T <phoneme ph=\"s\">SQL</phoneme></speak>";
    assert_eq!(text(document, &rows), "X sql Y [SQL](/s/)");
    let chunks = read(document, true, &rows);
    assert_eq!(words(document, &chunks), ["SQL", "abc", "AT&amp;T", "SQL"]);
}

#[test]
fn rewritten_stretches_are_told_with_their_rule() {
    let input = Arc::from("<speak>a SQL <sub alias=\"c\">b</sub></speak>");
    let script = Script::parse(&input).expect("a document");
    let told =
        script.rewritten(&[options(true)], &[lexicon(&[]), lexicon(&[("x", "y", ""), ("sql", "z", "")])]);
    let told: Vec<_> = told.into_iter().map(|(range, rule)| (&input[range], rule)).collect();
    assert_eq!(told, [("SQL", Rule::Lexicon { lexicon: 1, entry: 1 }), ("b", Rule::Ssml("sub"))]);
}

#[test]
fn an_empty_lexicon_changes_nothing() {
    let input = "Dr. Smith paid $5.\n\nAnd <b>left</b>.";
    let plain: Vec<_> = chunks(Arc::from(input), &options(true), BUDGET).collect();
    assert_eq!(read(input, true, &[]), plain);
    assert_eq!(read(input, true, &[("nowhere", "x", "")]), plain);
}
