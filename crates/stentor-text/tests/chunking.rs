//! What a listener would notice of the cutting: where chunks end, how long they are, what silence follows.

use std::sync::Arc;
use stentor_text::{TextOptions, chunks, split};
use stentor_types::{Chunk, ChunkBudget, Language};

const BUDGET: ChunkBudget = ChunkBudget { first: 80, max: 200 };

fn options(normalize: bool) -> TextOptions {
    TextOptions { language: Language::en_us(), normalize, tags: Vec::new() }
}

fn cut(text: &str) -> Vec<Chunk> {
    cut_to(text, BUDGET)
}

fn cut_to(text: &str, budget: ChunkBudget) -> Vec<Chunk> {
    chunks(Arc::from(text), &options(true), budget).collect()
}

/// Chunks when each sentence or clause is about a budget long.
fn texts(text: &str, max: usize) -> Vec<String> {
    cut_to(text, ChunkBudget { first: max, max }).into_iter().map(|c| c.spoken.text).collect()
}

fn spoken_words(chunks: &[Chunk]) -> Vec<String> {
    chunks
        .iter()
        .flat_map(|c| c.spoken.text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

const STORY: &str = "The rain had stopped by the time Mr. Dale reached the harbor, and the gulls were already \
    quarreling over the morning's catch. He put down his bag. \"You're late,\" said the woman at the gate. \"I am \
    always late,\" he answered, \"but I have never missed a boat.\" She laughed! Somewhere behind the sheds a \
    bell rang twice; then everything was quiet again, as if the whole town were holding its breath.";

#[test]
fn the_first_chunk_is_short_and_the_others_fill_the_budget_evenly() {
    let chunks = cut(STORY);
    let lengths: Vec<usize> = chunks.iter().map(|c| c.spoken.text.chars().count()).collect();
    assert!((16..=80).contains(&lengths[0]), "{lengths:?}");
    assert!(lengths.iter().all(|&n| n <= 200), "{lengths:?}");
    assert!(lengths[1..].iter().all(|&n| n >= 60), "a tail was left over: {lengths:?}");
    let indices: Vec<u32> = chunks.iter().map(|c| c.index).collect();
    assert_eq!(indices, (0..chunks.len() as u32).collect::<Vec<_>>());
}

#[test]
fn a_first_sentence_that_fits_is_the_first_chunk() {
    let chunks = cut("This is the opening sentence of it. And here comes a second one that follows.");
    assert_eq!(chunks[0].spoken.text, "This is the opening sentence of it.");
    // A greeting alone would be over before anything else is ready.
    assert_eq!(cut("Hi! How are you doing today?")[0].spoken.text, "Hi! How are you doing today?");
}

#[test]
fn stops_that_end_no_sentence_do_not_cut() {
    for (text, first) in [
        ("He met Dr. Smith at St. Mary's. Then he left.", "He met Doctor Smith at Saint Mary's."),
        ("It cost $3.50 in all. Not much.", "It cost three dollars and fifty cents in all."),
        ("J. K. Rowling wrote it. I read it.", "J K Rowling wrote it."),
        ("Well... maybe it is so. Or not.", "Well… maybe it is so."),
        ("\"Stop!\" he cried to them all. She ran.", "\"Stop!\" he cried to them all."),
        ("\"Is it you?\" she asked me. I was.", "\"Is it you?\" she asked me."),
        ("He said \"it is over.\" She left then.", "He said \"it is over.\""),
        ("(It was late by then.) We slept on.", "(It was late by then.)"),
        ("You did what?! I can't believe it.", "You did what?!"),
        ("It rained for a whole day. 20 of us left.", "It rained for a whole day."),
        ("Use version 2.0.1 of it. It works.", "Use version two point zero point one of it."),
    ] {
        let got = texts(text, first.chars().count() + 3);
        assert_eq!(got[0], first);
    }
}

#[test]
fn abbreviations_do_not_cut_in_text_that_is_not_normalised() {
    let text = "He met Dr. A. Smith of Acme Inc. at 3.5 km. Then, e.g. Friday, he left.";
    let budget = ChunkBudget { first: 50, max: 50 };
    let got: Vec<_> = chunks(Arc::from(text), &options(false), budget).map(|c| c.spoken.text).collect();
    assert_eq!(got, ["He met Dr. A. Smith of Acme Inc. at 3.5 km.", "Then, e.g. Friday, he left."]);
}

#[test]
fn a_long_sentence_is_cut_at_clauses_then_between_words() {
    let text = "When the sun came up over the hills, the farmer went out to the field; he looked at the sky \
        and saw that no cloud was there.";
    let got = texts(text, 75);
    assert_eq!(got[0], "When the sun came up over the hills, the farmer went out to the field;");
    let run = "word ".repeat(100);
    let got = texts(&run, 60);
    assert!(got.iter().all(|t| (40..=60).contains(&t.len()) && !t.starts_with(' ')), "{got:?}");
    assert_eq!(got.join(" "), run.trim());
}

#[test]
fn a_word_without_end_is_cut_between_characters() {
    let word = "e\u{301}".repeat(50_000).replace("e\u{301}", "x\u{323}\u{307}");
    let chunks = cut(&word);
    assert!(chunks.iter().all(|c| (1..=200).contains(&c.spoken.text.chars().count())));
    let joined: String = chunks.iter().map(|c| c.spoken.text.as_str()).collect();
    assert_eq!(joined.chars().filter(|c| c.is_alphabetic()).count(), 50_000);
    assert!(chunks[1..].iter().all(|c| c.spoken.text.starts_with(char::is_alphabetic)));
}

#[test]
fn links_are_never_cut() {
    let text = "Say [New York City](/nˈu jˈɔɹk sˈɪTi/) and [Kokoro](/kˈOkəɹO/) again and again. ".repeat(40);
    for max in [1, 7, 30, 64] {
        for chunk in cut_to(&text, ChunkBudget { first: max, max }) {
            let t = &chunk.spoken.text;
            assert_eq!(t.matches("](/").count(), t.matches('[').count(), "{t}");
            assert_eq!(t.matches("/)").count(), t.matches('[').count(), "{t}");
        }
    }
}

#[test]
fn scripts_without_spaces_are_cut_at_their_own_stops() {
    let ja = TextOptions { language: "ja".parse().unwrap(), normalize: true, tags: Vec::new() };
    let text = "今日は晴れです。「明日は雨でしょう。」傘を持って、出かけましょう！";
    let budget = ChunkBudget { first: 14, max: 16 };
    let got: Vec<_> = chunks(Arc::from(text), &ja, budget).map(|c| c.spoken.text).collect();
    assert_eq!(got, ["今日は晴れです。", "「明日は雨でしょう。」", "傘を持って、出かけましょう！"]);
}

#[test]
fn paragraphs_headings_and_items_end_chunks_and_are_followed_by_silence() {
    let chunks = cut("# The title\nFirst one.\n\nSecond one.\n\n- item a\n- item b\n\nEnd, really.");
    let got: Vec<_> = chunks.iter().map(|c| (c.spoken.text.as_str(), c.pause_ms)).collect();
    let want = [
        ("The title", 600),
        ("First one.", 600),
        ("Second one.", 600),
        ("item a", 350),
        ("item b", 600),
        ("End, really.", 300),
    ];
    assert_eq!(got, want);
}

#[test]
fn punctuation_decides_the_silence_between_chunks() {
    let budget = ChunkBudget { first: 30, max: 30 };
    let chunks = cut_to(
        "This is one whole sentence. Is that a question, my dear friend? so words go on and on here",
        budget,
    );
    let got: Vec<_> = chunks.iter().map(|c| (c.spoken.text.as_str(), c.pause_ms)).collect();
    assert_eq!(got[0], ("This is one whole sentence.", 300));
    assert_eq!(got[1], ("Is that a question,", 120));
    assert!(got.iter().any(|(t, ms)| t.ends_with(char::is_alphabetic) && *ms <= 40), "{got:?}");
}

#[test]
fn pause_marks_are_exact_and_silent() {
    let chunks =
        cut("One,[pause:1.5s] two.[pause:200ms][pause:100ms]\n\nThree.\n\n[pause:2s]\n\nFour [pause:99s]");
    let got: Vec<_> = chunks.iter().map(|c| (c.spoken.text.as_str(), c.pause_ms)).collect();
    assert_eq!(got, [("One,", 1500), ("two.", 300), ("Three.", 2000), ("Four", 10_000)]);
}

#[test]
fn nothing_to_say_yields_no_chunk() {
    for text in [
        "",
        " \n\n ",
        "😀🎉",
        "...!?",
        "***\n---\n\n> ",
        "\u{200b}\u{feff}",
        "[pause:1s]",
        "— “ ” —",
        "<br><p>",
    ] {
        assert!(cut(text).is_empty(), "{text:?}: {:?}", cut(text));
    }
    let chunks = cut("Hello. !!! 😀\n\n???\n\nBye.");
    assert!(chunks.iter().all(|c| c.spoken.text.contains(char::is_alphanumeric)));
    assert_eq!(spoken_words(&chunks).join(" "), "Hello. Bye.");
}

#[test]
fn splitting_keeps_every_word_the_index_and_the_last_pause() {
    let chunk =
        Chunk { index: 7, pause_ms: 600, ..cut_to(STORY, ChunkBudget { first: 400, max: 400 }).remove(0) };
    for limit in [12, 50, 1000] {
        let parts = split(chunk.clone(), limit);
        assert!(parts.iter().all(|p| p.index == 7 && p.spoken.text.chars().count() <= limit));
        assert_eq!(parts.last().unwrap().pause_ms, 600);
        let whole: String = parts.iter().map(|p| p.spoken.text.replace(' ', "")).collect();
        assert_eq!(whole, chunk.spoken.text.replace(' ', ""));
        for part in &parts {
            for span in &part.spoken.spans {
                assert!(part.spoken.text.get(span.spoken.clone()).is_some_and(|w| !w.is_empty()));
            }
        }
    }
}
